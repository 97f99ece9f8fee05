"""The score cache: exact keys, exact logits, bounded memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.options import LoadOptions
from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.engines.late_interaction import LateInteractionEngine, Text, text_row
from rerankd.models.load import Loaded, Spec
from rerankd.service.cache import ENTRY_BYTES, ScoreCache
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.service.scheduler import Scheduler
from rerankd.settings.schema import Limits
from tests.engines.drawn import drawn_vectors
from tests.kit.support import BytesModel, row


def logits(*values: float) -> Logits:
    return np.array(values, dtype=np.float32)


def test_the_answer_is_the_same_float_bit_for_bit() -> None:
    cache = ScoreCache(10_000)
    cache.put(row(1, 2, 3), logits(0.1, -7.25))
    found = cache.get(row(1, 2, 3))
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, logits(0.1, -7.25))


def test_features_of_64_bits_come_back_as_they_were() -> None:
    cache = ScoreCache(10_000)
    features = np.array([0.1, 1 / 3, -2.0, 1e-9, 0.0, 5.0, 0.08])
    cache.put(row(1, 2), features)
    found = cache.get(row(1, 2))
    assert found is not None
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, features)
    assert cache.used_bytes == ENTRY_BYTES + 4 * 2 + 8 * 7


async def test_features_pass_through_queue_slices_and_cache_unchanged() -> None:
    ids = [np.arange(3, 3 + size, dtype=np.int32) for size in (5, 40, 150, 9)]
    query, *documents = (Text((each,), each, bytes([each.size])) for each in ids)
    wanted = [text_row(query, document, (0.5,)) for document in documents]
    made = [
        LateInteractionEngine(
            {"drawn": drawn_vectors()}, embedder="drawn", given=("told",), slice_tokens=60
        )
        for _ in range(2)
    ]
    cache = ScoreCache(100_000)
    scheduler = Scheduler(made[0], request_tokens=1000, queue_tokens=4000, cache=cache)
    try:
        first = await scheduler.submit(wanted)
        second = await scheduler.submit(wanted)
    finally:
        await scheduler.close()
    assert first.logits.dtype == second.logits.dtype == np.float64
    np.testing.assert_array_equal(first.logits, made[1].forward(wanted))
    np.testing.assert_array_equal(second.logits, first.logits)
    assert second.cached_tokens == [each.tokens for each in wanted]


def test_only_an_equal_row_is_found() -> None:
    cache = ScoreCache(10_000)
    cache.put(row(1, 2, 3, second=1), logits(1))
    for other in (
        row(1, 2, 3, second=2),
        row(1, 2, second=1),
        row(1, 2, 3, 0, second=1),
        row(1, 3, 2, second=1),
        row(1 + (1 << 16), 2, 3, second=1),
    ):
        assert cache.get(other) is None


def test_the_least_recently_used_goes_first() -> None:
    one = ENTRY_BYTES + 4 + 4
    cache = ScoreCache(2 * one)
    cache.put(row(1), logits(1))
    cache.put(row(2), logits(2))
    assert cache.get(row(1)) is not None
    cache.put(row(3), logits(3))
    assert cache.get(row(2)) is None
    assert cache.get(row(1)) is not None
    assert cache.get(row(3)) is not None


def test_what_is_larger_than_the_cache_is_not_kept_and_drops_nothing() -> None:
    cache = ScoreCache(ENTRY_BYTES + 100)
    cache.put(row(1), logits(1))
    cache.put(row(*range(1000)), logits(2))
    assert len(cache) == 1


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 40)), max_size=60))
def test_bytes_are_counted_exactly_and_never_over_the_limit(puts: list[tuple[int, int]]) -> None:
    cache = ScoreCache(3 * ENTRY_BYTES)
    for kind, length in puts:
        cache.put(row(*[kind] * length), logits(kind))
        assert cache.used_bytes <= cache.limit_bytes
    kept = {(k, n) for k, n in puts if cache.get(row(*[k] * n)) is not None}
    assert cache.used_bytes == sum(ENTRY_BYTES + 4 * n + 4 for _, n in kept)
    cache.clear()
    assert (cache.used_bytes, len(cache)) == (0, 0)


def test_the_count_is_what_python_needs() -> None:
    rows = [Row(np.full(100, n, dtype=np.int32), 300) for n in range(4000)]
    cache = ScoreCache(1 << 30)
    gc.collect()  # empties Python's free lists too: what comes from them is not traced
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for each in rows:
            cache.put(each, logits(1))
        needed = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert needed <= cache.used_bytes <= 1.25 * needed


async def test_a_request_is_told_which_rows_were_known() -> None:
    engine, cache = FakeEngine(), ScoreCache(10_000)
    scheduler = Scheduler(engine, request_tokens=1000, queue_tokens=4000, cache=cache)
    try:
        first = await scheduler.submit([row(1), row(2)])
        second = await scheduler.submit([row(3), row(2)])
        third = await scheduler.submit([row(2), row(3), row(1)])
    finally:
        await scheduler.close()
    assert (first.cached_tokens, second.cached_tokens) == ([0, 0], [0, 1])
    assert third.cached_tokens == [1] * 3
    assert engine.batches == [2, 1]
    np.testing.assert_array_equal(third.logits[[2, 0]], first.logits)
    assert len(cache) == 0  # the model is gone, and its scores with it


class Remembers(FakeEngine):
    """Remembers all but the first token of every row that it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: set[tuple[int, bytes]] = set()

    def remembered_tokens(self, batch: Sequence[Row]) -> Sequence[int]:
        return [row.tokens - 1 if row.key() in self.ran else 0 for row in batch]

    def forward(self, batch: Sequence[Row]) -> Logits:
        self.ran |= {row.key() for row in batch}
        return super().forward(batch)


@pytest.mark.parametrize(("cache_bytes", "again"), [(0, [2, 0, 1]), (10_000, [3, 0, 2])])
async def test_a_request_is_told_what_the_engine_remembered(
    cache_bytes: int, again: list[int]
) -> None:
    cache = ScoreCache(cache_bytes) if cache_bytes else None
    scheduler = Scheduler(Remembers(), request_tokens=1000, queue_tokens=4000, cache=cache)
    try:
        first = await scheduler.submit([row(1, 2, 3), row(4, 5)])
        second = await scheduler.submit([row(1, 2, 3), row(6, 7), row(4, 5)])
    finally:
        await scheduler.close()
    assert (first.cached_tokens, second.cached_tokens) == ([0, 0], again)


async def test_known_rows_need_no_room_in_the_queue() -> None:
    scheduler = Scheduler(
        FakeEngine(), request_tokens=100, queue_tokens=10, cache=ScoreCache(10_000)
    )
    try:
        await scheduler.submit([row(1, 1, 1)])
        with scheduler.reserve(9):
            scored = await scheduler.submit([row(1, 1, 1)])
    finally:
        await scheduler.close()
    assert scored.cached_tokens == [3]


class NanEngine(FakeEngine):
    """Answers NaN once."""

    def forward(self, batch: object) -> Logits:  # type: ignore[override]
        return np.full((1, 1), np.nan, dtype=np.float32)


async def test_what_failed_is_not_kept() -> None:
    cache = ScoreCache(10_000)
    scheduler = Scheduler(NanEngine(), request_tokens=100, queue_tokens=100, cache=cache)
    try:
        with pytest.raises(Exception, match="not finite"):
            await scheduler.submit([row(1)])
    finally:
        await scheduler.close()
    assert len(cache) == 0


async def test_a_model_has_its_own_cache_and_a_reloaded_model_a_new_one() -> None:
    def load(spec: Spec) -> Loaded:
        return Loaded(model=BytesModel(spec.name), warnings=())

    def planned(*specs: Spec) -> ServingPlan:
        return ServingPlan(specs=specs, aliases={})

    a, b = Spec(name="a"), Spec(name="b")
    pool = Pool(Limits(request_tokens=1000, queue_tokens=4000, score_cache_bytes=10_000), load=load)
    await pool.start(planned(a, b))
    try:
        await pool.loaded["a"].scheduler.submit([row(1)])
        fresh = await pool.loaded["b"].scheduler.submit([row(1)])
        assert fresh.cached_tokens == [0]
        other = Spec(name="a", options=LoadOptions(quantization="int8"))
        await pool.retire(await pool.replace(planned(other, b)))
        again = await pool.loaded["a"].scheduler.submit([row(1)])
        kept = await pool.loaded["b"].scheduler.submit([row(1)])
    finally:
        await pool.close()
    assert (again.cached_tokens, kept.cached_tokens) == ([0], [1])


async def test_without_the_setting_there_is_none() -> None:
    pool = Pool(
        Limits(request_tokens=10, queue_tokens=10),
        load=lambda spec: Loaded(model=BytesModel(spec.name), warnings=()),
    )
    await pool.start(ServingPlan(specs=(Spec(name="a"),), aliases={}))
    try:
        assert pool.loaded["a"].scheduler.cache is None
    finally:
        await pool.close()
