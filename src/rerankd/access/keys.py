"""API keys in memory: only their SHA-256 is kept, and a key is found by it.

How long a search in a dict takes tells something of the digests in it, never of the keys: nobody
can choose a key by the digest that it will have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
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


def key_of(
    *,
    name: str,
    key: str | None,
    sha256: str | None,
    models: Iterable[str] | None,
    rpm: int | None,
    tpm: int | None,
) -> Key:
    """A configured key, hashed: the key itself, or else its SHA-256 in hex, is not kept."""
    return Key(
        name=name,
        digest=bytes.fromhex(sha256 or "") if key is None else digest(key.strip()),
        models=None if models is None else frozenset(models),
        rpm=rpm,
        tpm=tpm,
    )


class KeyRing:
    """All keys that are good now. Empty = the server is open."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._keys = {key.digest: key for key in keys}

    @property
    def is_open(self) -> bool:
        """True when no key is configured."""
        return not self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def authenticate(self, presented: bytes | None) -> Key:
        """The key that was presented.

        Raises:
            Unauthorized: none was presented, or it is not known.
        """
        if self.is_open:
            return ANYONE
        found = self._keys.get(digest(presented)) if presented else None
        if found is None:
            raise Unauthorized("Invalid token")
        return found
