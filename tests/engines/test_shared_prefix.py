"""Which rows run behind a common prefix, and which prefixes are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.rows import TokenIds
from rerankd.engines.shared_prefix import (
    CALL_TOKENS,
    PrefixCache,
    common_prefix,
    plan_groups,
)


def ids(*values: int) -> TokenIds:
    return np.array(values, dtype=np.int32)


def kv(tokens: TokenIds) -> np.typing.NDArray[np.float32]:
    """Made-up keys and values that tell which tokens they belong to; 8 bytes per token."""
    return np.stack([np.cumsum(tokens), tokens], axis=1).astype(np.float32)


ROWS = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=80).map(lambda v: ids(*v)),
    max_size=12,
)


@given(ROWS, st.data())
def test_every_row_is_in_one_group_behind_tokens_that_it_starts_with(
    rows: list[TokenIds], data: st.DataObject
) -> None:
    held = [data.draw(st.integers(0, row.size - 1)) for row in rows]
    groups = plan_groups(rows, held)
    assert sorted(i for group in groups for i in group.members) == list(range(len(rows)))
    for group in groups:
        first = rows[group.members[0]][: group.prefix_tokens]
        for i in group.members:
            assert rows[i].size > group.prefix_tokens
            assert common_prefix(rows[i], first) == group.prefix_tokens


def test_rows_of_two_requests_are_two_groups() -> None:
    template = [9] * 40
    rows = [
        ids(*template, *[query] * 30, 50 + document, 1, 2)
        for document in range(6)
        for query in (3, 4)
    ]
    groups = plan_groups(rows, [0] * len(rows))
    assert sorted(group.members for group in groups) == [(0, 2, 4, 6, 8, 10), (1, 3, 5, 7, 9, 11)]
    assert {group.prefix_tokens for group in groups} == {70}


def test_single_documents_of_many_requests_run_together_behind_what_is_held() -> None:
    rows = [ids(*[9] * 40, query, 5, 6) for query in range(8)]
    (group,) = plan_groups(rows, [40] * 8)
    assert group.prefix_tokens == 40
    assert len(group.members) == 8


def test_a_prefix_that_spares_less_than_a_call_is_not_computed_apart() -> None:
    rows = [ids(*[9] * (CALL_TOKENS // 2), 1), ids(*[9] * (CALL_TOKENS // 2), 2)]
    (group,) = plan_groups(rows, [0, 0])
    assert group.prefix_tokens == 0


def test_rows_that_start_with_one_another_may_be_many() -> None:
    rows = [ids(*[7] * length) for length in range(1, 257)]
    assert sum(len(group.members) for group in plan_groups(rows, [0] * 256)) == 256


def test_the_cache_gives_the_longest_prefix_that_it_holds() -> None:
    cache = PrefixCache(1000)
    short, long = ids(1, 2, 3), ids(1, 2, 4, 5)
    cache.put(short, kv(short))
    cache.put(long, kv(long))
    assert cache.match(ids(1, 2, 4, 9)) == 3
    got = cache.get(ids(1, 2, 4, 9))
    assert got is not None
    np.testing.assert_array_equal(got, kv(ids(1, 2, 4)))
    assert cache.get(ids(2)) is None
    cache.clear()
    assert cache.match(short) == cache.held_bytes == 0


@pytest.mark.parametrize("max_bytes", [0, 8, 40, 400])
def test_the_cache_keeps_to_its_budget(max_bytes: int) -> None:
    cache = PrefixCache(max_bytes)
    for start in range(60):
        tokens = ids(*range(start, start + 1 + start % 30))
        cache.put(tokens, kv(tokens))
        assert cache.held_bytes <= max_bytes
        assert cache.match(tokens) <= max_bytes // 16
    assert (cache.held_bytes > 0) == (max_bytes >= 16)


def test_the_cache_drops_what_was_not_used_for_longest() -> None:
    cache = PrefixCache(4 * 8)
    for first in (1, 2):
        cache.put(ids(first, 0), kv(ids(first, 0)))
    assert cache.get(ids(1, 0)) is not None
    cache.put(ids(3, 0), kv(ids(3, 0)))
    assert [cache.match(ids(first, 0)) for first in (1, 2, 3)] == [2, 0, 2]


def test_an_entry_that_a_longer_one_holds_is_not_kept_twice() -> None:
    cache = PrefixCache(1000)
    cache.put(ids(1, 2), kv(ids(1, 2)))
    cache.put(ids(1, 2, 3), kv(ids(1, 2, 3)))
    cache.put(ids(1), kv(ids(1)))
    assert cache.held_bytes == 3 * 8


def test_of_rows_put_in_whole_the_tails_go_first() -> None:
    """Three requests of two rows each: what their rows share stays, their documents go."""
    requests = [ids(*[9] * 30, *[query] * 70) for query in (1, 2, 3)]
    rows = [
        [np.concatenate([start, ids(*[document] * 200)]) for document in (4, 5)]
        for start in requests
    ]
    cache = PrefixCache(8 * 900)
    for first, second in rows:
        cache.put(first, kv(first), is_shared=False)
        got = cache.get(second)
        assert got is not None
        np.testing.assert_array_equal(got, kv(first)[:100])
        cache.put(second, kv(second), is_shared=False)
        assert cache.held_bytes <= 8 * 900
    assert [cache.match(start) for start in requests] == [100, 100, 100]
    assert cache.match(rows[0][0]) < 300 == cache.match(rows[2][1])


def test_the_third_row_of_a_request_need_not_be_kept() -> None:
    cache = PrefixCache(1 << 20)
    rows = [ids(*[9] * 60, *[1] * 40, *[document] * 50) for document in (4, 5, 6)]
    assert not cache.knows_siblings(rows[0])
    cache.put(rows[0], kv(rows[0]), is_shared=False)
    assert not cache.knows_siblings(rows[1])
    cache.get(rows[1])
    assert cache.knows_siblings(rows[2])
    near = ids(*[9] * 60, *[1] * 40, *[4] * (CALL_TOKENS - 1), 7, 7)
    assert cache.knows_siblings(near)
    other_query = ids(*[9] * 60, *[2] * 40, *[4] * 50)
    assert not cache.knows_siblings(other_query)
    follows = ids(*[9] * 60, *[1] * 40, *[4] * 40, 7)
    assert not cache.knows_siblings(follows)


def test_a_row_that_grows_keeps_what_is_known_of_its_start() -> None:
    cache = PrefixCache(1 << 20)
    row, sibling = ids(*[1] * 50, *[4] * 50), ids(*[1] * 50, *[5] * 50)
    cache.put(row[:60], kv(row[:60]), is_shared=False)
    cache.get(sibling)
    cache.put(row, kv(row), is_shared=False)
    assert cache.knows_siblings(sibling)
    assert cache.held_bytes == 8 * row.size
