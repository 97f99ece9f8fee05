"""How well two sets of scores of the same documents agree: pure, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = Sequence[float] | npt.NDArray[np.float64]  # (N,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Means over requests, and the largest difference of a single score."""

    spearman: float  # in [-1, 1]; nan when a request's scores do not differ at all
    top_overlap: float  # share of the reference's best k that are among the other's best k
    max_difference: float  # of two logits of one pair


def ranks(values: Vector) -> npt.NDArray[np.float64]:
    """Rank of each of N values, from 1; equal values share the mean of their ranks."""
    array = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts, dtype=np.float64)
    return (ends - (counts - 1) / 2)[inverse]


def spearman(first: Vector, second: Vector) -> float:
    """Spearman's rank correlation: Pearson's of the ranks; nan when either is constant."""
    x, y = ranks(first), ranks(second)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0.0 else float("nan")


def top_overlap(reference: Vector, other: Vector, k: int = 10) -> float:
    """Share of the k best (all, if fewer) that both have; ties go to the lower index."""

    def best(values: Vector) -> set[int]:
        order = np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")
        return {int(i) for i in order[:k]}

    expected = best(reference)
    return len(expected & best(other)) / len(expected)


def agreement(reference: Sequence[Vector], other: Sequence[Vector], *, k: int = 10) -> Agreement:
    """Compare the scores of the same requests, one vector per request, in the same order."""
    pairs = list(zip(reference, other, strict=True))
    return Agreement(
        spearman=float(np.mean([spearman(a, b) for a, b in pairs])),
        top_overlap=float(np.mean([top_overlap(a, b, k) for a, b in pairs])),
        max_difference=max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs),
    )
