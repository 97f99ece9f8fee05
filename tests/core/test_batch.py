"""The batch plan's laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.batch import plan_batches, plan_for_streams


@given(st.lists(st.integers(1, 512), max_size=60), st.integers(1, 10))
def test_every_row_once_within_budget_and_rows(lengths: list[int], max_rows: int) -> None:
    plan = plan_batches(lengths, max_tokens=600, max_rows=max_rows)
    assert sorted(i for batch in plan for i in batch) == list(range(len(lengths)))
    for batch in plan:
        rows = [lengths[i] for i in batch]
        assert len(rows) * max(rows) <= 600
        assert len(rows) <= max_rows


def test_a_row_over_the_budget_goes_alone() -> None:
    assert plan_batches([700, 10], max_tokens=600, max_rows=9) == [[0], [1]]


@given(st.lists(st.integers(1, 512), max_size=60), st.integers(1, 5), st.integers(1, 10))
def test_streams_get_every_row_once_within_what_a_batch_may_have(
    lengths: list[int], streams: int, max_rows: int
) -> None:
    plan = plan_for_streams(lengths, streams=streams, least=128, most=1024, max_rows=max_rows)
    assert sorted(i for batch in plan for i in batch) == list(range(len(lengths)))
    for batch in plan:
        rows = [lengths[i] for i in batch]
        assert len(rows) == 1 or len(rows) * max(rows) <= 1024
        assert len(rows) <= max_rows


def test_no_stream_waits_for_another_where_the_rows_can_be_shared_out() -> None:
    plan = plan_for_streams([128] * 24, streams=2, least=128, most=1024, max_rows=64)
    assert [len(batch) for batch in plan] == [6] * 4  # 8, 8 and 8 would leave a stream idle
    plan = plan_for_streams([200] * 14, streams=4, least=128, most=1024, max_rows=64)
    assert [len(batch) for batch in plan] == [4, 4, 4, 2]


def test_what_cannot_be_shared_out_stays_as_it_is() -> None:
    plan = plan_for_streams([1000] * 3, streams=2, least=128, most=1024, max_rows=64)
    assert [len(batch) for batch in plan] == [1, 1, 1]
    assert plan_for_streams([], streams=2, least=128, most=1024, max_rows=64) == []
