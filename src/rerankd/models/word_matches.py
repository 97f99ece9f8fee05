"""Which words of a query and of a document are the same term, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from typing import Final

import numpy as np

from rerankd.core.explanation import Match, Span
from rerankd.core.rows import TokenIds
from rerankd.engines.lexical import CHANNEL_BITS, CHARACTER, IdfTable
from rerankd.models.segment import Segmenter, token_places

MOST: Final = 50  # of a document, those of the rarest terms
_READ: Final = 200_000  # characters of a document that are looked through


def word_matches(
    segmenter: Segmenter, table: IdfTable, query: str, document: str
) -> tuple[Match, ...]:
    """Places of equal terms, the rarest first; the score is the term's IDF in nats.

    A word matches by itself, its stem or a part of it; in writing without spaces two characters in
    a row do.
    """
    asked: dict[int, Span] = {}
    for span, term in _terms(segmenter, query):
        asked.setdefault(term, span)
    found: dict[Span, tuple[int, Span]] = {}
    for span, term in _terms(segmenter, document[:_READ]):
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


def _terms(segmenter: Segmenter, text: str) -> Iterator[tuple[Span, int]]:
    """Each place and a term there; single characters of writing without spaces say too little."""
    for span, term in token_places(segmenter, text):
        if term >> CHANNEL_BITS != CHARACTER:
            yield span, term
