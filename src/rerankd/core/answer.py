"""The one canonical answer that every dialect renders from. Frozen data, no framework types."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document."""

    index: int  # position in request.documents, 0-based
    score: float  # calibrated to [0, 1], or the logit when raw_scores was asked for
    logit: float  # what the order is made by
    truncated: bool = False
    stage: str = ""  # who scored it, when it is not the model that answers (core.cascade)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The answer: hits best first, ties by lower index, and exact counts."""

    model: str  # who answered, never an alias
    hits: tuple[Hit, ...]
    documents: int  # how many were ranked, before top_n
    input_tokens: int
    cached_tokens: int = 0
    image_tokens: int = 0
    warnings: tuple[str, ...] = field(default_factory=tuple[str, ...])
