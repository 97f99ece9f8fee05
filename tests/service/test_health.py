"""Health really scores, but not more than once a second."""

from __future__ import annotations

import asyncio

from support import BytesModel

from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.health import Health
from rerankd.service.pool import Plan, Pool


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_one_probe_a_second_whoever_asks() -> None:
    engine = FakeEngine(max_length=None)

    def load(_: Spec) -> Loaded:
        return Loaded(model=BytesModel(engine=engine), warnings=())

    pool, clock = Pool(request_tokens=1000, queue_tokens=4000, load=load), Clock()
    await pool.start(Plan(specs=(Spec(name="fake-model"),), aliases={}))
    health = Health(pool, clock=clock)
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


async def test_a_model_that_is_not_loaded_is_not_healthy() -> None:
    pool = Pool(request_tokens=1000, queue_tokens=4000)
    health = Health(pool)
    assert not (await health.check()).ok
