"""Median, range and percentile."""

from __future__ import annotations

import pytest

from rerankd.measure.spread import percentile, spread


def test_a_spread_shows_median_and_range() -> None:
    made = spread([3.0, 1.0, 2.0, 10.0])
    assert (made.median, made.low, made.high, made.repeats) == (2.5, 1.0, 10.0, 4)
    assert f"{made:.1f}" == "2.5 (1.0–10.0)"


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)], ids=str
)
def test_a_percentile_is_a_measured_value(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_p99_of_few_values_is_their_maximum() -> None:
    assert percentile([1.0, 9.0, 2.0], 0.99) == 9.0
