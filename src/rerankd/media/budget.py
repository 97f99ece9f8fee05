"""Bytes that all requests of a server hold at once: bounded, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque

from rerankd.core.errors import Overloaded

_RETRY_AFTER_S = 2.0


class MediaBudget:
    """A number of bytes that requests take and give back. For one event loop."""

    def __init__(self, limit_bytes: int, setting: str) -> None:
        self.limit_bytes = limit_bytes
        self.setting = setting
        self.used_bytes = 0
        self.peak_bytes = 0  # the most that was ever used
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def take(self, size: int) -> None:
        """Now or never.

        Raises:
            Overloaded: there is no room.
        """
        if self.used_bytes + size > self.limit_bytes:
            raise self._full()
        self._use(size)

    async def wait(self, size: int, patience_s: float) -> None:
        """Take when there is room, in the order of asking; size is at most the limit.

        Raises:
            Overloaded: there was no room in time.
        """
        if not self._waiting and self.used_bytes + size <= self.limit_bytes:
            self._use(size)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        try:
            async with asyncio.timeout(patience_s):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self.give_back(size)  # granted in the moment in which nobody waited any more
            else:
                self._waiting.remove((size, granted))
                self._grant()  # those behind it may be smaller
            if isinstance(error, TimeoutError):
                raise self._full() from None
            raise

    def give_back(self, size: int) -> None:
        """What was taken is free again."""
        self.used_bytes -= size
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self.used_bytes + self._waiting[0][0] <= self.limit_bytes:
            size, granted = self._waiting.popleft()
            if granted.cancelled():
                self._waiting.appendleft((size, granted))  # its own way out takes it off
                return
            self._use(size)
            granted.set_result(None)

    def _use(self, size: int) -> None:
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _full(self) -> Overloaded:
        return Overloaded(
            f"The images and videos of other requests fill {self.setting}; try again later.",
            retry_after_s=_RETRY_AFTER_S,
        )
