"""Unknown keys, counted by network: who sends too many is told to wait.

Good keys from there pass all the same. This is not what keeps anybody from guessing (a key that can
be reached from outside has 16 characters or more): it is for clients that repeat a wrong one in a
loop, and it bounds what they write into the log.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rerankd.core.errors import RateLimited

NETWORKS: Final = 10_000  # that are remembered; then the one that began first is forgotten
_MINUTE_S: Final = 60.0


class WrongKeys:
    """The networks that sent unknown keys within the last minute."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()  # begin of a minute, count

    def note(self, network: str) -> None:
        """Count one.

        Raises:
            RateLimited: the network sent more than it may this minute.
        """
        began, count = self.check(network)
        if not count:
            self._seen.pop(network, None)  # to the end, by when its minute began
            if len(self._seen) >= NETWORKS:
                self._seen.popitem(last=False)
        self._seen[network] = (began, count + 1)

    def check(self, network: str) -> tuple[float, int]:
        """Before what costs more than a look at a table.

        Returns:
            When the network's minute began, and how many it sent since.

        Raises:
            RateLimited: the network sent as many as it may this minute.
        """
        now = self._clock()
        began, count = self._seen.get(network, (now, 0))
        if now - began >= _MINUTE_S:
            began, count = now, 0
        if count >= self._per_minute:
            wait_s = math.ceil(began + _MINUTE_S - now)
            raise RateLimited("wrong_keys", retry_after_s=wait_s)
        return began, count

    def __len__(self) -> int:
        return len(self._seen)
