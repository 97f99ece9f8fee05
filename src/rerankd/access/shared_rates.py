"""Limits whose counts several servers share: each taking is a step there, and waits for it.

What is known of them here is what the last steps said: that is what callers are told is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, Protocol

from rerankd.access.keys import Key, Team
from rerankd.access.meters import Used
from rerankd.access.rates import InFlight, RateLimits, Spot, limits_of
from rerankd.access.shared import (
    CountsAway,
    Enter,
    GiveBack,
    Leave,
    RateStep,
    TakeTokens,
    Untake,
)
from rerankd.core.errors import Overloaded

WhenAway = Literal["refuse", "alone"]
_RETRY_S: Final = 2.0
_ALONE: Final = -1  # instead of the day, of tokens that were taken where nobody shares them


class SharedCounting(Protocol):
    """Does steps where all servers do, in the order in which they came."""

    servers: int  # that share the counts, this one included
    alone: int  # takings that were counted alone, while the counts were away
    seen: Callable[[float, Mapping[Spot, Used]], None]  # told the time and counts after a step

    async def take(self, step: RateStep) -> None:
        """Do a step, and wait for it.

        Raises:
            RateLimited: it is refused.
            CountsAway: it is not known whether it was done; it may yet be.
        """
        ...

    def post(self, step: RateStep) -> None:
        """Do a step after those before it, some time; none of it is refused."""
        ...


class SharedRates(RateLimits):
    """The counts of all keys and teams, of all servers together."""

    def __init__(self, counting: SharedCounting, *, when_away: WhenAway = "refuse") -> None:
        """Nothing is known yet.

        Args:
            counting: where the counts are.
            when_away: what becomes of requests while it cannot be reached: they are refused, or
                each server counts alone, up to its part of each limit.
        """
        super().__init__(clock=self._now, wall=self._now)
        self._counting = counting
        self._when_away: WhenAway = when_away
        self._ahead_s = 0.0  # of this machine's clock: the one that all go by
        self._alone: RateLimits | None = None  # while the counts are away
        counting.seen = self._seen

    async def begin(self, place: InFlight) -> None:
        """Count a request that begins. Raises RateLimited, Overloaded."""
        key = place.key
        at_once = any(owner.in_flight is not None for owner in key.owners)
        if not at_once and next(limits_of(key, "requests"), None) is None:
            return
        step = Enter(key=key)
        if at_once:
            place.on_leave = lambda: self._counting.post(Leave(step))
        try:
            await self._counting.take(step)
        except CountsAway as away:
            place.leave()
            place_alone = InFlight(self._counted_alone(away), self._part(key))
            place.on_leave = place_alone.leave
            await place_alone.enter()

    async def swap_tokens(self, key: Key, tokens: int, *, returned: int, day: int) -> int:
        """Give back what a request took before, and take more. Raises RateLimited, Overloaded."""
        if next(limits_of(key, "tokens"), None) is None:
            return self.today()
        if day == _ALONE:
            returned = 0
        step = TakeTokens(key=key, tokens=tokens, returned=returned, returned_day=day)
        try:
            await self._counting.take(step)
        except CountsAway as away:
            self._counting.post(Untake(step))  # it may be done yet
            self._counted_alone(away).take_tokens(self._part(key), tokens)
            return _ALONE
        except asyncio.CancelledError:
            self._counting.post(Untake(step))
            raise
        return self.today() if step.day is None else step.day

    def give_back_tokens(self, key: Key, tokens: int, day: int | None = None) -> None:
        """Return tokens of a request; below 0 = count more of them, which is never refused."""
        if not tokens or day == _ALONE or next(limits_of(key, "tokens"), None) is None:
            return
        day = self.today() if day is None else day
        self._counting.post(GiveBack(key=key, tokens=tokens, day=day))

    def _now(self) -> float:
        return time.time() + self._ahead_s

    def _seen(self, now_s: float, counts: Mapping[Spot, Used]) -> None:
        self._ahead_s = now_s - time.time()
        self._alone = None
        self.restore(counts)

    def _counted_alone(self, away: CountsAway) -> RateLimits:
        """Who counts while the counts are away; begins with this server's part of what was used.

        Raises:
            Overloaded: nobody does.
        """
        if self._when_away == "refuse":
            raise Overloaded(
                "The limits of this key cannot be counted now.", retry_after_s=_RETRY_S
            ) from away
        if self._alone is None:
            self._alone = RateLimits(clock=self._now, wall=self._now)
            parts = self._counting.servers
            self._alone.restore(
                {at: Used(used.amount / parts, used.at_s) for at, used in self.counts().items()}
            )
        self._counting.alone += 1
        return self._alone

    def _part(self, key: Key) -> Key:
        """The key with this server's part of its limits and its team's, each at least 1."""
        parts = self._counting.servers
        team = None if key.team is None else _team_part(key.team, parts)
        return replace(
            key,
            team=team,
            rpm=_part(key.rpm, parts),
            tpm=_part(key.tpm, parts),
            rpd=_part(key.rpd, parts),
            tpd=_part(key.tpd, parts),
            in_flight=_part(key.in_flight, parts),
        )


def _team_part(team: Team, parts: int) -> Team:
    return replace(
        team,
        rpm=_part(team.rpm, parts),
        tpm=_part(team.tpm, parts),
        rpd=_part(team.rpd, parts),
        tpd=_part(team.tpd, parts),
        in_flight=_part(team.in_flight, parts),
    )


def _part(limit: int | None, parts: int) -> int | None:
    return None if limit is None else max(limit // parts, 1)
