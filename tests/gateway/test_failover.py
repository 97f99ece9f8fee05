"""What follows from every outcome: the table of docs/routes.md."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.errors import (
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    RerankError,
    UpstreamFailed,
)
from rerankd.gateway.failover import RULES, AttemptFailed, Outcome, Rule, told_caller

# Outcome, whether the next is asked, what the breaker counts, who rests, the caller's status.
TABLE: list[tuple[Outcome, bool, str, str, int]] = [
    ("unreachable", True, "bad", "", 502),
    ("timeout", True, "bad", "", 504),
    ("rate_limited", True, "none", "key", 503),
    ("refused", True, "none", "key, long", 502),
    ("unknown_model", True, "none", "name", 502),
    ("invalid", False, "none", "", 400),
    ("over_limit", True, "none", "", 400),
    ("failed", True, "bad", "", 503),
    ("overloaded", True, "bad", "upstream", 503),
    ("bad_answer", True, "bad", "", 502),
    ("redirected", True, "bad", "", 502),
    ("given_up", False, "bad", "", 504),
    ("busy", True, "none", "", 503),
    ("resting", True, "none", "", 502),
]
FAILURES: list[Outcome] = [row[0] for row in TABLE]


@pytest.mark.parametrize(
    ("outcome", "goes_on", "mark", "rests", "status"), TABLE, ids=[r[0] for r in TABLE]
)
def test_the_table(outcome: Outcome, *, goes_on: bool, mark: str, rests: str, status: int) -> None:
    rule = RULES[outcome]
    assert (rule.goes_on, rule.mark, rule.rests) == (goes_on, mark, rests)
    assert told_caller([AttemptFailed(outcome)]).status == status


def test_the_table_has_every_outcome() -> None:
    assert {"ok", *FAILURES} == set(get_args(Outcome)) == set(RULES)
    assert RULES["ok"] == Rule(goes_on=False, mark="good")


@given(st.lists(st.tuples(st.sampled_from(FAILURES), st.none() | st.floats(0, 10_000)), min_size=1))
def test_nobody_is_told_that_his_own_key_or_limit_is_the_matter(
    ends: list[tuple[Outcome, float | None]],
) -> None:
    told = told_caller([AttemptFailed(o, status=429, retry_after_s=s) for o, s in ends])
    assert told.status in (400, 502, 503, 504)
    assert isinstance(told, InvalidRequest | UpstreamFailed | Overloaded | DeadlineExceeded)
    if isinstance(told, Overloaded):
        assert 0 <= told.retry_after_s <= 300


def test_who_was_not_asked_decides_only_when_nobody_was() -> None:
    resting = AttemptFailed("resting", retry_after_s=4)
    assert told_caller([AttemptFailed("bad_answer"), resting]).status == 502
    told = told_caller([resting, AttemptFailed("busy", retry_after_s=2)])
    assert isinstance(told, Overloaded)
    assert told.retry_after_s == 2


def test_the_smallest_wait_of_all_is_told() -> None:
    waits = (60.0, 5.0, 9.0)
    told = told_caller([AttemptFailed("rate_limited", retry_after_s=wait) for wait in waits])
    assert isinstance(told, Overloaded)
    assert told.retry_after_s == 5


@pytest.mark.parametrize("error", [EngineFailed("x"), InvalidRequest("documents[3]: too long.")])
def test_an_error_of_ones_own_is_told_as_it_is(error: RerankError) -> None:
    assert told_caller([AttemptFailed("failed", error=error)]) is error
