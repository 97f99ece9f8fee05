"""Which words of a query and of a document an encoder finds alike, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from rerankd.core.explanation import Match, Span
from rerankd.engines.alignment import Pair
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check

MOST: Final = 25  # of a document, the most alike
FLOOR: Final = 0.5  # cosine; below, two tokens of any two texts may be as near


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text as an encoder read it."""

    encoder: TextEncoder
    text: str
    before: str = ""  # what was tokenised with it


def meaning_matches(
    pairs: Iterable[Pair], query: ReadText, document: ReadText, check: Check
) -> tuple[Match, ...]:
    """Places of tokens that are alike, the most alike first; the score is their cosine.

    Tokens without a letter or a digit are left out.
    """
    near = nlargest(2 * MOST, (p for p in pairs if p.cosine >= FLOOR), key=lambda p: p.cosine)
    if not near:
        return ()
    asked = _places(query, [pair.query for pair in near], check)
    read = _places(document, [pair.document for pair in near], check)
    found: dict[Span, Match] = {}
    for of_query, of_document, pair in zip(asked, read, near, strict=True):
        words = query.text[slice(*of_query)], document.text[slice(*of_document)]
        if all(any(map(str.isalnum, word)) for word in words):
            match = Match(
                query=of_query, document=of_document, score=min(pair.cosine, 1.0), kind="meaning"
            )
            found.setdefault(of_query, match)
    return tuple(found.values())[:MOST]


def _places(reading: ReadText, numbers: Sequence[int], check: Check) -> list[Span]:
    """Where tokens stand, without the blanks that some of them begin with."""
    spans = [(number, number + 1) for number in numbers]
    found = reading.encoder.places(reading.text, spans, check, before=reading.before)
    trimmed: list[Span] = []
    for start, end in found:
        text = reading.text[start:end]
        left = len(text) - len(text.lstrip())
        trimmed.append((start + left, start + left + len(text.strip())))
    return trimmed
