"""A sign-in that went to the issuer: bound to one browser, for some minutes, without memory here.

The browser holds random bits, an end and where to go then, in a cookie; `state`, nonce and PKCE
verifier are MACs of that cookie under a key of this process. So nobody can make a pair of cookie
and state but this server, and no flood of begun sign-ins pushes another out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_BYTES: Final = 32
_NEXT_CHARACTERS: Final = 1_000
_USED: Final = 10_000  # that are remembered; the issuer takes no code twice either


@dataclass(frozen=True, slots=True)
class Begun:
    """One sign-in under way."""

    cookie: str
    state: str
    nonce: str
    verifier: str  # of PKCE
    wanted: str  # where it leads in the end

    @property
    def challenge(self) -> str:
        """PKCE's S256 of the verifier."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


class SignIns:
    """Those of one server; its end forgets them all."""

    def __init__(self, seconds: int, *, clock: Callable[[], float] = time.time) -> None:
        """None is under way.

        Args:
            seconds: that each has.
            clock: seconds since 1970.
        """
        self._seconds = seconds
        self._key = secrets.token_bytes(_BYTES)
        self._clock = clock
        self._used: OrderedDict[str, float] = OrderedDict()  # state -> its end

    def begin(self, wanted: str, fallback: str) -> Begun:
        """Another one.

        Args:
            wanted: the page that it leads to.
            fallback: that page where the wanted one has too long a name for a cookie.
        """
        wanted = wanted if len(wanted) <= _NEXT_CHARACTERS else fallback
        ends = int(self._clock()) + self._seconds
        random = secrets.token_urlsafe(_BYTES)
        return self._made(f"{random}.{ends}.{_text(wanted.encode())}", wanted)

    def finish(self, cookie: str, state: str) -> Begun | None:
        """The one of a cookie, once; None = it is another browser's, over, or was finished."""
        found = self._made(cookie, "")
        if not hmac.compare_digest(found.state.encode(), state.encode()):
            return None
        _, ends, wanted = cookie.split(".")  # as begin() wrote it: the state says so
        now = self._clock()
        if float(ends) <= now or state in self._used:
            return None
        self._make_room(now)
        self._used[state] = float(ends)
        return self._made(cookie, _read(wanted))

    def _made(self, cookie: str, wanted: str) -> Begun:
        return Begun(
            cookie=cookie,
            state=self._mac("state", cookie),
            nonce=self._mac("nonce", cookie),
            verifier=self._mac("verifier", cookie),
            wanted=wanted,
        )

    def _mac(self, what: str, cookie: str) -> str:
        return _text(hmac.digest(self._key, f"{what}\0{cookie}".encode(), "sha256"))

    def _make_room(self, now: float) -> None:
        while self._used and (len(self._used) >= _USED or next(iter(self._used.values())) <= now):
            self._used.popitem(last=False)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
