"""The keys that are good now, in memory: found by the SHA-256 of what was presented.

How long a search in a dict takes tells something of the digests in it, never of the keys: nobody
can choose a key by the digest that it will have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from rerankd.access.keys import ANYONE, Address, Key, digest
from rerankd.access.token import is_mistyped
from rerankd.core.errors import Unauthorized


class UnknownKey(Unauthorized):
    """What was presented is nobody's key."""


class KeyRing:
    """The keys of the settings and those of the store.

    Keys that are revoked or expired stay in it, to be refused with that reason; so a server that
    had keys is never open. Empty = open.
    """

    def __init__(self, keys: Iterable[Key] = (), *, clock: Callable[[], float] = time.time) -> None:
        """Of the settings' keys, to begin with.

        Args:
            keys: of the settings.
            clock: seconds since 1970.
        """
        self._clock = clock
        self._file = {key.digest: key for key in keys}
        self._store: dict[bytes, Key] = {}
        self._digests: dict[int, tuple[bytes, ...]] = {}  # of each key of the store

    @property
    def is_open(self) -> bool:
        """True when there is no key at all."""
        return not self._file and not self._store

    @property
    def has_stored(self) -> bool:
        """Whether the store ever had a key, good or not."""
        return bool(self._store)

    @property
    def is_one(self) -> bool:
        """True when at most one key was ever there: nobody else's memory to keep apart."""
        return len(self._file) + len(self._digests) < 2

    @property
    def file(self) -> tuple[Key, ...]:
        """The keys of the settings."""
        return tuple(self._file.values())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Key]:
        """Those that are good now."""
        yield from self._file.values()
        now = self._clock()
        for digests in self._digests.values():
            key = self._store[digests[0]]
            if _refusal(key, now) is None:
                yield key

    def authenticate(self, presented: bytes | None, address: Address | None = None) -> Key:
        """The key that was presented.

        Args:
            presented: as it came in a header.
            address: of who presented it; None = not known.

        Raises:
            Unauthorized: none was presented, it is not known (UnknownKey), expired or revoked.
            Forbidden: it may not come from there.
        """
        if not presented:
            if self.is_open:
                return ANYONE
            raise Unauthorized("Invalid token")
        hashed = digest(presented)
        found = self._store.get(hashed) or self._file.get(hashed)
        if found is None:
            if self.is_open:
                return ANYONE
            raise UnknownKey("Invalid token", reason="typo" if is_mistyped(presented) else None)
        return self._good(found, address)

    def by_digest(self, hashed: bytes, address: Address | None = None) -> Key:
        """A key that was presented before, by its SHA-256; good still, from there.

        Raises:
            Unauthorized: it is not known any more, expired or revoked.
            Forbidden: it may not come from there.
        """
        found = self._store.get(hashed) or self._file.get(hashed)
        if found is None:
            raise Unauthorized("Invalid token")
        return self._good(found, address)

    def _good(self, found: Key, address: Address | None) -> Key:
        """Raises Unauthorized, Forbidden."""
        refusal = _refusal(found, self._clock())
        if refusal is not None:
            raise Unauthorized("Invalid token", reason=refusal)
        found.check_network(address)
        return found

    def use_file(self, keys: Iterable[Key]) -> None:
        """Take over the keys of the settings, in place of those before."""
        self._file = {key.digest: key for key in keys}

    def put(self, keys: Sequence[Key]) -> None:
        """Take over a key of the store, in place of what it was.

        Args:
            keys: the same key by each of its digests, those that end soon as well; the one that
                stays first.
        """
        key_id = keys[0].id
        if key_id is None:
            raise LookupError(keys[0].name)
        for gone in self._digests.get(key_id, ()):
            self._store.pop(gone, None)
        self._digests[key_id] = tuple(key.digest for key in keys)
        self._store.update({key.digest: key for key in keys})

    def clashes(self, file: Iterable[Key]) -> list[str]:
        """Names of keys of the settings that the store has as well, by name or the key itself."""
        names = {key.name for key in self._store.values() if not key.revoked}
        return [key.name for key in file if key.name in names or key.digest in self._store]


def _refusal(key: Key, now: float) -> str | None:
    """Why a key is good no more."""
    if key.revoked or (key.team is not None and key.team.archived):
        return "revoked"
    if key.expires is not None and key.expires <= now:
        return "expired"
    return None
