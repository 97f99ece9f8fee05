"""The one time limit that a connection is under."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls once, when its time is over, unless it is put off or set anew."""

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], None]) -> None:
        self._loop = loop
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it will call."""
        return self._timer is not None

    def set(self, limit_s: float) -> None:
        """Call in so long; what was set before is off."""
        self.off()
        self._timer = self._loop.call_later(limit_s, self._ring)

    def off(self) -> None:
        """Do not call."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._late()
