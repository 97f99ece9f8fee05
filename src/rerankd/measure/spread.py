"""What repeated measurements say: a median, a range, a percentile."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median and range of N repeats, in the unit of the values."""

    median: float
    low: float
    high: float
    repeats: int

    def __format__(self, spec: str) -> str:
        """`median (low-high)`, each in the given number format."""
        return f"{self.median:{spec}} ({self.low:{spec}}–{self.high:{spec}})"


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(
        median=statistics.median(values), low=min(values), high=max(values), repeats=len(values)
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 < share <= 1) of the values do not exceed.

    Nearest rank: always a value that was measured, so p99 of few values is their maximum.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
