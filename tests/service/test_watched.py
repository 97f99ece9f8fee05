"""A task that serves others may fail; it may not do so unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.health import Health
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.service.scheduler import Scheduler
from rerankd.service.watch import watched
from rerankd.settings.schema import Limits
from tests.kit.support import BytesModel, row


class BadCache:
    """Raises where the scheduler's own code stands, outside any engine, as often as it is told."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.used_bytes = 0

    def get(self, row: Row, scope: bytes) -> Logits | None:
        return None

    def put(self, row: Row, logits: Logits, scope: bytes) -> None:
        if self.left:
            self.left -= 1
            raise MemoryError

    def clear(self) -> None:
        pass


async def test_a_failure_around_the_engine_ends_one_request_not_the_queue() -> None:
    scheduler = Scheduler(
        FakeEngine(),
        request_tokens=1000,
        queue_tokens=4000,
        cache=BadCache(1),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    )
    with pytest.raises(EngineFailed):
        await asyncio.wait_for(scheduler.submit([row(1, 2)]), 60)
    scored = await asyncio.wait_for(scheduler.submit([row(1, 2)]), 60)
    assert scored.logits.shape == (1, 1)
    await scheduler.close()


async def test_when_the_queues_own_task_ends_waiters_are_told_and_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop fails where nothing guards it: while it picks the next batch."""
    engine = FakeEngine(max_length=None)
    pool = Pool(
        Limits(request_tokens=1000, queue_tokens=4000),
        load=lambda _: Loaded(model=BytesModel(engine=engine), warnings=()),
    )
    await pool.start(ServingPlan(specs=(Spec(name="fake-model"),), aliases={}))
    scheduler = pool.loaded["fake-model"].scheduler
    health = Health(pool, moment_s=20)
    assert (await health.check()).ok
    queue = scheduler._queue  # pyright: ignore[reportPrivateUsage] - where the fault is put
    pick = queue.next_batch
    failures = iter([True])

    def fails_once(*arguments: float) -> object:
        if next(failures, False):
            raise MemoryError
        return pick(*arguments)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(queue, "next_batch", fails_once)
    waiting = [asyncio.create_task(scheduler.submit([row(1, n)])) for n in range(5)]
    done, _ = await asyncio.wait(waiting, timeout=60)
    assert len(done) == 5
    assert all(isinstance(task.exception(), EngineFailed) for task in done)
    assert scheduler.is_broken
    assert (await health.check()).models == {"fake-model": "its queue failed"}
    while scheduler.is_broken:
        await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(scheduler.submit([row(1)]), 60)).logits.shape == (1, 1)
    assert scheduler.waiting_tokens == 0
    await pool.close()


class FirstFails(FakeEngine):
    """Fails on any batch that holds the first row of it that was ever seen."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: Row | None = None

    def forward(self, batch: Sequence[Row]) -> Logits:
        self.bad = self.bad or batch[0]
        if any(each is self.bad for each in batch):
            raise MemoryError
        return super().forward(batch)


async def test_when_the_first_request_of_a_batch_fails_the_others_are_answered() -> None:
    scheduler = Scheduler(FirstFails(), request_tokens=1000, queue_tokens=4000)
    outcomes = await asyncio.wait_for(
        asyncio.gather(
            *(scheduler.submit([row(1, n), row(2, n)]) for n in range(6)), return_exceptions=True
        ),
        60,
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], EngineFailed)
    await scheduler.close()


async def test_a_watched_task_begins_again_and_every_failure_is_told() -> None:
    runs: list[int] = []
    told: list[Exception] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError
        if len(runs) == 3:
            await asyncio.Event().wait()

    task = asyncio.create_task(watched("test", work, told.append))
    async with asyncio.timeout(60):
        while len(runs) < 3:
            await asyncio.sleep(0.05)
    assert [type(error) for error in told] == [ValueError, RuntimeError]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


class Stuck(FakeEngine):
    """Answers nothing until it is let go; NaN when it is told to."""

    def __init__(self) -> None:
        super().__init__(max_length=None)
        self.loop = asyncio.get_running_loop()
        self.go = asyncio.Event()
        self.gives_nan = False

    def forward(self, batch: Sequence[Row]) -> Logits:
        asyncio.run_coroutine_threadsafe(self.go.wait(), self.loop).result(120)
        out = super().forward(batch)
        return np.full_like(out, np.nan) if self.gives_nan else out


async def test_health_fails_when_the_real_path_is_stuck_and_answers_at_once() -> None:
    now = [100.0]
    engine = Stuck()
    pool = Pool(
        Limits(request_tokens=1000, queue_tokens=4000),
        load=lambda _: Loaded(model=BytesModel(engine=engine), warnings=()),
    )
    await pool.start(ServingPlan(specs=(Spec(name="fake-model"),), aliases={}))
    health = Health(pool, clock=lambda: now[0], moment_s=0.05)
    assert (await health.check()).ok  # it scored when it was loaded; the probe is under way
    now[0] += health.patience_s - 1
    assert (await health.check()).ok
    now[0] += 2
    assert "no score within" in (await health.check()).models["fake-model"]
    engine.go.set()
    async with asyncio.timeout(60):
        while not (await health.check()).ok:
            await asyncio.sleep(0.05)
    engine.gives_nan = True
    now[0] += 2
    async with asyncio.timeout(60):
        while (await health.check()).ok:
            await asyncio.sleep(0.05)
    assert (await health.check()).models["fake-model"] == "cannot score"
    health.close()
    await pool.close()
