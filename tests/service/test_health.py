"""Health really scores, but not more than once a second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.health import Health
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.kit.support import BytesModel, row


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_one_probe_a_second_whoever_asks() -> None:
    engine = FakeEngine(max_length=None)

    def load(_: Spec) -> Loaded:
        return Loaded(model=BytesModel(engine=engine), warnings=())

    pool, clock = Pool(Limits(request_tokens=1000, queue_tokens=4000), load=load), Clock()
    await pool.start(ServingPlan(specs=(Spec(name="fake-model"),), aliases={}))
    health = Health(pool, clock=clock, moment_s=20)
    verdicts = await asyncio.gather(*(health.check() for _ in range(50)))
    assert all(verdict.ok for verdict in verdicts)
    assert len(engine.batches) == 1
    clock.now += 0.9
    await health.check()
    assert len(engine.batches) == 1
    clock.now += 0.2
    await health.check()
    assert len(engine.batches) == 2
    await pool.close()


class Broken(FakeEngine):
    """Gives the same number for everything."""

    def __init__(self, number: float) -> None:
        super().__init__(max_length=None)
        self.number = number

    def forward(self, batch: Sequence[Row]) -> Logits:
        return np.full_like(super().forward(batch), self.number)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
async def test_a_model_whose_scores_are_not_finite_is_not_healthy(number: float) -> None:
    engine = Broken(1.0)

    def load(_: Spec) -> Loaded:
        return Loaded(model=BytesModel(engine=engine), warnings=())

    pool, clock = Pool(Limits(request_tokens=1000, queue_tokens=4000), load=load), Clock()
    await pool.start(ServingPlan(specs=(Spec(name="fake-model"),), aliases={}))
    health = Health(pool, clock=clock)
    assert (await health.check()).ok
    clock.now += 2
    engine.number = number
    verdict = await health.check()
    assert not verdict.ok
    assert verdict.models["fake-model"] != "ok"
    clock.now += 2
    engine.number = 1.0
    assert (await health.check()).ok
    await pool.close()


async def test_a_model_that_is_not_loaded_is_not_healthy() -> None:
    pool = Pool(Limits(request_tokens=1000, queue_tokens=4000))
    health = Health(pool)
    assert not (await health.check()).ok


class Stuck(FakeEngine):
    """Its calls end when they are let go."""

    def __init__(self) -> None:
        super().__init__(max_length=None)
        self.go, self.entered = threading.Event(), threading.Event()

    def forward(self, batch: Sequence[Row]) -> Logits:
        self.entered.set()
        assert self.go.wait(200)
        return super().forward(batch)


async def test_a_call_that_has_been_running_for_long_is_told_at_the_first_question() -> None:
    """Not only when a probe has waited behind it as long again."""
    engine, clock = Stuck(), Clock()

    def load(_: Spec) -> Loaded:
        return Loaded(model=BytesModel(engine=engine), warnings=())

    pool = Pool(Limits(request_tokens=1000, queue_tokens=4000), load=load)
    await pool.start(ServingPlan(specs=(Spec(name="fake-model"),), aliases={}))
    scheduler = pool.loaded["fake-model"].scheduler
    scheduler._clock = clock  # pyright: ignore[reportPrivateUsage]
    health = Health(pool, clock=clock, moment_s=0.05)
    running = asyncio.create_task(scheduler.submit([row(1, 2)]))
    assert await asyncio.to_thread(engine.entered.wait, 60)
    clock.now += health.patience_s + 1
    said = (await health.check()).models["fake-model"]
    engine.go.set()
    await running
    assert "one call into the engine has been running" in said
    health.close()
    await pool.close()
