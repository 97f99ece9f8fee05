"""How a document's score came about. Frozen data; offsets count characters of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Span = tuple[int, int]  # [start, end) in characters


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenImage:
    """An image as a model looked at it."""

    width: int  # pixels, after it was resized
    height: int
    tokens: int  # of its row


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredChunk:
    """A part of a document that was scored by itself."""

    span: Span | None  # None: it is no part of a text, as an image
    tokens: int | None  # of its row, query and template included; None: it shares a row
    logit: float
    won: bool  # the document scores as this one
    image: SeenImage | None = None  # None: it is no image


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A part of the query and a part of the document that speak for each other."""

    query: Span
    document: Span
    score: float
    kind: Literal["word", "meaning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Of one document."""

    chunks: tuple[ScoredChunk, ...]
    cut_at: int | None = None  # character behind which nothing was read; None = all was
    parts: Mapping[str, float] = field(default_factory=dict[str, float])  # scores it is made of
    matches: tuple[Match, ...] = ()
