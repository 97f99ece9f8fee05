"""Intervals and tests against values known by other means."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rerankd.measure.significance import holm, interval, p_value


def test_p_is_the_share_of_sign_patterns_that_part_the_means_as_far() -> None:
    first = np.array([0.9, 0.8, 0.7, 0.95, 0.4, 0.6])
    second = np.array([0.5, 0.6, 0.75, 0.55, 0.3, 0.35])
    differences = first - second
    seen = abs(differences.sum()) - 1e-12
    patterns = list(itertools.product((1, -1), repeat=6))
    exact = sum(abs(float(differences @ signs)) >= seen for signs in patterns) / len(patterns)
    assert p_value([first], [second]) == pytest.approx(exact)
    assert p_value([second], [first]) == pytest.approx(exact), "two-sided"


def test_equal_systems_do_not_differ() -> None:
    same = np.array([0.2, 0.4, 0.9])
    assert p_value([same], [same.copy()]) == 1.0
    assert p_value([np.array([1.0])], [np.array([0.0])]) == 1.0, "one query shows nothing"


def test_many_queries_are_sampled_and_repeat_exactly() -> None:
    draw = np.random.default_rng(1)
    first = draw.random(200)
    second = first - 0.05 + 0.1 * draw.standard_normal(200)
    p = p_value([first], [second])
    assert p < 0.001
    assert p_value([first], [second]) == p


def test_a_false_null_hypothesis_is_not_seen_where_there_is_none() -> None:
    draw = np.random.default_rng(2)
    p_values = [p_value([draw.random(30)], [draw.random(30)]) for _ in range(40)]
    assert 0.3 < float(np.mean(p_values)) < 0.7, "uniform under the null hypothesis"


def test_a_set_counts_as_a_whole_however_many_queries_it_has() -> None:
    large, small = np.full(300, 0.5), np.array([0.9, 0.7, 0.8, 0.6])
    low, high = interval([large, small]) or (0.0, 0.0)
    alone = interval([small]) or (0.0, 0.0)
    assert (low, high) == pytest.approx([(0.5 + edge) / 2 for edge in alone], abs=0.01)


def test_the_interval_is_about_two_standard_errors_and_holds_the_mean() -> None:
    values = np.random.default_rng(0).random(100)
    low, high = interval([values]) or (0.0, 0.0)
    error = float(values.std(ddof=1) / 10)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_one_query_has_no_interval() -> None:
    assert interval([np.array([0.5])]) is None
    assert interval([np.array([0.5, 0.6]), np.array([0.5])]) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
