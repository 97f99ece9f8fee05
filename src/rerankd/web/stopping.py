"""What a SIGTERM or SIGINT means: one that is repeated at once was meant once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

SAME_SIGNAL_S = 5.0

Meaning = Literal["drain", "again", "force"]


class Stopping:
    """Who sends a signal and who forwards it do not know of each other.

    `uv run` and container runtimes pass on what the terminal or systemd sends to the whole process
    group as well, so one wish to stop comes two or three times within milliseconds. Only a signal
    that comes later was sent by somebody who does not want to wait.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first_at: float | None = None

    def signal(self) -> Meaning:
        """Count one: "drain" the first, "again" for 5 s after it, then "force"."""
        now = self._clock()
        if self._first_at is None:
            self._first_at = now
            return "drain"
        return "again" if now - self._first_at < SAME_SIGNAL_S else "force"
