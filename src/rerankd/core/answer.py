"""The one canonical answer that every dialect renders from. Frozen data, no framework types."""

from __future__ import annotations

from dataclasses import dataclass, field

from rerankd.core.explanation import Explanation


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document."""

    index: int  # position in request.documents, 0-based
    score: float  # calibrated to [0, 1], or the logit when raw_scores was asked for
    logit: float  # what the order is made by
    truncated: bool = False
    stage: str = ""  # who scored it, when it is not the model that answers (core.cascade)
    explained: Explanation | None = None  # if the request asked for that


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """Who answered for a routed name, and on which scale."""

    route: str  # the name that was asked for
    upstream: str = ""  # by the operator's name; "" = this process answered
    model: str  # by the name that the one who answered has for it
    space: str  # scores of one space may be compared
    attempts: int = 1  # targets that were asked, the one that answered included
    degraded: str = ""  # "" = a target answered; "rerankd-lexical", "input-order": all had failed

    @property
    def label(self) -> str:
        """Who answered, in one word: UPSTREAM/MODEL, local/MODEL, or what stands in for them."""
        return self.degraded or f"{self.upstream or 'local'}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The answer: hits best first, ties by lower index, and exact counts."""

    model: str  # who answered, never an alias
    hits: tuple[Hit, ...]
    documents: int  # how many were ranked, before top_n
    input_tokens: int | None  # None: whoever answered did not tell
    cached_tokens: int = 0
    image_tokens: int = 0
    is_listwise: bool = False  # scores depend on all documents of the request and on their order
    warnings: tuple[str, ...] = field(default_factory=tuple[str, ...])
    route: RouteFacts | None = (
        None  # None: the name is not routed, `model` of this process answered
    )
