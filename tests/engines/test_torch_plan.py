"""Which rows run in one call of the torch engine, and who sees whom: pure, without torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.core.rows import Row
from rerankd.engines.shared_prefix import Group, plan_groups
from rerankd.engines.torch.plan import causal, plan_calls

ROWS = st.lists(
    st.tuples(st.sampled_from([(), (1, 2, 3) * 20, (1, 2, 3) * 40, (7,) * 90]), st.integers(1, 50)),
    min_size=1,
    max_size=12,
)


def rows_of(made: list[tuple[tuple[int, ...], int]]) -> list[Row]:
    """Rows with one of a few beginnings, and so many tokens of their own."""
    rows: list[Row] = []
    for i, (start, own) in enumerate(made):
        ids = np.array([*start, *(100 + i + j for j in range(own))], dtype=np.int32)
        rows.append(Row(ids, ids.size))
    return rows


@settings(max_examples=60)
@given(ROWS, st.integers(1, 300))
def test_every_row_runs_once_within_the_limit(
    made: list[tuple[tuple[int, ...], int]], max_tokens: int
) -> None:
    rows = rows_of(made)
    lengths = [row.tokens for row in rows]
    groups = plan_groups([row.ids for row in rows], [0] * len(rows))
    calls = plan_calls(groups, lengths, max_tokens=max_tokens)
    ran = [i for call in calls for group in call for i in group.members]
    assert sorted(ran) == list(range(len(rows)))
    for call in calls:
        tokens = sum(
            group.prefix_tokens + sum(lengths[i] - group.prefix_tokens for i in group.members)
            for group in call
        )
        longest_prefix = max(group.prefix_tokens for group in groups)
        alone = [lengths[i] for group in call for i in group.members]
        assert tokens <= max(max_tokens, 2 * longest_prefix) or len(alone) == 1


@settings(max_examples=60)
@given(ROWS)
def test_a_decoders_token_sees_its_row_up_to_itself_wherever_that_is_packed(
    made: list[tuple[tuple[int, ...], int]],
) -> None:
    rows = rows_of(made)
    groups = plan_groups([row.ids for row in rows], [0] * len(rows))
    packed = causal(rows, groups)
    order = [i for group in groups for i in group.members]
    for i, place in enumerate(packed.positions):
        assert rows[int(packed.owners[i])].ids[place] == packed.ids[i]
    for view in (packed.every, packed.ends):
        index = np.arange(packed.ids.size) if view.index is None else view.index
        seen = np.split(index, np.cumsum(view.keys)[:-1])
        assert len(seen) == view.queries.size
        if view is packed.ends:
            for i, keys in zip(order, seen, strict=True):
                assert packed.ids[keys].tolist() == rows[i].ids.tolist()
                assert packed.positions[keys].tolist() == list(range(rows[i].tokens))
        ends = np.cumsum(view.queries)
        for keys, end, count in zip(seen, ends, view.queries, strict=True):
            if view.causal:  # the queries are the last keys
                assert keys[-count:].tolist() == list(range(end - count, end))
    assert packed.ids[packed.last].tolist() == [int(rows[i].ids[-1]) for i in order]
    shared = sum((len(group.members) - 1) * group.prefix_tokens for group in groups)
    assert packed.ids.size == sum(row.tokens for row in rows) - shared


def test_a_shared_prefix_is_in_a_call_once_and_rows_alone_share_nothing() -> None:
    groups = [Group(100, (0, 1, 2)), Group(50, (3, 4))]
    lengths = [130, 120, 110, 60, 55]
    calls = plan_calls(groups, lengths, max_tokens=200)
    assert calls == [[Group(100, (0, 1, 2))], [Group(50, (3, 4))]]
    assert plan_calls(groups, lengths, max_tokens=400) == [groups]
    assert plan_calls(groups, lengths, max_tokens=1) == [
        [Group(100, (0, 1, 2))],
        [Group(50, (3, 4))],
    ]
    assert plan_calls([Group(0, (0, 1, 2))], [9, 5, 4], max_tokens=9) == [
        [Group(0, (0,))],
        [Group(0, (1, 2))],
    ]


@pytest.mark.parametrize("tokens", [1, 8])
def test_a_prefix_takes_no_more_calls_than_its_rows_need(tokens: int) -> None:
    groups = [Group(8, tuple(range(10)))]
    calls = plan_calls(groups, [9] * 10, max_tokens=tokens)
    assert [len(call[0].members) for call in calls] == [8, 2]
