"""Least recently used values by content, within a number of bytes.

One thread or a lock outside, but for `peek`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteCache(Generic[V]):
    """key -> value; what was used longest ago goes first when the bytes are spent."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, tuple[V, int]] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: bytes) -> bool:
        """Whether a value is kept; counts nothing and changes no order."""
        return key in self._held

    def get(self, key: bytes) -> V | None:
        """The value, now the most recently used; counts a hit or a miss."""
        found = self._held.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._held.move_to_end(key)
        return found[0]

    def peek(self, key: bytes) -> V | None:
        """The value; counts nothing, changes no order, and may be asked by any thread."""
        found = self._held.get(key)
        return None if found is None else found[0]

    def put(self, key: bytes, value: V, size: int) -> None:
        """Keep a value of `size` bytes; one larger than the whole cache is not kept."""
        if key in self._held or size > self._max_bytes:
            return
        self._held[key] = (value, size)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self.bytes -= self._held.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything; the counts stay."""
        self._held.clear()
        self.bytes = 0
