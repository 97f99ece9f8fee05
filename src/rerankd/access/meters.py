"""What a limit counts in: a bucket that refills evenly each minute, or a day that begins at 00:00.

Days are of UTC. A cost over the whole limit is taken when nothing else was, so that a large request
waits its turn, not for ever; a bucket keeps the rest as debt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from rerankd.core.errors import Rate

DAY_S: Final = 86_400


class Used(NamedTuple):
    """What is used of a limit at a moment, as a meter of another process takes it over."""

    amount: float  # of units; over the limit: a debt
    at_s: float  # by the meter's clock


class LimitMeter(Protocol):
    """Counts one limit of one key or team."""

    name: Rate
    limit: int  # units per minute or day

    def wait_s(self, cost: int) -> float:
        """Seconds after which `cost` units can be taken; 0 = now."""
        ...

    def count(self, cost: int) -> None:
        """Take them, whether they are there or not."""
        ...

    def give_back(self, cost: int, day: int) -> None:
        """Undo a take of that day of UTC."""
        ...

    def resize(self, limit: int) -> None:
        """Another limit; what is used stays used."""
        ...

    def left(self) -> int:
        """Whole units that can be taken now."""
        ...

    def full_s(self) -> float:
        """Seconds until all of them can."""
        ...

    def used(self) -> Used:
        """What is used now."""
        ...

    def restore(self, used: Used) -> None:
        """Take over what another meter of this limit had used."""
        ...


class Bucket:
    """`per_minute` units, refilled evenly; starts full."""

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        name: Rate = "RPM",
    ) -> None:
        self.name: Rate = name
        self.limit = per_minute
        self._clock = clock
        self._level = float(per_minute)
        self._at = clock()

    def wait_s(self, cost: int) -> float:
        """Seconds after which `cost` units can be taken; 0 = now."""
        self._refill()
        needed = min(cost, self.limit)
        return max(needed - self._level, 0.0) * 60 / self.limit

    def take(self, cost: int) -> float:
        """Take `cost` units if they are there.

        Returns:
            0.0 when taken, else the seconds after which the same call would succeed.
        """
        wait_s = self.wait_s(cost)
        if not wait_s:
            self.count(cost)
        return wait_s

    def count(self, cost: int) -> None:
        """Take them, whether they are there or not."""
        self._level -= cost

    def give_back(self, cost: int, day: int = 0) -> None:
        """Undo a take."""
        self._level = min(float(self.limit), self._level + cost)

    def resize(self, limit: int) -> None:
        """Another limit; what is used stays used."""
        self._refill()
        self._level += limit - self.limit
        self.limit = limit

    def left(self) -> int:
        """Whole units that can be taken now."""
        self._refill()
        return max(int(self._level), 0)

    def full_s(self) -> float:
        """Seconds until all of them can."""
        self._refill()
        return (self.limit - self._level) * 60 / self.limit

    def used(self) -> Used:
        """What is used now."""
        self._refill()
        return Used(self.limit - self._level, self._at)

    def restore(self, used: Used) -> None:
        """Take over what another meter of this limit had used."""
        self._level, self._at = self.limit - used.amount, used.at_s

    def _refill(self) -> None:
        now = self._clock()
        refill = (now - self._at) * self.limit / 60
        self._level = min(float(self.limit), self._level + refill)
        self._at = now


class Day:
    """`limit` units a day of UTC."""

    def __init__(self, limit: int, *, clock: Callable[[], float], name: Rate) -> None:
        """Nothing is used yet today.

        Args:
            limit: units a day.
            clock: seconds since 1970.
            name: of the limit.
        """
        self.name: Rate = name
        self.limit = limit
        self._clock = clock
        self._day: int = day_of(clock())
        self._used = 0

    def wait_s(self, cost: int) -> float:
        """Seconds after which `cost` units can be taken; 0 = now."""
        self._turn()
        fits = self._used + min(cost, self.limit) <= self.limit
        return 0.0 if fits else self.full_s()

    def count(self, cost: int) -> None:
        """Take them, whether they are there or not."""
        self._turn()
        self._used += cost

    def give_back(self, cost: int, day: int) -> None:
        """Undo a take of that day of UTC; of an earlier one nothing is left."""
        self._turn()
        if day == self._day:
            self._used -= cost

    def resize(self, limit: int) -> None:
        """Another limit; what is used stays used."""
        self.limit = limit

    def left(self) -> int:
        """Whole units that can be taken now."""
        self._turn()
        return max(self.limit - self._used, 0)

    def full_s(self) -> float:
        """Seconds until all of them can: until midnight."""
        return DAY_S - self._clock() % DAY_S

    def used(self) -> Used:
        """What is used now."""
        self._turn()
        return Used(self._used, self._clock())

    def restore(self, used: Used) -> None:
        """Take over what another meter of this limit had used."""
        self._day, self._used = day_of(used.at_s), round(used.amount)

    def _turn(self) -> None:
        """A new day begins with nothing used."""
        today = day_of(self._clock())
        if today != self._day:
            self._day, self._used = today, 0


def day_of(seconds: float) -> int:
    """Which day since 1970, in UTC."""
    return int(seconds // DAY_S)
