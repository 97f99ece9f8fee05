"""Encoders that several models use: built once, closed by the last.

rerankd-multi scores English as rerankd-mini does: where both are served, their encoder is one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from rerankd.core.errors import EngineFailed
from rerankd.core.rows import TokenIds
from rerankd.engines.max_sim import EncodedText
from rerankd.engines.token_vectors import Encoder


@dataclass(slots=True, weakref_slot=True)
class _Shared:
    encoder: Encoder
    users: int = 0  # that did not close it


class SharedEncoders:
    """By a key that says all of what an encoder is made of. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held while one is built: two would be too many
        self._shared: WeakValueDictionary[Hashable, _Shared] = WeakValueDictionary()

    def use(self, key: Hashable, build: Callable[[], Encoder]) -> Encoder:
        """The encoder of a key, for one more user, whose close() ends that use alone.

        Args:
            key: what it is made of, SHA-256 of its files for instance.
            build: makes it, if nobody uses it now. What it returns must be thread-safe.

        Raises:
            StartError: from `build`.
        """
        with self._lock:
            found = self._shared.get(key)
            if found is None or not found.users:
                found = self._shared[key] = _Shared(build())
            found.users += 1
            return _Use(found, self._lock)


class _Use:
    """One user's."""

    def __init__(self, shared: _Shared, lock: threading.Lock) -> None:
        self._shared: _Shared | None = shared
        self._lock = lock

    def encode(self, texts: Sequence[TokenIds]) -> Sequence[EncodedText]:
        """As the encoder's. Raises EngineFailed after close()."""
        shared = self._shared
        if shared is None:
            raise EngineFailed("the engine is closed")
        return shared.encoder.encode(texts)

    def close(self) -> None:
        """End this use; the encoder is closed with its last."""
        with self._lock:
            shared, self._shared = self._shared, None
            if shared is None:
                return
            shared.users -= 1
            if shared.users:
                return
        shared.encoder.close()
