"""Which words of a query and of a document an encoder finds alike, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

from rerankd.core.explanation import Match, Span
from rerankd.engines.alignment import QUERY_ROWS, Pair
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check

MOST: Final = 25  # of a document, the most alike
QUERY_TOKENS: Final = 2 * QUERY_ROWS  # of a query, whose documents need one or the other
FLOOR: Final = 0.5  # cosine; below, two tokens of any two texts may be as near


@dataclass(slots=True)
class ReadText:
    """A text as an encoder read it."""

    encoder: TextEncoder
    text: str
    before: str = ""  # what was tokenised with it
    ahead: int = 0  # so many of its first tokens are placed at once, whichever are asked for
    _known: dict[int, Span] = field(default_factory=dict[int, Span], init=False)  # by token

    def places(self, tokens: Sequence[int], check: Check) -> list[Span]:
        """Where tokens stand, by number, without the blanks that some of them begin with."""
        if new := [token for token in tokens if token not in self._known]:
            wanted = {*new, *range(self.ahead)}
            spans = [(token, token + 1) for token in wanted]
            found = self.encoder.places(self.text, spans, check, before=self.before)
            for token, (start, end) in zip(wanted, found, strict=True):
                word = self.text[start:end]
                left = len(word) - len(word.lstrip())
                self._known[token] = start + left, start + left + len(word.strip())
        return [self._known[token] for token in tokens]


def meaning_matches(
    pairs: Iterable[Pair], query: ReadText, document: ReadText, check: Check
) -> tuple[Match, ...]:
    """Places of tokens that are alike, the most alike first; the score is their cosine.

    Tokens without a letter or a digit are left out.
    """
    near = nlargest(2 * MOST, (p for p in pairs if p.cosine >= FLOOR), key=lambda p: p.cosine)
    if not near:
        return ()
    asked = query.places([pair.query for pair in near], check)
    read = document.places([pair.document for pair in near], check)
    found: dict[Span, Match] = {}
    for of_query, of_document, pair in zip(asked, read, near, strict=True):
        words = query.text[slice(*of_query)], document.text[slice(*of_document)]
        if all(any(map(str.isalnum, word)) for word in words):
            match = Match(
                query=of_query, document=of_document, score=min(pair.cosine, 1.0), kind="meaning"
            )
            found.setdefault(of_query, match)
    return tuple(found.values())[:MOST]
