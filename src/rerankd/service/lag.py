"""How late the event loop is: what a request has waited before anybody could look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rerankd.service.watch import watched

_EVERY_S: Final = 0.1


class LoopLag:
    """Measures the loop ten times a second, from start() to stop()."""

    def __init__(self, observe: Callable[[float], None] = lambda _: None) -> None:
        """Observe is told of each measurement, in seconds."""
        self._observe = observe
        self._last_s = 0.0
        self._due = float("inf")
        self._task: asyncio.Task[None] | None = None

    def seconds(self) -> float:
        """The last lag, or the present one where it is longer."""
        return max(self._last_s, time.monotonic() - self._due, 0.0)

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(
            watched("loop lag", self._measure, lambda _: None)
        )

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _measure(self) -> None:
        while True:
            self._due = time.monotonic() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self._last_s = max(time.monotonic() - self._due, 0.0)
            self._observe(self._last_s)
