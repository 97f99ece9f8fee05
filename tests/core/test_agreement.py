"""Agreement of scores, on numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest

from rerankd.core.agreement import agreement, ranks, spearman, top_overlap


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([10.0, 30.0, 10.0, 20.0]).tolist() == [1.5, 4.0, 1.5, 3.0]


def test_spearman_sees_order_only() -> None:
    assert spearman([1.0, 2.0, 3.0], [1.0, 10.0, 1000.0]) == pytest.approx(1.0)
    assert spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    # d = (0, 1, -1): 1 - 6 * 2 / (3 * 8)
    assert spearman([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(0.5)


def test_spearman_of_constant_scores_is_not_a_number() -> None:
    assert math.isnan(spearman([1.0, 2.0], [5.0, 5.0]))


def test_top_overlap_counts_what_both_have_among_their_best() -> None:
    assert top_overlap([4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 3.0, 2.0], k=2) == 0.5
    assert top_overlap([1.0, 2.0], [2.0, 1.0]) == 1.0  # fewer than k: all are best


def test_agreement_is_the_mean_over_requests_and_the_largest_difference() -> None:
    made = agreement([[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0], [2.5, 1.0]], k=1)
    assert made.spearman == pytest.approx(0.0)
    assert made.top_overlap == 0.5
    assert made.max_difference == 1.5


def test_agreement_refuses_different_numbers_of_requests() -> None:
    with pytest.raises(ValueError, match="zip"):
        agreement([[1.0, 2.0]], [])
