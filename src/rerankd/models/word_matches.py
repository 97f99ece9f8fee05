"""Which words of a query and of a document are the same term, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence
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


class QueryWords:
    """The terms of a query, to be looked for in documents.

    A word matches by itself, its stem or a part of it; in writing without spaces two characters in
    a row do.
    """

    def __init__(self, segmenter: Segmenter, table: IdfTable, query: str, check: Check) -> None:
        """Read a query.

        Args:
            segmenter: of both texts.
            table: by which the terms weigh.
            query: what was read of it.
            check: called between words, also of documents.
        """
        self._segmenter, self._check = segmenter, check
        asked: dict[int, Span] = {}
        for span, terms in token_places(segmenter, query[:_READ]):
            check()
            for term in terms:
                if term >> CHANNEL_BITS != CHARACTER:  # which says too little
                    asked.setdefault(term, span)
        ids: TokenIds = np.array(list(asked), dtype=np.int32)
        weights: list[float] = table.lookup(ids).tolist() if asked else []
        # Where the query has a term, and its weight.
        self._asked = dict(zip(asked, zip(asked.values(), weights, strict=True), strict=True))
        # The same by the terms of a word, of words of documents so far: of its first that is asked.
        self._known: dict[tuple[int, ...], tuple[Span, float] | None] = {}

    def matches(self, document: str) -> tuple[Match, ...]:
        """Places of equal terms, the rarest first; the score is the term's IDF in nats."""
        asked, known, found = self._asked, self._known, list[Match]()
        for span, terms in token_places(self._segmenter, document[:_READ]):
            self._check()
            if terms not in known:
                known[terms] = next((asked[term] for term in terms if term in asked), None)
            if (its := known[terms]) is not None:
                found.append(Match(query=its[0], document=span, score=its[1], kind="word"))
        return tuple(nlargest(MOST, found, key=lambda match: (match.score, -match.document[0])))


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
