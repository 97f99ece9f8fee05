"""Counts that several servers share: what one step of them does, whoever keeps them. Pure.

A step takes what came together. Between reading the counts and writing them nobody else may do so:
then limits are as exact as in one process, and a step costs the same for one request and for many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rerankd.access.keys import Key
from rerankd.access.meters import Used
from rerankd.access.rates import RateLimits, Spot, limits_of
from rerankd.core.errors import RateLimited


class CountsAway(Exception):
    """The counts that servers share cannot be read and written now."""


@dataclass(slots=True, kw_only=True, eq=False)
class Enter:
    """A request begins: its place among those at once, one of the minute and the day."""

    key: Key
    holders: tuple[bytes, ...] = ()  # where it is counted, once it is


@dataclass(slots=True, eq=False)
class Leave:
    """It has ended; without effect when it was not let in."""

    entered: Enter


@dataclass(slots=True, kw_only=True, eq=False)
class TakeTokens:
    """A request's input tokens, in place of those that it took before."""

    key: Key
    tokens: int
    returned: int = 0
    returned_day: int = 0  # of UTC, on which those were taken
    day: int | None = None  # on which these were, once they are


@dataclass(slots=True, eq=False)
class Untake:
    """Nobody waited for these tokens; without effect when they were refused."""

    taken: TakeTokens


@dataclass(slots=True, kw_only=True, eq=False)
class GiveBack:
    """Tokens that were taken on a day of UTC; below 0 = more of them, which is never refused."""

    key: Key
    tokens: int
    day: int


RateStep = Enter | Leave | TakeTokens | Untake | GiveBack


class Before(NamedTuple):
    """The counts as a step finds them."""

    now_s: float  # since 1970, by the clock that all servers go by; never before a count's time
    counts: Mapping[Spot, Used]
    inside: Mapping[bytes, int]  # requests at once, of all servers that are there


@dataclass(frozen=True, slots=True)
class After:
    """The counts as a step leaves them."""

    refused: Sequence[RateLimited | None]  # of each part of the step
    counts: Mapping[Spot, Used]
    inside: Mapping[bytes, int]


@dataclass(slots=True)
class Needed:
    """What a step reads and writes."""

    spots: set[Spot] = field(default_factory=set[Spot])
    holders: set[bytes] = field(default_factory=set[bytes])  # of limits of requests at once


def needed(steps: Sequence[RateStep]) -> Needed:
    """The counts that steps read and write."""
    found = Needed()
    for step in steps:
        match step:
            case Enter(key=key):
                found.spots.update(at for at, _ in limits_of(key, "requests"))
                found.holders.update(o.holder for o in key.owners if o.in_flight is not None)
            case Leave(entered):
                found.holders.update(entered.holders)
            case TakeTokens(key=key) | Untake(TakeTokens(key=key)) | GiveBack(key=key):
                found.spots.update(at for at, _ in limits_of(key, "tokens"))
    return found


def decided(steps: Sequence[RateStep], before: Before) -> After:
    """Do steps one after the other; the steps say what became of them.

    Doing them again, by other counts, forgets what became of them before.
    """
    core = RateLimits(clock=lambda: before.now_s, wall=lambda: before.now_s)
    core.restore(before.counts)
    core.restore_inside(before.inside)
    refused = [_done(core, step) for step in steps]
    return After(refused, core.counts(), core.inside())


def _done(core: RateLimits, step: RateStep) -> RateLimited | None:
    try:
        match step:
            case Enter():
                _enter(core, step)
            case Leave(entered):
                core.leave(entered.holders)
            case TakeTokens():
                step.day = None
                core.give_back_tokens(step.key, step.returned, step.returned_day)
                core.take_tokens(step.key, step.tokens)
                step.day = core.today()
            case Untake(taken):
                if taken.day is not None:
                    core.give_back_tokens(taken.key, taken.tokens, taken.day)
            case GiveBack():
                core.give_back_tokens(step.key, step.tokens, step.day)
    except RateLimited as error:
        return error
    return None


def _enter(core: RateLimits, step: Enter) -> None:
    """Raises RateLimited: nothing is counted."""
    step.holders = ()
    holders = core.enter(step.key)
    try:
        core.take_request(step.key)
    except RateLimited:
        core.leave(holders)
        raise
    step.holders = holders
