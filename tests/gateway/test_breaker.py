"""Breaker, keys in turn and the budget of second attempts: laws, on a clock that is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.gateway.breaker import Breaker, KeyTurns, RetryBudget


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        assert breaker.enter(now)
        breaker.bad(now)
    return breaker


def test_three_in_a_row_open_it_and_two_do_not() -> None:
    breaker = Breaker()
    breaker.bad(0)
    breaker.bad(0)
    assert breaker.state(0) == "closed"
    breaker.good()
    breaker.bad(0)
    breaker.bad(0)
    assert breaker.state(0) == "closed"
    breaker.bad(0)
    assert breaker.state(0) == "open"


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_open_exactly_when_5_of_the_last_20_or_3_in_a_row_were_bad(ends: list[bool]) -> None:
    breaker = Breaker()
    for i, is_bad in enumerate(ends):
        breaker.bad(0) if is_bad else breaker.good()
        last = ends[: i + 1]
        open_now = sum(last[-20:]) >= 5 or (len(last) > 2 and all(last[-3:]))
        assert (breaker.state(0) == "open") == open_now
        if open_now:
            return


def test_one_probe_is_let_through_and_its_failure_doubles_the_wait_to_300_s() -> None:
    breaker, now, waited = opened(), 0.0, list[float]()
    for _ in range(9):
        wait_s = breaker.wait_s(now)
        waited.append(wait_s)
        assert not breaker.enter(now + wait_s - 0.001)
        now += wait_s
        assert breaker.state(now) == "probing"
        assert breaker.enter(now)
        assert not breaker.enter(now)  # one
        breaker.bad(now)
    assert waited == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_good_probe_closes_it_and_what_was_bad_before_is_forgotten() -> None:
    breaker = opened()
    assert breaker.enter(5)
    breaker.good()
    assert breaker.state(5) == "closed"
    breaker.bad(5)
    breaker.bad(5)
    assert breaker.state(5) == "closed"
    breaker.bad(5)
    assert breaker.wait_s(5) == 5  # from the start again


def test_a_probe_that_nobody_waits_for_any_more_may_be_made_again() -> None:
    breaker = opened()
    assert breaker.enter(5)
    breaker.left()
    assert breaker.enter(5)


def test_what_was_sent_before_it_opened_changes_nothing() -> None:
    breaker = opened()
    breaker.good()
    breaker.bad(1)
    assert breaker.state(4.9) == "open"
    assert breaker.state(5) == "probing"


def test_keys_are_used_in_turn_rest_and_pause() -> None:
    keys = KeyTurns(("a", "b", "c"))
    assert [keys.take(0) for _ in range(4)] == [0, 1, 2, 0]
    keys.rest(1, 10)
    keys.refused(2, 0)
    assert [keys.take(0), keys.take(0)] == [0, 0]
    assert keys.counts(0) == (1, 1, 1)
    keys.rest(0, 7)
    assert (keys.take(6), keys.wait_s(6)) == (None, 1)
    assert keys.take(7) == 0
    keys.refused(0, 7)
    keys.refused(1, 7)
    assert (keys.take(59), keys.wait_s(59)) == (None, None)


def test_a_refused_key_is_tried_again_after_1_min_to_1_h_by_one_request() -> None:
    keys, now = KeyTurns(("a",)), 0.0
    keys.take(now)
    for pause_s in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        assert keys.refused(0, now) == pause_s
        assert keys.refused(0, now) == pause_s  # a request beside it
        assert keys.wait_s(now + pause_s - 1) is None
        now += pause_s
        assert keys.wait_s(now) == 0
        assert keys.take(now) == 0
        assert keys.take(now) is None  # one is on its way
        keys.left(0)
        assert keys.take(now) == 0
    keys.accepted(0)
    assert keys.counts(now) == (1, 0, 0)
    assert keys.refused(0, now) == 60


def test_who_needs_no_key_has_one_turn() -> None:
    keys = KeyTurns(())
    assert keys.key(keys.take(0) or 0) is None
    assert keys.counts(0) == (1, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=400), st.floats(0, 1))
def test_second_attempts_stay_within_their_share_of_any_10_s(
    events: list[tuple[float, bool]], share: float
) -> None:
    budget, now = RetryBudget(share), 0.0
    requests, retries = list[float](), list[float]()
    for step, wants_retry in events:
        now += step
        budget.request(now)
        requests.append(now)
        if wants_retry and budget.take(now):
            retries.append(now)
        recent = sum(t > now - 10 for t in requests)
        assert sum(t > now - 10 for t in retries) <= max(10, share * recent + 1)


@pytest.mark.parametrize(("share", "allowed"), [(0.1, 100), (0.0, 10), (0.5, 500)])
def test_a_tenth_of_a_thousand_requests_may_be_tried_again(share: float, allowed: int) -> None:
    budget = RetryBudget(share)
    for i in range(1000):
        budget.request(i / 200)
    assert sum(budget.take(5) for _ in range(1000)) == allowed
    assert budget.take(15.1)  # they are forgotten
