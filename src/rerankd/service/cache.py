"""Logits that one loaded model gave before, so that an equal pair costs nothing. Off by default.

A cache belongs to one loaded model and goes with it: weights, revision, recipe, engine and
precision cannot differ between what it holds and what it is asked. Within the model the key is all
that the engine sees of a row: every token id (query, instruction, template, document) and where
the second segment begins. Nothing is hashed down to less. Where callers must not learn from it what
others sent, each has a scope of its own.

Not thread-safe: the scheduler asks it on the event loop.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np

from rerankd.core.rows import Logits, Row

# What Python needs for an entry beside the ids and the logits: tuple, two bytes objects, an int, a
# slot and a link of the OrderedDict. Measured in tests/service/test_cache.py.
ENTRY_BYTES: Final = 352


class ScoreCache:
    """At most `limit_bytes` of rows and their logits; the least recently used go first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._logits: OrderedDict[tuple[bytes, int, bytes], bytes] = OrderedDict()
        self._dtype: np.dtype[np.float32 | np.float64] = np.dtype(np.float32)  # of the engine

    def __len__(self) -> int:
        return len(self._logits)

    def get(self, row: Row, scope: bytes = b"") -> Logits | None:
        """The logits of an equal row of the scope, shape (K,), as the engine gave them."""
        key = (scope, *row.key())
        found = self._logits.get(key)
        if found is None:
            return None
        self._logits.move_to_end(key)
        return np.frombuffer(found, dtype=self._dtype)

    def put(self, row: Row, logits: Logits, scope: bytes = b"") -> None:
        """Keep a row's logits, shape (K,), finite, of one float type in every row.

        An entry over the limit is not kept.
        """
        self._dtype = logits.dtype
        key, kept = (scope, *row.key()), logits.tobytes()
        size = _size(key, kept)
        if size > self.limit_bytes:
            return
        before = self._logits.pop(key, None)
        if before is not None:
            self.used_bytes -= _size(key, before)
        self._logits[key] = kept
        self.used_bytes += size
        while self.used_bytes > self.limit_bytes:
            self.used_bytes -= _size(*self._logits.popitem(last=False))

    def clear(self) -> None:
        """Forget everything."""
        self._logits.clear()
        self.used_bytes = 0


def _size(key: tuple[bytes, int, bytes], logits: bytes) -> int:
    return ENTRY_BYTES + len(key[2]) + len(logits)
