"""Rows that are whole lists of documents, in the queue: alone, as steps, never remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row, Vectors
from rerankd.engines.base import EngineInfo
from rerankd.models.base import ModelCard
from rerankd.models.families import CROSS_ENCODER, LISTWISE
from rerankd.service.admit import text_bytes
from rerankd.service.cache import ScoreCache
from rerankd.service.scheduler import Scheduler

STEP = 4


class Lists:
    """Gives as many vectors as a row's first id says, all of its sum; NaN for a negative sum."""

    def __init__(self) -> None:
        self.ran: list[tuple[int, int]] = []  # the first id and the tokens of each step
        self.open = 0
        self.info = EngineInfo(
            name="lists",
            device="cpu",
            precision="fp32",
            max_length=None,
            batch_tokens=STEP,
            slice_tokens=STEP,
            slice_bytes=1,
        )

    def vectors(self, row: Row) -> Generator[int, None, Vectors]:
        self.open += 1
        try:
            for start in range(0, row.tokens, STEP):
                tokens = min(STEP, row.tokens - start)
                self.ran.append((int(row.ids[0]), tokens))
                yield tokens
        finally:
            self.open -= 1
        total = float(row.ids.sum())
        return np.full((int(row.ids[0]), 3), total if total > 0 else np.nan, dtype=np.float32)

    def close(self) -> None:
        """Nothing to free."""


def row(*ids: int) -> Row:
    return Row(np.array(ids, dtype=np.int32), len(ids))


def queue(engine: Lists, *, cache_bytes: int = 0) -> Scheduler:
    cache = ScoreCache(cache_bytes) if cache_bytes else None
    return Scheduler(engine, request_tokens=1000, queue_tokens=1000, cache=cache)


async def test_each_row_gives_vectors_of_its_own_number() -> None:
    scheduler = queue(Lists())
    try:
        scored = await scheduler.submit([row(2, 1), row(5, *range(9)), row(1)])
        assert [output.shape for output in scored.outputs] == [(2, 3), (5, 3), (1, 3)]
        assert [float(output[0, 0]) for output in scored.outputs] == [3, 41, 1]
        assert list(scored.cached_tokens) == [0, 0, 0]
    finally:
        await scheduler.close()


async def test_a_short_row_runs_as_a_step_and_equal_ones_are_never_remembered() -> None:
    engine = Lists()
    scheduler = queue(engine, cache_bytes=1 << 20)
    try:
        for _ in range(2):
            await scheduler.submit([row(2, 1)], scope=b"a")
        assert engine.ran == [(2, 2), (2, 2)]
        assert scheduler.cache is None
    finally:
        await scheduler.close()


async def test_rows_of_two_requests_take_turns_and_neither_sees_the_other() -> None:
    engine = Lists()
    scheduler = queue(engine)
    try:
        a, b = await asyncio.gather(
            scheduler.submit([row(2, *[1] * 15)], key="a"),
            scheduler.submit([row(3, *[1] * 15)], key="b"),
        )
        assert float(a.outputs[0][0, 0]) == 17
        assert float(b.outputs[0][0, 0]) == 18
        assert sorted(engine.ran) == [(2, 4)] * 4 + [(3, 4)] * 4
    finally:
        await scheduler.close()


async def test_a_vector_that_is_not_finite_fails_its_request_alone() -> None:
    scheduler = queue(Lists())
    try:
        bad, good = await asyncio.gather(
            scheduler.submit([row(1, -9)]), scheduler.submit([row(1)]), return_exceptions=True
        )
        assert isinstance(bad, EngineFailed)
        assert not isinstance(good, BaseException)
    finally:
        await scheduler.close()


async def test_who_leaves_frees_what_the_row_held() -> None:
    engine = Lists()
    scheduler = queue(engine)
    running = asyncio.create_task(scheduler.submit([row(1, *[1] * 900)]))
    while not engine.ran:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await scheduler.close()
    assert engine.open == 0


def test_the_size_of_a_list_has_its_query_twice_and_not_once_for_each_document() -> None:
    documents = tuple(Content(value="document") for _ in range(100))
    asked = RerankRequest(query=Content(value="q" * 1000), documents=documents)
    card = ModelCard(name="m", family=LISTWISE, window_tokens=None, score="test")
    assert text_bytes((asked,), card) == 2 * 1000 + 800
    assert text_bytes((asked,), replace(card, family=CROSS_ENCODER)) == 100 * 1000 + 800
