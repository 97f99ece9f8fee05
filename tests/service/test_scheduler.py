"""Admission, joining, fairness, cancellation and failure in front of one engine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Sequence

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed, InvalidRequest, Overloaded
from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.service.scheduler import Scheduler
from tests.kit.support import row


def rows(*lengths: int) -> list[Row]:
    return [row(*[3] * n) for n in lengths]


@contextlib.asynccontextmanager
async def scheduling(
    engine: FakeEngine | None = None, *, request_tokens: int = 10_000, queue_tokens: int = 40_000
) -> AsyncGenerator[Scheduler]:
    scheduler = Scheduler(
        engine or FakeEngine(), request_tokens=request_tokens, queue_tokens=queue_tokens
    )
    try:
        yield scheduler
    finally:
        await scheduler.close()


class GatedEngine(FakeEngine):
    """Runs a batch only when the test opens the gate; remembers which rows ran."""

    def __init__(self, batch_tokens: int = 100) -> None:
        super().__init__(batch_tokens=batch_tokens)
        self.gate = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.ran: list[int] = []

    def forward(self, batch: Sequence[Row]) -> Logits:
        self.started.release()
        if not self.gate.acquire(timeout=20):
            raise TimeoutError
        self.ran += [r.tokens for r in batch]
        return super().forward(batch)

    async def has_started(self) -> None:
        assert await asyncio.to_thread(self.started.acquire, timeout=20)


async def test_requests_that_wait_share_a_batch() -> None:
    engine = FakeEngine()
    async with scheduling(engine) as scheduler:
        a, b = await asyncio.gather(scheduler.submit(rows(5, 2)), scheduler.submit(rows(9)))
    assert engine.batches == [3]
    assert a.logits.shape == (2, 1)
    np.testing.assert_allclose(b.logits, FakeEngine().forward(rows(9)))


async def test_logits_come_back_in_the_order_of_the_rows() -> None:
    wanted = rows(3, 50, 7, 50, 1)
    async with scheduling(FakeEngine(batch_tokens=60)) as scheduler:
        scored = await scheduler.submit(wanted)
    np.testing.assert_array_equal(scored.logits, FakeEngine().forward(wanted))


async def test_a_request_that_does_not_fit_is_refused_whole() -> None:
    engine = GatedEngine()
    async with scheduling(engine, queue_tokens=250) as scheduler:
        first = asyncio.create_task(scheduler.submit(rows(100)))
        await engine.has_started()
        waiting = asyncio.create_task(scheduler.submit(rows(100, 100)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="holds 200 of 250") as refused:
            await scheduler.submit(rows(30, 30))
        assert refused.value.retry_after_s >= 1
        engine.gate.release(10)
        await asyncio.gather(first, waiting)
    assert 30 not in engine.ran


async def test_a_request_over_the_queue_is_admitted_when_it_is_empty() -> None:
    async with scheduling(queue_tokens=10) as scheduler:
        assert (await scheduler.submit(rows(20, 20))).logits.shape == (2, 1)


async def test_a_request_over_the_request_limit_is_refused_with_the_numbers() -> None:
    async with scheduling(request_tokens=10) as scheduler:
        with pytest.raises(InvalidRequest, match=r"11 tokens .* limit is 10 .*request_tokens"):
            await scheduler.submit(rows(11))


async def test_a_short_request_overtakes_a_long_one() -> None:
    engine = GatedEngine()
    async with scheduling(engine) as scheduler:
        long = asyncio.create_task(scheduler.submit(rows(*[50] * 40)))
        await engine.has_started()
        short = asyncio.create_task(scheduler.submit(rows(20, 20)))
        await asyncio.sleep(0)
        engine.gate.release(3)
        await asyncio.wait_for(short, 20)
        assert not long.done()
        engine.gate.release(100)
        await long


async def test_a_cancelled_request_costs_nothing_more() -> None:
    engine = GatedEngine()
    async with scheduling(engine) as scheduler:
        first = asyncio.create_task(scheduler.submit(rows(100)))
        await engine.has_started()
        gone = asyncio.create_task(scheduler.submit(rows(*[70] * 10)))
        await asyncio.sleep(0)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        assert scheduler.waiting_tokens == 0
        engine.gate.release(20)
        await first
        await scheduler.submit(rows(30))
    assert engine.ran == [100, 30]


class PoisonedEngine(FakeEngine):
    """Fails on any batch that holds a row of 13 tokens."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        if any(r.tokens == 13 for r in batch):
            raise MemoryError
        return super().forward(batch)


async def test_an_engine_error_reaches_its_caller_alone_and_the_loop_lives() -> None:
    async with scheduling(PoisonedEngine()) as scheduler:
        bad, good = await asyncio.gather(
            scheduler.submit(rows(13)), scheduler.submit(rows(5)), return_exceptions=True
        )
        assert isinstance(bad, EngineFailed)
        assert isinstance(bad.__cause__, MemoryError)
        assert not isinstance(good, BaseException)
        assert (await scheduler.submit(rows(4))).logits.shape == (1, 1)
        assert scheduler.waiting_tokens == 0


class NanEngine(FakeEngine):
    """Answers NaN."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        return np.full((len(batch), 1), np.nan, dtype=np.float32)


async def test_a_logit_that_is_not_finite_is_an_error_never_an_answer() -> None:
    async with scheduling(NanEngine()) as scheduler:
        with pytest.raises(EngineFailed, match="not finite"):
            await scheduler.submit(rows(4))


async def test_a_probe_does_not_wait_for_the_queue() -> None:
    engine = GatedEngine()
    async with scheduling(engine) as scheduler:
        long = asyncio.create_task(scheduler.submit(rows(*[50] * 40)))
        await engine.has_started()
        probe = asyncio.create_task(scheduler.probe(rows(7)))
        await asyncio.sleep(0)
        engine.gate.release(2)  # the batch that runs, then the probe
        await asyncio.wait_for(probe, 20)
        assert not long.done()
        engine.gate.release(100)
        await long


async def test_closing_ends_what_waits_and_frees_the_engine() -> None:
    engine = GatedEngine()
    scheduler = Scheduler(engine, request_tokens=10_000, queue_tokens=40_000)
    first = asyncio.create_task(scheduler.submit(rows(100)))
    await engine.has_started()
    waiting = asyncio.create_task(scheduler.submit(rows(100)))
    await asyncio.sleep(0)
    engine.gate.release(1)
    closing = asyncio.create_task(scheduler.close())
    with pytest.raises(Overloaded):
        await asyncio.wait_for(waiting, 20)
    await closing
    assert engine.closed
    first.cancel()


async def test_finish_waits_for_requests_that_are_still_being_prepared() -> None:
    async with scheduling() as scheduler:
        with scheduler.hold():
            finishing = asyncio.create_task(scheduler.finish())
            await asyncio.sleep(0)
            assert not finishing.done()
            await scheduler.submit(rows(4))
            assert not finishing.done()
        await asyncio.wait_for(finishing, 20)


async def test_a_closed_scheduler_refuses_instead_of_waiting_for_ever() -> None:
    scheduler = Scheduler(FakeEngine(), request_tokens=10_000, queue_tokens=40_000)
    await scheduler.close()
    with pytest.raises(Overloaded, match="unloaded"):
        await asyncio.wait_for(scheduler.submit(rows(4)), 20)


async def test_closing_ends_what_runs_too() -> None:
    engine = GatedEngine()
    scheduler = Scheduler(engine, request_tokens=10_000, queue_tokens=40_000)
    running = asyncio.create_task(scheduler.submit(rows(100)))
    await engine.has_started()
    closing = asyncio.create_task(scheduler.close())
    with pytest.raises(Overloaded, match="unloaded"):
        await asyncio.wait_for(running, 20)
    engine.gate.release(1)
    await closing


async def test_an_estimate_is_refused_before_it_is_counted() -> None:
    async with scheduling(queue_tokens=100) as scheduler:
        with scheduler.reserve(80):
            with pytest.raises(Overloaded), scheduler.reserve(30):
                pass
            with scheduler.reserve(20):
                pass
        with scheduler.reserve(90):
            pass
