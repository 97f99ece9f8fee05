"""Which words of a query and of a document are the same term, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Final

import numpy as np

from rerankd.core.explanation import Match, Span
from rerankd.core.rows import TokenIds
from rerankd.engines.lexical import CHANNEL_BITS, CHARACTER, IdfTable
from rerankd.models.segment import Segmenter, token_places
from rerankd.models.text_parts import Check

MOST: Final = 50  # of a document, those of the rarest terms
_READ: Final = 50_000  # characters of a document that are looked through


def word_matches(
    segmenter: Segmenter, table: IdfTable, query: str, document: str, check: Check
) -> tuple[Match, ...]:
    """Places of equal terms, the rarest first; the score is the term's IDF in nats.

    A word matches by itself, its stem or a part of it; in writing without spaces two characters in
    a row do.
    """
    asked: dict[int, Span] = {}
    for span, term in _terms(segmenter, query[:_READ]):
        asked.setdefault(term, span)
    found: dict[Span, tuple[int, Span]] = {}
    for span, term in _terms(segmenter, document[:_READ]):
        check()
        if term in asked:
            found.setdefault(span, (term, asked[term]))
    if not found:
        return ()
    terms: TokenIds = np.array([term for term, _ in found.values()], dtype=np.int32)
    weights: list[float] = table.lookup(terms).tolist()
    matches = (
        Match(query=of_query, document=span, score=weight, kind="word")
        for (span, (_, of_query)), weight in zip(found.items(), weights, strict=True)
    )
    return tuple(nlargest(MOST, matches, key=lambda match: (match.score, -match.document[0])))


def joined(words: Sequence[Match], alike: Sequence[Match]) -> tuple[Match, ...]:
    """Both kinds, MOST at most; what is alike within equal words is told once, as these."""
    other = [
        match
        for match in alike
        if not any(
            _within(match.query, word.query) and _within(match.document, word.document)
            for word in words
        )
    ]
    return (*words[: MOST - len(other)], *other)


def _within(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _terms(segmenter: Segmenter, text: str) -> Iterator[tuple[Span, int]]:
    """Each place and a term there; single characters of writing without spaces say too little."""
    for span, term in token_places(segmenter, text):
        if term >> CHANNEL_BITS != CHARACTER:
            yield span, term
