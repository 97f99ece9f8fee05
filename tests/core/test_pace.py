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
