"""Limits of keys and teams: requests and tokens per minute and day, requests at once; in memory.

A request is counted in all limits of its key and its team, or in none of them. Where several
servers share the counts, `access.shared_rates` takes the place of this memory.

Why not a library: docs/decisions/0004-rate-limits.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, get_args

from rerankd.access.keys import Key
from rerankd.access.meters import Bucket, Day, LimitMeter, Used, day_of
from rerankd.core.errors import Rate, RateLimited

Unit = Literal["requests", "tokens"]
Spot = tuple[bytes, Rate]  # a holder and one of his limits

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
        self._meters: dict[Spot, LimitMeter] = {}
        self._restored: dict[Spot, Used] = {}  # of meters that nobody asked for yet
        self._inside: dict[bytes, int] = {}  # requests being answered, by holder

    def in_flight(self, key: Key) -> InFlight:
        """The place of a request that begins; not taken yet."""
        return InFlight(self, key)

    async def begin(self, place: InFlight) -> None:
        """Count a request that begins.

        Raises:
            RateLimited: its key, or its team, has as many as it may; nothing is taken for good.
        """
        holders = self.enter(place.key)
        place.on_leave = lambda: self.leave(holders)
        self.take_request(place.key)

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

    async def swap_tokens(self, key: Key, tokens: int, *, returned: int, day: int) -> int:
        """Give back what a request took before, and take more tokens in its place.

        Args:
            key: that takes them.
            tokens: to be taken, all together.
            returned: tokens that were taken, given back whether the others can be taken or not.
            day: of UTC on which they were.

        Returns:
            The day of UTC on which they are taken.

        Raises:
            RateLimited: as `take_tokens`.
        """
        self.give_back_tokens(key, returned, day)
        self.take_tokens(key, tokens)
        return self.today()

    def charge(self, key: Key) -> Charge:
        """A charge of nothing yet, for one request."""
        return Charge(self, key)

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget the counts of keys that are gone, and of teams that have no key any more."""
        holders = {owner.holder for key in keys for owner in key.owners}
        self._meters = {at: meter for at, meter in self._meters.items() if at[0] in holders}
        self._restored = {at: used for at, used in self._restored.items() if at[0] in holders}

    def forget(self, key: Key) -> None:
        """Forget the counts of one key, which is gone."""
        for name in get_args(Rate):
            self._meters.pop((key.holder, name), None)
            self._restored.pop((key.holder, name), None)

    def counts(self) -> dict[Spot, Used]:
        """What is used of each limit."""
        return self._restored | {at: meter.used() for at, meter in self._meters.items()}

    def restore(self, counts: Mapping[Spot, Used]) -> None:
        """Take over what others counted, in place of what was counted here."""
        for at, used in counts.items():
            meter = self._meters.get(at)
            if meter is None:
                self._restored[at] = used
            else:
                meter.restore(used)

    def inside(self) -> dict[bytes, int]:
        """Requests that are being answered, by holder of a limit of them."""
        return dict(self._inside)

    def restore_inside(self, inside: Mapping[bytes, int]) -> None:
        """Take over how many are being answered."""
        self._inside = {holder: running for holder, running in inside.items() if running}

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
        return (self._meter(at, limit) for at, limit in limits_of(key, unit))

    def _meter(self, at: Spot, limit: int) -> LimitMeter:
        meter, name = self._meters.get(at), at[1]
        if meter is None:
            if name in ("RPM", "TPM"):
                meter = Bucket(limit, clock=self._clock, name=name)
            else:
                meter = Day(limit, clock=self._wall, name=name)
            if (used := self._restored.pop(at, None)) is not None:
                meter.restore(used)
            self._meters[at] = meter
        elif meter.limit != limit:
            meter.resize(limit)
        return meter


class InFlight:
    """One request among those being answered, from its headers to the end of its answer."""

    def __init__(self, rates: RateLimits, key: Key) -> None:
        self._rates = rates
        self.key = key
        self.on_leave: Callable[[], None] | None = None  # set once it is counted

    async def enter(self) -> None:
        """Count it, in its key's requests at once, of the minute and of the day.

        Raises:
            RateLimited: a limit is used up.
            Overloaded: the counts that servers share cannot be reached.
        """
        await self._rates.begin(self)

    def leave(self) -> None:
        """It has ended, however it did; again is without effect."""
        on_leave, self.on_leave = self.on_leave, None
        if on_leave is not None:
            on_leave()


class Charge:
    """What one request took of its key's tokens: for all that it did so far, or nothing."""

    def __init__(self, rates: RateLimits, key: Key) -> None:
        self._rates = rates
        self._day = 0
        self.key = key
        self.tokens = 0

    async def add(self, tokens: int) -> None:
        """Charge more, as one sum with what was charged: so a request over the whole TPM passes.

        Raises:
            RateLimited: a limit has no room for the sum; nothing is charged any more.
            Overloaded: the counts that servers share cannot be reached.
        """
        returned, self.tokens = self.tokens, 0
        total = returned + tokens
        self._day = await self._rates.swap_tokens(self.key, total, returned=returned, day=self._day)
        self.tokens = total

    def settle(self, tokens: int) -> None:
        """What it was in the end, which was an estimate before; never refused: it is done."""
        self._rates.give_back_tokens(self.key, self.tokens - tokens, self._day)
        self.tokens = tokens

    def give_back(self) -> None:
        """Return all of it."""
        self._rates.give_back_tokens(self.key, self.tokens, self._day)
        self.tokens = 0


def limits_of(key: Key, unit: Unit) -> Iterator[tuple[Spot, int]]:
    """The limits of a unit that a key and its team have."""
    for owner in key.owners:
        if unit == "requests":
            found: tuple[tuple[Rate, int | None], ...] = ("RPM", owner.rpm), ("RPD", owner.rpd)
        else:
            found = ("TPM", owner.tpm), ("TPD", owner.tpd)
        for name, limit in found:
            if limit is not None:
                yield (owner.holder, name), limit


def duration(seconds: float) -> str:
    """Seconds as OpenAI's headers write them: 850ms, 12.5s, 6m0s, 3h12m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 10) / 10:g}s"
    whole = math.ceil(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{f'{hours}h' if hours else ''}{minutes}m{whole % 60}s"
