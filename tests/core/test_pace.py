"""What a stretch of work says of how fast a model can be."""

from __future__ import annotations

import pytest

from rerankd.core.pace import Pace


def worked(pace: Pace, tokens: int, seconds: float, began: float) -> None:
    pace.begin(began)
    pace.ran(tokens, began + seconds, more=False)


@pytest.mark.parametrize(("tokens", "seconds"), [(2, 0.01), (45, 0.12), (200, 0.4)])
def test_a_tiny_request_makes_no_large_one_hopeless(tokens: int, seconds: float) -> None:
    pace = Pace()
    worked(pace, tokens, seconds, 0.0)  # the first, whose kernels are made meanwhile
    assert pace.best_tokens_per_s == 0


def test_many_tokens_or_a_long_time_say_what_can_be_hoped_for() -> None:
    fast, slow = Pace(), Pace()
    worked(fast, 3000, 0.1, 0.0)
    worked(slow, 20, 1.0, 0.0)
    assert fast.best_tokens_per_s == pytest.approx(30_000)
    assert slow.best_tokens_per_s == pytest.approx(20)
    worked(fast, 2, 0.01, 5.0)
    assert fast.best_tokens_per_s == pytest.approx(30_000)


def served(pace: Pace, calls: int, tokens: int, seconds: float, *, full: bool) -> None:
    """Calls of so many tokens each, one after another; full = each left others waiting."""
    pace.begin(0.0)
    for i in range(calls):
        pace.ran(tokens, (i + 1) * seconds, more=i < calls - 1, full=full)


@pytest.mark.parametrize(("tokens", "seconds"), [(1, 0.004), (45, 0.03), (200, 0.4)])
def test_any_number_of_tiny_requests_makes_no_large_one_slow(tokens: int, seconds: float) -> None:
    """A millisecond of work and a few of overhead a call: 1000 documents would take minutes."""
    pace = Pace()
    served(pace, 10_000, tokens, seconds, full=False)
    assert pace.tokens_per_s == pace.best_tokens_per_s == 0
    served(pace, 10, 8192, 0.27, full=True)
    known = pace.tokens_per_s
    assert known == pytest.approx(8192 / 0.27)
    served(pace, 10_000, tokens, seconds, full=False)
    assert pace.tokens_per_s == known
    assert pace.seconds(200_000) < 10


def test_small_calls_that_leave_others_waiting_are_the_rate() -> None:
    pace = Pace()
    served(pace, 1000, 3, 0.1, full=True)
    assert pace.tokens_per_s == pytest.approx(30)
    assert pace.at_best(1000) == 0  # it is known, and nothing can be hoped for


def test_large_calls_count_among_tiny_ones() -> None:
    pace = Pace()
    pace.begin(0.0)
    now = 0.0
    for _ in range(40):
        for tokens, seconds in ((5, 0.02), (3000, 0.1)):
            now += seconds
            pace.ran(tokens, now, more=True, full=False)
    assert pace.tokens_per_s == pytest.approx(30_000)


def test_a_small_call_that_takes_long_counts() -> None:
    pace = Pace()
    served(pace, 30, 20, 1.0, full=False)
    assert pace.tokens_per_s == pytest.approx(20)


def test_what_took_time_and_gave_no_tokens_makes_a_call_large() -> None:
    pace = Pace()
    pace.begin(0.0)
    for i in range(10):
        pace.other(3000)
        pace.ran(2, (i + 1) / 10, more=True, full=False)
    assert pace.tokens_per_s == pytest.approx(30_020)
    assert pace.best_tokens_per_s == 0
