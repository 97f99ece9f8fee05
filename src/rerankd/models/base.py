"""A model family is prompting + which logits + how a score comes of them.

The engine below knows ids and logits only; the ranking above (core.rank) knows scores only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rerankd.core.types import Logits, Modality, Prepared, RerankRequest, Scores
from rerankd.engines.base import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is published or decided about a model: the recipe, not the weights."""

    name: str  # the name it is served under
    family: str  # "lexical", "cross-encoder"
    window_tokens: int | None  # longest row; None = no limit
    score: str  # one sentence: what relevance_score means
    modalities: frozenset[Modality] = frozenset({"text"})
    takes_instruction: bool = False
    named_by_catalog: bool = False  # a failed relevance probe then refuses the model
    revision: str = ""


class Model(Protocol):
    """A loaded model: pure functions around one engine."""

    @property
    def card(self) -> ModelCard:
        """The recipe."""
        ...

    @property
    def engine(self) -> Engine:
        """What runs the rows; used by one thread at a time."""
        ...

    def prepare(self, request: RerankRequest) -> Prepared:
        """Turn a request into token rows: template, special tokens, chunks. Thread-safe, CPU only.

        Raises:
            InvalidRequest: the query does not fit the window, or truncation is off and a
                document would be cut; the message names the field, the limit and the way out.
        """
        ...

    def logit(self, logits: Logits) -> Scores:
        """One number per row, shape (B, K) -> (B,): what the order is made by."""
        ...

    def relevance(self, logit: float) -> float:
        """The published score of a logit, in [0, 1], monotone, computed in float64."""
        ...
