"""Token buckets: how much, and when again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.access.keys import Key
from rerankd.access.rates import Bucket, RateLimits
from rerankd.core.errors import RateLimited


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def key(name: str = "a", *, rpm: int | None = None, tpm: int | None = None) -> Key:
    return Key(name=name, digest=name.encode(), rpm=rpm, tpm=tpm)


def test_rpm_lets_so_many_through_and_says_when_again() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.take_request(key(rpm=2))
    limits.take_request(key(rpm=2))
    with pytest.raises(RateLimited, match="RPM") as refused:
        limits.take_request(key(rpm=2))
    assert refused.value.retry_after_s == 30
    clock.now += refused.value.retry_after_s
    limits.take_request(key(rpm=2))


def test_tpm_counts_tokens_exactly() -> None:
    limits = RateLimits(clock=Clock())
    limits.take_tokens(key(tpm=100), 60)
    limits.take_tokens(key(tpm=100), 40)
    with pytest.raises(RateLimited, match="TPM"):
        limits.take_tokens(key(tpm=100), 1)


def test_a_request_over_the_whole_limit_waits_for_a_full_bucket_then_leaves_debt() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    limits.take_tokens(key(tpm=60), 1)
    with pytest.raises(RateLimited):
        limits.take_tokens(key(tpm=60), 300)
    clock.now += 1
    limits.take_tokens(key(tpm=60), 300)
    with pytest.raises(RateLimited) as refused:
        limits.take_tokens(key(tpm=60), 1)
    assert refused.value.retry_after_s == 241


def test_tokens_of_a_refused_request_come_back() -> None:
    limits = RateLimits(clock=Clock())
    limits.take_tokens(key(tpm=10), 10)
    limits.give_back_tokens(key(tpm=10), 10)
    limits.take_tokens(key(tpm=10), 10)


def test_keys_do_not_share_and_a_key_without_limits_is_never_refused() -> None:
    limits = RateLimits(clock=Clock())
    limits.take_request(key("a", rpm=1))
    limits.take_request(key("b", rpm=1))
    for _ in range(1000):
        limits.take_request(key("free"))
        limits.take_tokens(key("free"), 10**9)


def test_a_reload_keeps_the_level_of_keys_that_stay() -> None:
    limits = RateLimits(clock=Clock())
    limits.take_request(key("a", rpm=1))
    limits.take_request(key("b", rpm=1))
    limits.keep([key("a")])
    limits.take_request(key("b", rpm=1))  # was forgotten
    with pytest.raises(RateLimited):
        limits.take_request(key("a", rpm=1))


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=60))
def test_never_more_than_a_burst_plus_the_refill(calls: list[tuple[float, int]]) -> None:
    clock = Clock()
    bucket = Bucket(60, clock=clock)
    taken = 0
    for wait_s, cost in calls:
        clock.now += wait_s
        if bucket.take(cost) == 0.0:
            taken += cost
    assert taken <= 60 + clock.now + 1e-6
