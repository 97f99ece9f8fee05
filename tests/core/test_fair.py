"""Fair queueing: who is given how much, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.fair import FairQueue

jobs = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.lists(st.integers(1, 300), min_size=1, max_size=30)
    ),
    min_size=1,
    max_size=8,
)


@given(jobs, st.integers(50, 2000))
def test_every_row_is_given_out_once_within_the_budget(
    queued: list[tuple[str, list[int]]], budget: int
) -> None:
    queue: FairQueue[int] = FairQueue()
    for number, (key, lengths) in enumerate(queued):
        queue.add(number, lengths, key=key)
    given_out: list[tuple[int, int]] = []
    while batch := queue.next_batch(budget):
        tokens = sum(job.lengths[i] for job, i in batch)
        assert tokens <= budget or len(batch) == 1
        given_out += [(job.owner, i) for job, i in batch]
    assert sorted(given_out) == [
        (n, i) for n, (_, lengths) in enumerate(queued) for i in range(len(lengths))
    ]
    assert queue.waiting_tokens == 0


backlogs = st.lists(st.integers(1, 300), min_size=30, max_size=60)


@given(backlogs, backlogs, st.integers(0, 6), st.integers(400, 2000), st.sampled_from(["a", "b"]))
def test_while_two_wait_neither_gets_more_than_a_turn_ahead(
    first: list[int], second: list[int], late: int, budget: int, key: str
) -> None:
    """Two jobs of one key, or of two, the second some batches late.

    Goyal et al. 1996, theorem 1: shares differ by one largest turn of each at most.
    """
    queue: FairQueue[str] = FairQueue()
    one = queue.add("first", first, key="a")
    for _ in range(late):
        queue.next_batch(budget)
    other = queue.add("second", second, key=key)
    served = {"first": 0, "second": 0}
    while True:
        batch = queue.next_batch(budget)
        if not (one.order and other.order):
            break
        for job, i in batch:
            served[job.owner] += job.lengths[i]
        assert abs(served["first"] - served["second"]) <= 2 * (budget // 4 + 300)


@pytest.mark.parametrize("key", ["a", "b"])
def test_shares_are_tokens_not_turns(key: str) -> None:
    """Long rows overshoot their turn; what they took is charged."""
    queue: FairQueue[str] = FairQueue()
    long = queue.add("long", [300] * 200, key="a")
    short = queue.add("short", [10] * 6000, key=key)
    served = {"long": 0, "short": 0}
    while long.order and short.order:
        for job, i in queue.next_batch(1000):
            served[job.owner] += job.lengths[i]
    assert abs(served["long"] - served["short"]) <= 2 * (250 + 300)


def test_a_small_job_does_not_wait_for_a_large_one() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("large", [100] * 1000, key="a")
    queue.next_batch(1000)
    queue.add("small", [100] * 4, key="a")
    owners = [job.owner for job, _ in queue.next_batch(1000) + queue.next_batch(1000)]
    assert owners.count("small") == 4


def test_a_key_with_one_job_gets_as_much_as_a_key_with_a_hundred() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.add("many", [10] * 100, key="many")
    queue.add("one", [10] * 1000, key="one")
    owners = [job.owner for _ in range(10) for job, _ in queue.next_batch(1000)]
    assert abs(owners.count("one") - owners.count("many")) <= 50


def test_a_key_that_comes_back_has_no_credit_for_having_been_away() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("steady", [10] * 1000, key="steady")
    for _ in range(5):
        queue.next_batch(100)
    queue.add("new", [10] * 1000, key="new")
    owners = [job.owner for _ in range(10) for job, _ in queue.next_batch(100)]
    assert 40 <= owners.count("new") <= 60


def test_a_key_cannot_gain_by_sending_its_next_job_late() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("steady", [10] * 1000, key="steady")
    served = {"steady": 0, "one by one": 0}
    for _ in range(30):  # always exactly one short job waiting
        queue.add("one by one", [10] * 5, key="one by one")
        for job, _ in queue.next_batch(100):
            served[job.owner] += 1
    assert served["one by one"] <= served["steady"]


def test_lower_priority_goes_first_within_a_key_only() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("later", [10] * 10, key="a", priority=5)
    queue.add("sooner", [10] * 10, key="a", priority=0)
    queue.add("other", [10] * 10, key="b", priority=9)
    first = [job.owner for job, _ in queue.next_batch(200)]
    second = [job.owner for job, _ in queue.next_batch(200)]
    third = [job.owner for job, _ in queue.next_batch(200)]
    assert (first.count("sooner"), first.count("other")) == (10, 10)
    assert second == third == ["later"] * 5  # one turn each: "b" was served a moment ago


def test_a_key_that_was_here_a_moment_ago_finds_the_others_one_turn_ahead_at_most() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("many", [10] * 5000, key="many")
    served = {"many": 0, "few": 0}
    for n in range(40):
        if n % 2 == 0:  # every other batch its client is still reading the last answer
            queue.add("few", [10] * 40, key="few")
        for job, _ in queue.next_batch(1000):
            served[job.owner] += 1
    assert 0.9 <= served["few"] / served["many"] <= 1.1


def test_a_key_that_stays_away_holds_nobody_back() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("stays", [10] * 5000, key="stays")
    queue.add("leaves", [10] * 10, key="leaves")
    sizes = [len(queue.next_batch(1000)) for _ in range(8)]
    assert sizes[-1] == 100


@given(jobs, st.integers(50, 2000))
def test_what_is_ahead_is_never_more_than_what_waits(
    queued: list[tuple[str, list[int]]], tokens: int
) -> None:
    queue: FairQueue[int] = FairQueue()
    for number, (key, lengths) in enumerate(queued):
        queue.add(number, lengths, key=key)
    waiting = queue.waiting_tokens
    assert queue.ahead("a", tokens, {}) <= waiting
    assert queue.ahead("a", 10**9, {}) == waiting
    assert queue.ahead("new", 1, {}) <= len({key for key, _ in queued})
    assert queue.ahead("a", 10**9, {"a": (1, 50), "z": (2, 70)}) == waiting + 120


def test_a_job_that_is_late_goes_first_within_its_key() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("large", [100] * 50, key="a", start_by=5.0)
    for n in range(50):
        queue.add(f"small {n}", [10], key="a", start_by=100.0)
    before = [job.owner for job, _ in queue.next_batch(400, 4.9)]
    assert before.count("large") < len(before)
    after = [job.owner for job, _ in queue.next_batch(400, 5.0)]
    assert after == ["large"] * 4
    assert queue.ahead("a", 10, {}, 5.0) >= 4000


def test_cancelled_rows_are_gone_and_give_their_tokens_back() -> None:
    queue: FairQueue[str] = FairQueue()
    job = queue.add("gone", [10] * 10, key="a")
    queue.add("stays", [10], key="a")
    queue.cancel(job)
    queue.cancel(job)
    assert queue.waiting_tokens == 10
    assert [job.owner for job, _ in queue.next_batch(1000)] == ["stays"]
    assert queue.next_batch(1000) == []


def test_keys_that_left_are_forgotten() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.add(-1, [1] * 100_000, key="stays")
    for number in range(5000):
        queue.add(number, [1], key=str(number))
        queue.next_batch(10)
    assert len(queue._finished) <= 1025  # pyright: ignore[reportPrivateUsage] - memory is the point
