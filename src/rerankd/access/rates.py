"""Limits of keys and teams: requests and tokens per minute and day, requests at once; in memory.

A request is counted in all limits of its key and its team, or in none of them.

Why not a library: docs/decisions/0004-rate-limits.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, get_args

from rerankd.access.keys import Key, Team
from rerankd.access.meters import Bucket, Day, LimitMeter, day_of
from rerankd.core.errors import Rate, RateLimited

Unit = Literal["requests", "tokens"]

_RETRY_S: Final = 1.0  # when a request of the same key may have ended
_UNITS: Final[tuple[Unit, ...]] = ("requests", "tokens")
RATE_HEADERS: Final = tuple(
    f"x-ratelimit-{what}-{unit}" for unit in _UNITS for what in ("limit", "remaining", "reset")
)


class RateLimits:
    """The counts of all keys and teams. Survives a reload: a key that stays keeps its level."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is used yet.

        Args:
            clock: for minutes.
            wall: seconds since 1970, for days.
        """
        self._clock = clock
        self._wall = wall
        self._meters: dict[tuple[bytes, Rate], LimitMeter] = {}
        self._inside: dict[bytes, int] = {}  # requests being answered, by holder

    def enter(self, key: Key) -> tuple[bytes, ...]:
        """Count a request that begins.

        Returns:
            What `leave` is told when it has ended, however it did.

        Raises:
            RateLimited: the key, or its team, has as many as it may.
        """
        limited = [owner for owner in key.owners if owner.in_flight is not None]
        for owner in limited:
            if self._inside.get(owner.holder, 0) >= (owner.in_flight or 0):
                raise RateLimited("in_flight", retry_after_s=_RETRY_S)
        holders = tuple(owner.holder for owner in limited)
        for holder in holders:
            self._inside[holder] = self._inside.get(holder, 0) + 1
        return holders

    def leave(self, holders: Iterable[bytes]) -> None:
        """A request that was counted has ended."""
        for holder in holders:
            left = self._inside[holder] - 1
            if left:
                self._inside[holder] = left
            else:
                del self._inside[holder]

    def running(self, key: Key) -> int:
        """Requests of a key with such a limit that are being answered."""
        return self._inside.get(key.holder, 0)

    def take_request(self, key: Key) -> None:
        """Count one request.

        Raises:
            RateLimited: RPM or RPD of the key or its team is used up.
        """
        self._take(key, "requests", 1)

    def take_tokens(self, key: Key, tokens: int) -> None:
        """Count a request's input tokens, known exactly after tokenising.

        Raises:
            RateLimited: TPM or TPD of the key or its team is used up.
        """
        self._take(key, "tokens", tokens)

    def give_back_tokens(self, key: Key, tokens: int, day: int | None = None) -> None:
        """Return the tokens of a request that was admitted by its key but not by the queue.

        Args:
            key: that took them.
            tokens: how many; below 0 = count more of them, which is never refused.
            day: of UTC on which they were taken; None = today.
        """
        day = self.today() if day is None else day
        for meter in self._of(key, "tokens"):
            meter.give_back(tokens, day)

    def charge(self, key: Key) -> Charge:
        """A charge of nothing yet, for one request."""
        return Charge(self, key)

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget the counts of keys that are gone, and of teams that have no key any more."""
        holders = {owner.holder for key in keys for owner in key.owners}
        self._meters = {at: meter for at, meter in self._meters.items() if at[0] in holders}

    def forget(self, key: Key) -> None:
        """Forget the counts of one key, which is gone."""
        for name in get_args(Rate):
            self._meters.pop((key.holder, name), None)

    def tightest(self, key: Key, unit: Unit) -> LimitMeter | None:
        """The limit of a key or its team that has the least left; None = it has none."""
        return min(
            self._of(key, unit), key=lambda meter: (meter.left(), -meter.full_s()), default=None
        )

    def headers(self, key: Key) -> dict[str, str]:
        """How much is left of the tightest limits, as OpenAI's API tells it; {} = no limit."""
        found: dict[str, str] = {}
        for unit in _UNITS:
            meter = self.tightest(key, unit)
            if meter is not None:
                found[f"x-ratelimit-limit-{unit}"] = str(meter.limit)
                found[f"x-ratelimit-remaining-{unit}"] = str(meter.left())
                found[f"x-ratelimit-reset-{unit}"] = duration(meter.full_s())
        return found

    def today(self) -> int:
        """The day since 1970, in UTC."""
        return day_of(self._wall())

    def _take(self, key: Key, unit: Unit, cost: int) -> None:
        """Count in every limit, or in none. Raises RateLimited: names the longest wait."""
        meters = list(self._of(key, unit))
        if not meters:
            return
        waits = [(meter.wait_s(cost), meter) for meter in meters]
        wait_s, longest = max(waits, key=lambda found: found[0])
        if wait_s > 0:
            raise RateLimited(longest.name, retry_after_s=math.ceil(wait_s))
        for meter in meters:
            meter.count(cost)

    def _of(self, key: Key, unit: Unit) -> Iterator[LimitMeter]:
        """What counts a unit for a key."""
        for owner in key.owners:
            if unit == "requests":
                yield from self._two(owner, "RPM", owner.rpm, "RPD", owner.rpd)
            else:
                yield from self._two(owner, "TPM", owner.tpm, "TPD", owner.tpd)

    def _two(
        self,
        owner: Key | Team,
        minute: Rate,
        per_minute: int | None,
        day: Rate,
        per_day: int | None,
    ) -> Iterator[LimitMeter]:
        if per_minute is not None:
            yield self._meter(owner.holder, minute, per_minute)
        if per_day is not None:
            yield self._meter(owner.holder, day, per_day)

    def _meter(self, holder: bytes, name: Rate, limit: int) -> LimitMeter:
        meter = self._meters.get((holder, name))
        if meter is None:
            if name in ("RPM", "TPM"):
                meter = Bucket(limit, clock=self._clock, name=name)
            else:
                meter = Day(limit, clock=self._wall, name=name)
            self._meters[holder, name] = meter
        elif meter.limit != limit:
            meter.resize(limit)
        return meter


class Charge:
    """What one request took of its key's tokens: for all that it did so far, or nothing."""

    def __init__(self, rates: RateLimits, key: Key) -> None:
        self._rates = rates
        self._day = 0
        self.key = key
        self.tokens = 0

    def add(self, tokens: int) -> None:
        """Charge more, as one sum with what was charged: so a request over the whole TPM passes.

        Raises:
            RateLimited: a limit has no room for the sum; nothing is charged any more.
        """
        total = self.tokens + tokens
        self.give_back()
        self._rates.take_tokens(self.key, total)
        self.tokens, self._day = total, self._rates.today()

    def settle(self, tokens: int) -> None:
        """What it was in the end, which was an estimate before; never refused: it is done."""
        self._rates.give_back_tokens(self.key, self.tokens - tokens, self._day)
        self.tokens = tokens

    def give_back(self) -> None:
        """Return all of it."""
        self._rates.give_back_tokens(self.key, self.tokens, self._day)
        self.tokens = 0


def duration(seconds: float) -> str:
    """Seconds as OpenAI's headers write them: 850ms, 12.5s, 6m0s, 3h12m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 10) / 10:g}s"
    whole = math.ceil(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{f'{hours}h' if hours else ''}{minutes}m{whole % 60}s"
