"""Who is signed in to the console, by a key or by an issuer, for twelve hours at most.

The browser holds 256 random bits in a cookie that scripts cannot read; here is their SHA-256. A
session of a key has its digest only, which is looked up again for every page: a key that was
revoked, or may not come from there, is signed out. Whom an issuer signed in has the role of then.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rerankd.access.keys import Key

COOKIE: Final = "rerankd_session"
SECONDS: Final = 12 * 3600
MOST: Final = 1_000  # at once; the oldest one ends
_BYTES: Final = 32
_DONE: Final = 100


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One sign-in."""

    who: bytes | Key  # the digest of a key; whom an issuer signed in
    ends: float  # seconds, by the clock of Sessions
    csrf: str  # what its forms carry
    notes: list[str] = field(default_factory=list[str])  # to be shown once, on the next page
    # Marks of forms that were carried out, so that none is twice.
    done: deque[str] = field(default_factory=lambda: deque[str](maxlen=_DONE))

    def is_form_of(self, token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.csrf.encode(), token.encode())


class Sessions:
    """Those of one server, in memory: its end signs everybody out."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody is signed in.

        Args:
            clock: seconds, of any start.
        """
        self._clock = clock
        self._found: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._found)

    def begin(self, who: bytes | Key) -> str:
        """Sign somebody in; what comes back is for the cookie alone."""
        self._forget_ended()
        while len(self._found) >= MOST:
            self._found.pop(next(iter(self._found)))
        token = secrets.token_urlsafe(_BYTES)
        self._found[_hashed(token)] = Session(
            who=who, ends=self._clock() + SECONDS, csrf=secrets.token_urlsafe(_BYTES)
        )
        return token

    def find(self, token: str) -> Session | None:
        """The session of a cookie; None = there is none, or it has ended."""
        found = self._found.get(_hashed(token))
        return None if found is None or found.ends <= self._clock() else found

    def end(self, token: str) -> None:
        """Sign out."""
        self._found.pop(_hashed(token), None)

    def _forget_ended(self) -> None:
        now = self._clock()
        for hashed in [each for each, session in self._found.items() if session.ends <= now]:
            del self._found[hashed]


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
