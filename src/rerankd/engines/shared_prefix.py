"""Which rows share the tokens that they start with, and the keys and values kept of such tokens.

The keys and values of a token depend on the tokens before it and on nothing else, so they may be
reused wherever a row starts with the same ids. Only ids are compared: nothing here knows a
template, a query or a request. No device, no clock.

Shapes: B rows, L tokens, P tokens of a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import TokenIds

Floats = npt.NDArray[np.float32]

# What a call of the graph costs beside its tokens (every weight is read once), in tokens. Measured:
# a call of 60 tokens takes as long as 72 tokens of a full call (0.6B shape, one thread).
CALL_TOKENS = 16
MAX_ENTRIES = 32


def common_prefix(a: TokenIds, b: TokenIds) -> int:
    """How many leading tokens two rows share."""
    n = min(a.size, b.size)
    different = a[:n] != b[:n]
    return int(different.argmax()) if different.any() else n


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that run behind the same prefix: their first `prefix_tokens` ids are equal."""

    prefix_tokens: int  # less than the length of every member
    members: tuple[int, ...]  # indexes of rows


def plan_groups(rows: Sequence[TokenIds], held: Sequence[int]) -> list[Group]:
    """Group rows so that most tokens are spared.

    Sorted by their ids, rows with a common prefix are neighbours, and the groups that can make
    sense are a tree: a range of rows with its longest common prefix, parted where neighbours share
    no more than that. The best cut of the tree is found from the leaves up. A group spares its
    prefix for all rows but one, and costs a call, and another one for the prefix; or it takes only
    the part of its prefix that is held already.

    Args:
        rows: B rows, none empty; at most a few hundred, as the tree may be as deep.
        held: (B,) leading tokens of each row whose keys and values are at hand.

    Returns:
        The groups; every row is in one.
    """
    order = sorted(range(len(rows)), key=lambda i: rows[i].astype(">i4").tobytes())
    shared = [common_prefix(rows[i], rows[j]) for i, j in pairwise(order)]

    def alone(members: Sequence[int], common: int) -> tuple[int, list[Group]]:
        common = min(common, min(rows[i].size for i in members) - 1)
        known = max(min(held[i], common) for i in members)
        reuse = len(members) * known - CALL_TOKENS
        spared = (len(members) - 1) * common + known - 2 * CALL_TOKENS
        if common > known and spared > reuse:
            return spared, [Group(common, tuple(members))]
        return reuse, [Group(known, tuple(members))]

    def best(start: int, end: int) -> tuple[int, list[Group]]:
        members = order[start:end]
        if len(members) == 1:
            return alone(members, rows[members[0]].size)
        common = min(shared[start : end - 1])
        value, groups = alone(members, common)
        cuts = [i + 1 for i in range(start, end - 1) if shared[i] == common]
        parts = [best(a, b) for a, b in zip([start, *cuts], [*cuts, end], strict=True)]
        parted = sum(part[0] for part in parts)
        if parted > value:
            return parted, [group for part in parts for group in part[1]]
        return value, groups

    return best(0, len(order))[1] if rows else []


@dataclass(slots=True, eq=False)
class _Held:
    """The start of some row, and how much of it another row had too, as far as was seen."""

    ids: TokenIds  # (P,)
    kv: Floats  # (P, …)
    shared: int

    @property
    def tail(self) -> int:
        """Tokens that only one row had."""
        return self.ids.size - self.shared

    def cut(self, length: int) -> None:
        """Keep so many tokens."""
        self.ids, self.kv = self.ids[:length].copy(), self.kv[:length].copy()


class PrefixCache:
    """The prefixes that were used last, with their keys and values, within a budget of bytes.

    Of a row that was put in whole, nobody can tell where what others share ends. When bytes are
    needed, the longest such tails are halved first; then what was not used for longest goes.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: list[_Held] = []  # least recently used first

    @property
    def held_bytes(self) -> int:
        """Bytes of the keys and values that are kept."""
        return sum(entry.kv.nbytes for entry in self._entries)

    def match(self, ids: TokenIds) -> int:
        """How many leading tokens of `ids` are held."""
        return max((common_prefix(ids, entry.ids) for entry in self._entries), default=0)

    def knows_siblings(self, ids: TokenIds) -> bool:
        """Whether other rows parted, within a call's cost, where `ids` leaves what is held.

        The next one will part there too: keeping this one would not spare it anything.
        """
        length = self.match(ids)
        return length > 0 and any(
            common_prefix(ids, entry.ids) == length and abs(length - entry.shared) <= CALL_TOKENS
            for entry in self._entries
        )

    def get(self, ids: TokenIds) -> Floats | None:
        """Keys and values of the longest held prefix of `ids`, (P, …); None when there is none.

        The entry counts as used. What is returned is never written to.
        """
        found = [common_prefix(ids, entry.ids) for entry in self._entries]
        if not any(found):
            return None
        length = max(found)
        at = len(found) - 1 - found[::-1].index(length)
        entry = self._entries.pop(at)
        entry.shared = max(entry.shared, length)
        self._entries.append(entry)
        return entry.kv[:length]

    def put(self, ids: TokenIds, kv: Floats, *, is_shared: bool = True) -> None:
        """Keep the first tokens of a prefix, as many as the budget allows.

        Args:
            ids: (P,) token ids.
            kv: (P, …), their keys and values; at most half of the budget is used for them.
            is_shared: whether several rows are known to start so.
        """
        token_bytes = kv.nbytes // max(len(kv), 1)
        length = min(ids.size, self._max_bytes // 2 // max(token_bytes, 1))
        if length == 0 or self.match(ids[:length]) == length:
            return
        inside = [  # what starts the new one is in it
            entry
            for entry in self._entries
            if common_prefix(entry.ids, ids[:length]) == entry.ids.size
        ]
        self._entries = [entry for entry in self._entries if entry not in inside]
        shared = length if is_shared else max((entry.shared for entry in inside), default=0)
        whole = length == len(kv) and kv.base is None
        self._entries.append(
            _Held(ids[:length].copy(), kv if whole else kv[:length].copy(), shared)
        )
        self._make_room()

    def _make_room(self) -> None:
        while self.held_bytes > self._max_bytes or len(self._entries) > MAX_ENTRIES:
            longest = max(self._entries[:-1], key=lambda entry: entry.tail)
            if longest.tail > CALL_TOKENS and self.held_bytes > self._max_bytes:
                longest.cut(longest.shared + longest.tail // 2)
            else:
                self._entries.pop(0)

    def clear(self) -> None:
        """Forget everything."""
        self._entries = []
