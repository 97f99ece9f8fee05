"""What the scheduler promises, for any arrivals: fake clock, fake engine, real scheduler."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.core.errors import Overloaded
from rerankd.core.rows import Row
from rerankd.service.cache import ScoreCache
from rerankd.service.scheduler import Scheduler
from tests.kit.virtual_time import TimedEngine, alone, schedule

BATCH = 1000  # tokens
QUANTUM = BATCH // 4
_numbers = count(1)


def fresh(lengths: Sequence[int]) -> list[Row]:
    """Rows that no other row equals."""
    return [Row(np.array([next(_numbers)] + [7] * (n - 1), dtype=np.int32), 0) for n in lengths]


@dataclass(frozen=True)
class Arrival:
    """A request, when it comes, and after how long its client leaves or its deadline passes."""

    at_s: float
    lengths: list[int]
    key: str
    patience_s: float | None


arrivals = st.lists(
    st.builds(
        Arrival,
        at_s=st.floats(0, 5),
        lengths=st.lists(st.integers(1, 400), min_size=1, max_size=12),
        key=st.sampled_from(["a", "b"]),
        patience_s=st.none() | st.floats(0.001, 5),
    ),
    min_size=1,
    max_size=12,
)


@dataclass
class Outcome:
    """How a request ended, and when."""

    rows: list[Row]
    end: str  # "answered", "refused", "left"
    at_s: float
    waiting_before: int


async def send(scheduler: Scheduler, arrival: Arrival) -> Outcome:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(arrival.at_s)
    rows, before = fresh(arrival.lengths), scheduler.waiting_tokens
    try:
        async with asyncio.timeout(arrival.patience_s):
            scored = await scheduler.submit(rows, key=arrival.key)
    except Overloaded:
        return Outcome(rows, "refused", loop.time(), before)
    except TimeoutError:
        return Outcome(rows, "left", loop.time(), before)
    np.testing.assert_array_equal(scored.logits, alone(rows))
    return Outcome(rows, "answered", loop.time(), before)


@given(arrivals)
@settings(max_examples=60, deadline=None)
def test_a_request_is_taken_whole_or_not_at_all_and_one_that_left_costs_nothing_more(
    requests: list[Arrival],
) -> None:
    queue_tokens = 2500
    engine = TimedEngine(batch_tokens=BATCH)

    async def story(scheduler: Scheduler) -> list[Outcome]:
        outcomes = await asyncio.gather(*(send(scheduler, arrival) for arrival in requests))
        assert scheduler.waiting_tokens == 0
        return outcomes

    outcomes = schedule(engine, story, queue_tokens=queue_tokens)
    ran = Counter(id(row) for row in engine.rows)
    assert set(ran.values()) <= {1}
    for outcome in outcomes:
        tokens = sum(row.tokens for row in outcome.rows)
        starts = [at for at, batch in engine.started for row in batch if row in outcome.rows]
        fits = outcome.waiting_before == 0 or outcome.waiting_before + tokens <= queue_tokens
        assert fits == (outcome.end != "refused")
        if outcome.end == "answered":
            assert len(starts) == len(outcome.rows)
        elif outcome.end == "refused":
            assert starts == []
        else:
            assert all(at <= outcome.at_s for at in starts)


small_requests = st.lists(st.integers(1, 60), min_size=4, max_size=4)


@given(
    large=st.lists(st.integers(20, QUANTUM), min_size=40, max_size=80),
    small=small_requests,
    at_s=st.floats(0.0, 2.0),
    key=st.sampled_from(["large", "small"]),
)
@settings(max_examples=60, deadline=None)
def test_a_small_request_waits_for_the_batch_that_runs_and_goes_with_the_next(
    large: list[int], small: list[int], at_s: float, key: str
) -> None:
    engine = TimedEngine(batch_tokens=BATCH)

    async def story(scheduler: Scheduler) -> float:
        others = asyncio.create_task(scheduler.submit(fresh(large), key="large"))
        await asyncio.sleep(at_s)
        began = asyncio.get_running_loop().time()
        await scheduler.submit(fresh(small), key=key)
        spent = asyncio.get_running_loop().time() - began
        others.cancel()
        await asyncio.wait([others])
        return spent

    assert schedule(engine, story) <= 2 * engine.seconds(BATCH) + 1e-9


@given(
    clients=st.integers(1, 12),
    keys=st.integers(1, 12),
    small=small_requests,
    at_s=st.floats(0.0, 20.0),
)
@settings(max_examples=40, deadline=None)
def test_beside_many_clients_a_small_request_waits_one_turn_of_each_at_most(
    clients: int, keys: int, small: list[int], at_s: float
) -> None:
    engine = TimedEngine(batch_tokens=BATCH)

    async def story(scheduler: Scheduler) -> float:
        others = [
            asyncio.create_task(scheduler.submit(fresh([50] * 400), key=str(n % keys)))
            for n in range(clients)
        ]
        await asyncio.sleep(at_s)
        began = asyncio.get_running_loop().time()
        await scheduler.submit(fresh(small), key="small")
        spent = asyncio.get_running_loop().time() - began
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        return spent

    batches = 2 + -(-min(clients, keys) // 4)  # four turns fit a batch
    assert schedule(engine, story) <= batches * engine.seconds(BATCH) + 1e-9


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.lists(st.integers(1, 9), min_size=1, max_size=20)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0, 1 << 20]),
)
@settings(max_examples=60, deadline=None)
def test_equal_pairs_are_scored_once_per_batch_and_once_at_all_with_a_cache(
    requests: list[tuple[float, list[int]]], cache_bytes: int
) -> None:
    engine = TimedEngine(batch_tokens=BATCH)
    cache = ScoreCache(cache_bytes) if cache_bytes else None

    async def ask(scheduler: Scheduler, at_s: float, kinds: list[int]) -> int:
        await asyncio.sleep(at_s)
        rows = [Row(np.full(40 * kind, kind, dtype=np.int32), 0) for kind in kinds]
        scored = await scheduler.submit(rows)
        np.testing.assert_array_equal(scored.logits, alone(rows))
        return sum(scored.cached_tokens)

    async def story(scheduler: Scheduler) -> int:
        return sum(await asyncio.gather(*(ask(scheduler, *each) for each in requests)))

    hits = schedule(engine, story, cache=cache)
    for _, batch in engine.started:
        assert len({row.key() for row in batch}) == len(batch)
    kinds = {kind for _, asked in requests for kind in asked}
    if cache is not None:
        assert sorted(int(row.ids[0]) for row in engine.rows) == sorted(kinds)
    else:
        assert hits == 0
