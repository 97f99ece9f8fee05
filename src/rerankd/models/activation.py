"""What makes the published score of a logit: the sigmoid, nothing, or what a publisher chose.

A folder of sentence-transformers names its activation; a catalog entry says its own; the operator
may choose another (`score` in [model."NAME"]). All are monotone: none changes an order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from rerankd.core.score import sigmoid


@dataclass(frozen=True, slots=True)
class Activation:
    """A monotone function of the logit; equal by name."""

    name: str  # short: part of the score space
    says: str  # "{}" stands for what the logit is
    function: Callable[[float], float] = field(compare=False, repr=False)
    low: float = -inf  # no score is below it
    high: float = inf

    def __call__(self, logit: float) -> float:
        """The score of a logit, in float64."""
        return self.function(logit)

    @property
    def is_bounded(self) -> bool:
        """To [0, 1]."""
        return (self.low, self.high) == (0.0, 1.0)

    def of(self, logit: str) -> str:
        """What the score is, for the card: "sigmoid of the logit", of "the logit"."""
        return self.says.format(logit)


def _same(logit: float) -> float:
    return logit


def _fifth(logit: float) -> float:
    return sigmoid(logit / 5.0)


# Of ColBERT models, whose logit is made so already.
MAX_SIM: Final = Activation(
    "maxsim",
    "{}: the sum, over the query's vectors, of the largest cosine with one of its own; unbounded",
    function=_same,
)
MEAN_MAX_SIM: Final = Activation(
    "maxsim-mean",
    "{}, divided by the number of the query's vectors: -1 to 1",
    function=_same,
    low=-1.0,
    high=1.0,
)
SIGMOID: Final = Activation("sigmoid", "sigmoid of {}", function=sigmoid, low=0.0, high=1.0)
RAW: Final = Activation("raw", "{}, unbounded", function=_same)
COSINE: Final = Activation("cosine", "{}, in [-1, 1]", function=_same, low=-1.0, high=1.0)
# Source: modeling_zeranker.py of zeroentropy/zerank-1 and zerank-2.
SIGMOID_OF_A_FIFTH: Final = Activation(
    "sigmoid-fifth", "sigmoid of a fifth of {}", function=_fifth, low=0.0, high=1.0
)
