"""API keys in memory: only their SHA-256 is kept, and it is compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rerankd.core.errors import Forbidden, Unauthorized


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key: who, and what it may do. Never holds the key itself."""

    name: str
    digest: bytes  # SHA-256 of the key
    models: frozenset[str] | None = None  # None = all
    rpm: int | None = None  # requests per minute, None = no limit
    tpm: int | None = None  # input tokens per minute, None = no limit

    def check_model(self, *names: str) -> None:
        """Allow a model by any of its names: the one asked for, or the one that answers.

        Raises:
            Forbidden: none of the names is among the key's models.
        """
        if self.models is not None and self.models.isdisjoint(names):
            raise Forbidden("This key may not use this model.")


ANYONE = Key(name="", digest=b"")  # the caller where no keys are configured


def digest(key: str | bytes) -> bytes:
    """SHA-256 of a key as it comes in a header."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).digest()


class KeyRing:
    """All keys that are good now. Empty = the server is open."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._keys = tuple(keys)

    @property
    def is_open(self) -> bool:
        """True when no key is configured."""
        return not self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def authenticate(self, presented: bytes | None) -> Key:
        """The key that was presented. Every stored digest is compared, whichever matches.

        Raises:
            Unauthorized: none was presented, or it is not known.
        """
        if self.is_open:
            return ANYONE
        if not presented:
            raise Unauthorized("Invalid token")
        seen = digest(presented)
        found: Key | None = None
        for key in self._keys:
            if hmac.compare_digest(seen, key.digest):
                found = key
        if found is None:
            raise Unauthorized("Invalid token")
        return found
