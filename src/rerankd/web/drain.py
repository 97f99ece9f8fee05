"""From the first signal to the exit: what comes is refused, what runs gets its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from typing import Final, Self

from rerankd.core.errors import Overloaded

_LAST_WORDS_S: Final = (
    2.0  # for the 503s to be sent; a client that does not read must not stop the exit
)


class Drain:
    """From SIGTERM to exit: no new work, running requests get their time, the rest a 503."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.has_expired = False  # running requests must end now
        self._scopes: set[asyncio.Timeout] = set()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def draining(self) -> bool:
        """Whether no new work is taken."""
        return self.begun.is_set()

    @property
    def running(self) -> int:
        """Rerank requests in progress."""
        return self._running

    def __enter__(self) -> Self:
        if self.draining:
            raise shutting_down()
        self._running += 1
        self._idle.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._running -= 1
        if self._running == 0:
            self._idle.set()

    @contextlib.contextmanager
    def ends(self, scope: asyncio.Timeout) -> Generator[None]:
        """A scope, entered, that is over as soon as running requests must end."""
        self._scopes.add(scope)
        if self.has_expired:
            end_now(scope)
        try:
            yield
        finally:
            self._scopes.discard(scope)

    def expire(self) -> None:
        """Running requests end now."""
        self.has_expired = True
        for scope in tuple(self._scopes):
            end_now(scope)

    async def wait(self, patience_s: float) -> None:
        """Refuse new requests, give running ones `patience_s`, then end them with a 503."""
        self.begun.set()
        try:
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        except TimeoutError:
            self.expire()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._idle.wait()


def end_now(scope: asyncio.Timeout) -> None:
    """What runs in the scope is cancelled as if its time were over."""
    if not scope.expired():
        scope.reschedule(asyncio.get_running_loop().time())


def shutting_down() -> Overloaded:
    """The error of a request that came, or still ran, when the server had to stop."""
    return Overloaded("The server is shutting down.", retry_after_s=5.0)
