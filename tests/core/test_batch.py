"""The batch plan's laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.batch import plan_batches


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
