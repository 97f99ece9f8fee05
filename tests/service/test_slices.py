"""Long rows run step by step: others run in between, a leaver stops one, a failure ends its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed, Overloaded
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import Engine
from rerankd.engines.fake import FakeEngine
from rerankd.service.scheduler import Scheduler
from tests.kit.support import row


class SlicingEngine(FakeEngine):
    """Rows over 100 tokens run in steps of 100; each call waits for the gate, if there is one."""

    def __init__(self, *, gated: bool = False, extra_steps: int = 0, fails_at: int = -1) -> None:
        super().__init__(max_length=None, batch_tokens=400)
        self.info = replace(self.info, slice_tokens=100)
        self.gate = threading.Semaphore(0) if gated else None
        self.calls: list[str] = []
        self.closed_rows = 0
        self._extra, self._fails_at = extra_steps, fails_at

    def _wait(self) -> None:
        if self.gate is not None and not self.gate.acquire(timeout=60):
            raise TimeoutError

    def forward(self, batch: Sequence[Row]) -> Logits:
        self._wait()
        self.calls.append(f"batch {[each.tokens for each in batch]}")
        return super().forward(batch)

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """As many steps as the row has hundreds, and some more."""
        try:
            for step in range(-(-row.tokens // 100) + self._extra - 1):
                self._wait()
                if step == self._fails_at:
                    raise MemoryError
                self.calls.append(f"step {step} of {row.tokens}")
                yield 100
            self._wait()
            self.calls.append(f"end of {row.tokens}")
            return FakeEngine(max_length=None).forward([row])[0]
        finally:
            self.closed_rows += 1


def rows(*lengths: int) -> list[Row]:
    return [row(*[3] * n) for n in lengths]


@contextlib.asynccontextmanager
async def scheduling(engine: Engine) -> AsyncGenerator[Scheduler]:
    scheduler = Scheduler(engine, request_tokens=100_000, queue_tokens=400_000)
    try:
        yield scheduler
    finally:
        await scheduler.close()


@pytest.mark.parametrize("extra_steps", [-2, -1, 0, 1, 5])
async def test_long_rows_score_as_in_one_piece_however_many_steps_they_take(
    extra_steps: int,
) -> None:
    wanted = rows(30, 950, 100, 101, 420, 7)
    engine = SlicingEngine(extra_steps=extra_steps)
    async with scheduling(engine) as scheduler:
        scored = await scheduler.submit(wanted)
        assert scheduler.waiting_tokens == 0
    np.testing.assert_array_equal(scored.logits, FakeEngine(max_length=None).forward(wanted))
    assert engine.closed_rows == 3  # over 100 tokens; 100 itself is short enough
    assert not [call for call in engine.calls if "batch" in call and "950" in call]


async def test_a_small_request_runs_between_the_steps_of_a_long_row() -> None:
    engine = SlicingEngine(gated=True)
    assert engine.gate is not None
    async with scheduling(engine) as scheduler:
        long = asyncio.create_task(scheduler.submit(rows(5000)))
        engine.gate.release(3)
        while len(engine.calls) < 3:
            await asyncio.sleep(0.01)
        small = asyncio.create_task(scheduler.submit(rows(20, 30)))
        engine.gate.release(6)
        await asyncio.wait_for(small, 60)
        assert not long.done()
        engine.gate.release(1000)
        await asyncio.wait_for(long, 60)


async def test_a_long_row_whose_caller_left_ends_after_the_step_that_runs() -> None:
    engine = SlicingEngine(gated=True)
    assert engine.gate is not None
    async with scheduling(engine) as scheduler:
        gone = asyncio.create_task(scheduler.submit(rows(5000)))
        engine.gate.release(2)
        while len(engine.calls) < 2:
            await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.wait([gone])
        assert scheduler.waiting_tokens == 0
        engine.gate.release(1000)
        await asyncio.wait_for(scheduler.submit(rows(10)), 60)
        assert engine.closed_rows == 1  # what it held is free
        assert len([call for call in engine.calls if "step" in call]) <= 3


async def test_a_step_that_fails_ends_its_own_request_alone() -> None:
    engine = SlicingEngine(fails_at=3)
    async with scheduling(engine) as scheduler:
        bad, good = await asyncio.gather(
            scheduler.submit(rows(1000)), scheduler.submit(rows(5)), return_exceptions=True
        )
        assert isinstance(bad, EngineFailed)
        assert isinstance(bad.__cause__, MemoryError)
        assert not isinstance(good, BaseException)
        assert (await scheduler.submit(rows(250))).logits.shape == (1, 1)
        assert scheduler.waiting_tokens == 0


async def test_a_closed_scheduler_leaves_no_long_row_running() -> None:
    engine = SlicingEngine(gated=True)
    assert engine.gate is not None
    scheduler = Scheduler(engine, request_tokens=100_000, queue_tokens=400_000)
    running = asyncio.create_task(scheduler.submit(rows(5000)))
    engine.gate.release(1)
    while not engine.calls:
        await asyncio.sleep(0.01)
    closing = asyncio.create_task(scheduler.close())
    engine.gate.release(1)
    await asyncio.wait([running])
    assert isinstance(running.exception(), Overloaded)
    await asyncio.wait_for(closing, 60)
    assert engine.closed
    assert engine.closed_rows == 1
    assert len(engine.calls) <= 2


class Unsliced:
    """Says that it has slices, and has none."""

    info = replace(FakeEngine(max_length=None).info, slice_tokens=100)

    def forward(self, batch: Sequence[Row]) -> Logits:
        return FakeEngine(max_length=None).forward(batch)

    def close(self) -> None:
        pass


async def test_an_engine_that_names_slices_and_has_none_is_an_error_not_a_hang() -> None:
    async with scheduling(Unsliced()) as scheduler:
        with pytest.raises(EngineFailed, match="slices"):
            await asyncio.wait_for(scheduler.submit(rows(1000)), 60)


async def test_long_rows_that_are_open_have_a_limit_in_bytes() -> None:
    engine = SlicingEngine(gated=True)
    engine.info = replace(engine.info, slice_bytes=1 << 20)
    assert engine.gate is not None
    async with scheduling(engine) as scheduler:
        first = asyncio.create_task(scheduler.submit(rows(5000, 400), key="a"))  # 5 GB: alone
        await asyncio.sleep(0)
        short = asyncio.create_task(scheduler.submit(rows(100), key="b"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="Long rows in progress hold 5242880000 of 2147483648"):
            await scheduler.submit(rows(101), key="c")
        engine.gate.release(1000)
        await asyncio.wait_for(asyncio.gather(first, short), 60)
        await asyncio.wait_for(scheduler.submit(rows(101), key="c"), 60)
