"""Which rows run in one call, and which token sees which. Pure: no torch, no device.

A call packs the tokens of its segments behind one another. A segment is a row, what a row has
behind a shared prefix, or a shared prefix itself, which is in the call once and is seen by all rows
behind it: prefix and rows run in one pass.

Shapes: T tokens of the call, N segments, B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerankd.core.rows import Row
from rerankd.engines.pack import Array
from rerankd.engines.shared_prefix import Group


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the queries of N segments see in one attention step."""

    queries: Array  # (N,) queries per segment, which lie behind one another
    keys: Array  # (N,) keys per segment
    index: Array | None  # (sum of keys,) packed token of each key; None = they lie as packed
    causal: bool = False  # the last query is the last key; each sees what is not behind it
    reach: int | None = None  # keys farther away than this are not seen; queries are the keys then


def whole_rows(lengths: Array) -> View:
    """Every token of a row sees the whole row."""
    return View(lengths, lengths, None)


def first_tokens(lengths: Array) -> View:
    """The first token of each row sees the whole row."""
    return View(np.ones_like(lengths), lengths, None)


def near_tokens(lengths: Array, reach: int) -> View:
    """Every token sees those of its row that are at most `reach` away."""
    return View(lengths, lengths, None, reach=reach)


@dataclass(frozen=True, slots=True, eq=False)
class Causal:
    """The tokens of one call of a decoder."""

    ids: Array  # (T,)
    positions: Array  # (T,) place of each token in its row
    owners: Array  # (T,) index of a row that the token is of; a prefix is of its first row
    last: Array  # (B,) packed index of each row's last token
    every: View  # all tokens of all segments
    ends: View  # the last token of each row


def causal(rows: Sequence[Row], groups: Sequence[Group]) -> Causal:
    """Pack groups of rows; B counts the members of all groups, group by group.

    Args:
        rows: what Group.members are indexes of.
        groups: at least one.
    """
    ids: list[Array] = []
    positions: list[Array] = []
    owners: list[Array] = []
    seen: list[Array] = []  # per segment, packed indexes of its keys
    is_row: list[bool] = []
    total = 0

    def add(owner: int, part: Array, past: Array, *, row: bool) -> Array:
        nonlocal total
        own = np.arange(total, total + part.size, dtype=np.int32)
        ids.append(part)
        owners.append(np.full(part.size, owner, dtype=np.int32))
        positions.append(np.arange(past.size, past.size + part.size, dtype=np.int32))
        seen.append(np.concatenate([past, own]) if past.size else own)
        is_row.append(row)
        total += part.size
        return own

    for group in groups:
        past = np.empty(0, dtype=np.int32)
        cut = group.prefix_tokens
        if cut:
            first = group.members[0]
            past = add(first, rows[first].ids[:cut], past, row=False)
        for i in group.members:
            add(i, rows[i].ids[cut:], past, row=True)
    lengths = np.array([part.size for part in ids], dtype=np.int32)
    keys = np.array([part.size for part in seen], dtype=np.int32)
    picked = np.flatnonzero(is_row)
    last = (np.cumsum(lengths) - 1)[picked].astype(np.int32)
    index = None if all(is_row) else np.concatenate(seen)
    ends = index if index is None else np.concatenate([seen[i] for i in picked])
    return Causal(
        ids=np.concatenate(ids, dtype=np.int32),
        positions=np.concatenate(positions),
        owners=np.concatenate(owners),
        last=last,
        every=View(lengths, keys, index, causal=True),
        ends=View(np.ones_like(last), keys[picked], ends),
    )


def causal_slice(ids: Array, past_tokens: int) -> Causal:
    """The next tokens of one row, which see themselves and so many before them."""
    asked = np.array([ids.size], dtype=np.int32)
    seen = asked + np.int32(past_tokens)
    return Causal(
        ids=ids.astype(np.int32),
        positions=np.arange(past_tokens, past_tokens + ids.size, dtype=np.int32),
        owners=np.zeros_like(ids),
        last=asked - 1,
        every=View(asked, seen, None, causal=True),
        ends=View(np.ones_like(asked), seen, None, causal=True),
    )


def plan_calls(
    groups: Sequence[Group], lengths: Sequence[int], *, max_tokens: int
) -> list[list[Group]]:
    """Cut groups into calls.

    Args:
        groups: rows behind a common prefix; 0 tokens = rows that share nothing.
        lengths: tokens per row, prefix included.
        max_tokens: of one call, a prefix counted once; a single row may be over it, and where the
            prefix alone takes more than half, rows get as much room as the prefix has.

    Returns:
        Groups per call, every row once; members by length, longest first.
    """
    calls: list[list[Group]] = [[]]
    used = 0
    for group in groups:
        prefix, taken = group.prefix_tokens, list[int]()
        limit = max(max_tokens, 2 * prefix)
        for i in sorted(group.members, key=lambda i: -lengths[i]):
            cost = lengths[i] - prefix if taken else lengths[i]
            if used and used + cost > limit:
                calls[-1] += _part(prefix, taken)
                calls.append([])
                taken, used, cost = [], 0, lengths[i]
            taken.append(i)
            used += cost
        calls[-1] += _part(prefix, taken)
    return calls


def _part(prefix_tokens: int, members: Sequence[int]) -> list[Group]:
    """Some rows of a group; a row alone shares its prefix with nobody."""
    if not members:
        return []
    return [Group(prefix_tokens if len(members) > 1 else 0, tuple(members))]
