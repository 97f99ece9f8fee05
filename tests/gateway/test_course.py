"""Who is asked next: on targets that say of themselves what they want."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.gateway.breaker import RetryBudget
from rerankd.gateway.course import Course
from rerankd.gateway.failover import RULES, AttemptFailed, Outcome
from rerankd.gateway.targets import RouteTarget

TARGETS = [RouteTarget(upstream=name, model="m") for name in "abcd"]
FAILURES: list[Outcome] = [outcome for outcome in RULES if outcome != "ok"]


@dataclass
class Said:
    """What the targets say, by the upstream's name."""

    resting: set[str] = field(default_factory=set[str])
    full: set[str] = field(default_factory=set[str])
    slow_s: dict[str, float] = field(default_factory=dict[str, float])

    def refusal(self, target: RouteTarget) -> AttemptFailed | None:
        if target.upstream in self.resting:
            return AttemptFailed("resting", retry_after_s=3)
        return None

    def has_room(self, target: RouteTarget) -> bool:
        return target.upstream not in self.full

    def usual_s(self, target: RouteTarget) -> float:
        return self.slow_s.get(target.upstream, 0.0)


def course(said: Said, *, attempts: int = 4, share: float = 1.0, left_s: float = 60.0) -> Course:
    budget = RetryBudget(share)
    budget.request(0)
    return Course(TARGETS, said, budget, attempts=attempts, left_s=lambda: left_s)


def walked(found: Course, outcome: Outcome = "failed") -> str:
    """The names of those that are asked when each fails so."""
    names = ""
    while (turn := found.next(0)) is not None:
        names += turn.target.upstream
        assert len(names) < 20
        found.failed(turn.target, AttemptFailed(outcome))
    return names


def test_one_after_the_other_and_nobody_twice() -> None:
    assert walked(course(Said())) == "abcd"


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_no_more_than_attempts(attempts: int) -> None:
    found = course(Said(), attempts=attempts)
    assert walked(found) == "abcd"[:attempts]
    assert found.asked == attempts


def test_who_rests_is_passed_over_and_counts_as_no_attempt() -> None:
    found = course(Said(resting={"a", "c"}), attempts=2)
    assert walked(found) == "bd"
    assert found.error().status == 503


def test_when_all_rest_the_caller_is_told_when_to_come_again() -> None:
    found = course(Said(resting={*"abcd"}))
    assert found.next(0) is None
    assert getattr(found.error(), "retry_after_s", None) == 3


def test_what_is_wrong_with_the_request_ends_it() -> None:
    found = course(Said())
    assert walked(found, "invalid") == "a"
    assert found.error().status == 400


def test_a_full_one_is_asked_last_and_may_be_waited_for_when_nobody_else_is_there() -> None:
    assert walked(course(Said(full={"a"}))) == "bcd"
    found = course(Said(full={*"abcd"}))
    turn = found.next(0)
    assert turn is not None
    assert (turn.target.upstream, turn.may_wait) == ("a", True)
    found.failed(turn.target, AttemptFailed("busy", retry_after_s=1))
    assert found.asked == 0


def test_without_a_budget_for_second_attempts_there_is_none() -> None:
    budget = RetryBudget(0.0)
    for _ in range(10):
        assert budget.take(0)  # what any window has room for
    found = Course(TARGETS, Said(), budget, attempts=4, left_s=lambda: 60)
    assert walked(found) == "a"


def test_nobody_is_asked_who_could_not_answer_in_time() -> None:
    said = Said(slow_s={"b": 5.0, "c": 0.5})
    assert walked(course(said, left_s=1.0)) == "acd"


@pytest.mark.parametrize("outcome", ["rate_limited", "refused"])
def test_another_key_of_the_same_upstream_is_tried(outcome: Outcome) -> None:
    found = course(Said(), attempts=2)
    turn = found.next(0)
    assert turn is not None
    found.failed(turn.target, AttemptFailed(outcome))
    again = found.next(0)
    assert again is not None
    assert again.target is turn.target
    resting = Said(resting={"a"})  # it has no other
    found = course(resting, attempts=2)
    found.failed(TARGETS[0], AttemptFailed(outcome))
    assert walked(found) == "bc"


@given(st.lists(st.sampled_from(FAILURES), max_size=12), st.integers(1, 6))
def test_however_they_fail_it_ends_and_says_something(
    outcomes: list[Outcome], attempts: int
) -> None:
    found, ends = course(Said(), attempts=attempts), list(outcomes)
    asked = 0
    while (turn := found.next(0)) is not None:
        outcome: Outcome = ends.pop() if ends else "failed"
        asked += outcome not in ("busy", "resting")
        found.failed(turn.target, AttemptFailed(outcome))
        assert asked <= attempts
    assert found.asked == asked
    assert found.error().status in (400, 502, 503, 504)
