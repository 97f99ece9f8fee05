"""The last requests of this process, for whoever watches: no texts, no keys, bounded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rerankd.telemetry.record import RequestRecord

KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Ended:
    """One request that ended."""

    number: int  # counted from 1 since the start
    at: float  # when it ended, seconds since 1970
    record: RequestRecord


class Recent:
    """Requests as they ended, the last KEPT of them. For one thread."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """None ended yet.

        Args:
            clock: seconds since 1970.
        """
        self._clock = clock
        self._ended: deque[Ended] = deque(maxlen=KEPT)
        self.count = 0  # since the start

    def add(self, record: RequestRecord) -> None:
        """One request ended now."""
        self.count += 1
        self._ended.append(Ended(self.count, self._clock(), record))

    def after(self, number: int, most: int) -> list[Ended]:
        """Those that ended after the one of that number, the oldest first, at most so many.

        Where more did, the newest of them.
        """
        found = min(self.count - number, len(self._ended)) if number < self.count else 0
        return list(islice(self._ended, max(len(self._ended) - min(found, most), 0), None))

    def since(self, seconds: float) -> list[Ended]:
        """Those that ended in the last so many seconds, the oldest first."""
        begin = self._clock() - seconds
        return [each for each in self._ended if each.at >= begin]
