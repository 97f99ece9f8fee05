"""Token buckets: how much, and when again."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.access.keys import ANYONE, Key, Team
from rerankd.access.meters import Bucket
from rerankd.access.rates import RateLimits, duration
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


MIDNIGHT = 20_000 * 86_400.0


def days(at: float = MIDNIGHT) -> tuple[RateLimits, Clock]:
    """Limits whose minutes do not pass, and the clock of their days."""
    wall = Clock()
    wall.now = at
    return RateLimits(clock=Clock(), wall=wall), wall


def stored(number: int = 1, **limits: int) -> Key:
    team = limits.pop("team", None)
    made = Team(id=1, name="t", rpm=team) if team else None
    made_key = Key(name=f"k{number}", digest=bytes([number]), id=number, team=made)
    return dataclasses.replace(made_key, **limits)  # pyright: ignore[reportArgumentType] - of its limits


def test_a_day_ends_at_midnight_utc_and_says_so() -> None:
    limits, wall = days(MIDNIGHT + 86_400 - 7200)
    for _ in range(3):
        limits.take_request(stored(rpd=3))
    with pytest.raises(RateLimited, match="RPD") as refused:
        limits.take_request(stored(rpd=3))
    assert refused.value.retry_after_s == 7200
    assert refused.value.is_final  # nobody waits for two hours
    wall.now += 7199
    with pytest.raises(RateLimited) as refused:
        limits.take_request(stored(rpd=3))
    assert not refused.value.is_final
    wall.now += 1
    limits.take_request(stored(rpd=3))


def test_tokens_of_a_day_are_charged_settled_and_given_back_but_not_to_another_day() -> None:
    limits, wall = days(MIDNIGHT + 86_400 - 1)
    key = stored(tpd=100)
    charge = limits.charge(key)
    asyncio.run(charge.add(60))
    charge.settle(50)
    assert limits.headers(key)["x-ratelimit-remaining-tokens"] == "50"
    wall.now += 2
    asyncio.run(limits.charge(key).add(30))
    charge.give_back()
    assert limits.headers(key)["x-ratelimit-remaining-tokens"] == "70"


def test_a_request_over_the_whole_day_needs_an_unused_day() -> None:
    limits, _ = days()
    limits.take_tokens(stored(1, tpd=10), 50)
    limits.take_tokens(stored(2, tpd=10), 1)
    with pytest.raises(RateLimited, match="TPD"):
        limits.take_tokens(stored(2, tpd=10), 50)


def test_a_request_is_counted_in_all_limits_or_in_none() -> None:
    limits, _ = days()
    first, second = stored(1, rpm=5, rpd=9, team=2), stored(2, rpm=5, team=2)
    limits.take_request(first)
    limits.take_request(second)
    with pytest.raises(RateLimited, match="RPM"):  # of the team
        limits.take_request(first)
    assert limits.headers(stored(1, rpm=5, rpd=9))["x-ratelimit-remaining-requests"] == "4"
    assert limits.headers(stored(1, rpd=9))["x-ratelimit-remaining-requests"] == "8"


def test_an_edited_limit_forgets_nothing() -> None:
    limits, _ = days()
    for _ in range(4):
        limits.take_request(stored(rpm=5, rpd=5))
    limits.take_request(stored(rpm=6, rpd=6))
    assert limits.headers(stored(rpm=6))["x-ratelimit-remaining-requests"] == "1"
    assert limits.headers(stored(rpd=6))["x-ratelimit-remaining-requests"] == "1"
    with pytest.raises(RateLimited):
        limits.take_request(stored(rpm=3))


def test_so_many_at_once_and_one_that_ends_makes_room() -> None:
    limits, _ = days()
    key = stored(in_flight=2)
    first, _ = limits.enter(key), limits.enter(key)
    with pytest.raises(RateLimited) as refused:
        limits.enter(key)
    assert refused.value.reason == "in_flight"
    limits.leave(first)
    limits.enter(key)
    assert limits.enter(stored(2)) == ()


def test_who_has_no_limit_is_told_none_and_the_tightest_is_told() -> None:
    limits, _ = days()
    assert limits.headers(stored()) == {}
    assert limits.headers(ANYONE) == {}
    limits.take_request(stored(rpm=10, rpd=10))
    assert limits.headers(stored(rpm=10, rpd=10)) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "24h0m0s",
    }


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0ms"), (0.0501, "51ms"), (12.41, "12.5s"), (60, "1m0s"), (3661.5, "1h1m2s")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
