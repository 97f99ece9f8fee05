"""Stretches of time that a budget is for: of the calendar, in a time zone. Pure but for zone data.

Minutes and hours are those of UTC, in every zone; days and months begin at the first moment of
their date in the zone, so a day is 23 or 25 hours long when its clocks change.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Window = Literal["minute", "hour", "day", "month", "total"]
WINDOWS: Final[tuple[Window, ...]] = get_args(Window)
_SECOND_US: Final = 1_000_000
_FIXED_US: Final = {"minute": 60 * _SECOND_US, "hour": 3600 * _SECOND_US}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """A window in time, in microseconds UTC; without an end for "total"."""

    start_us: int
    end_us: int | None

    def has(self, at_us: int) -> bool:
        """Whether a moment is in it."""
        return self.start_us <= at_us and (self.end_us is None or at_us < self.end_us)


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: there is none, here.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is no time zone as Europe/Berlin that this machine knows."
        ) from None


def span(window: Window, at_us: int, tz: str = "UTC") -> Span:
    """The window that a moment is in. Raises ValueError: no such time zone."""
    if window == "total":
        return Span(0, None)
    if (width := _FIXED_US.get(window)) is not None:
        start_us = at_us - at_us % width
        return Span(start_us, start_us + width)
    where = zone(tz)
    day = (_EPOCH + timedelta(microseconds=at_us)).astimezone(where).date()
    if window == "day":
        return Span(_begin_us(day, where), _begin_us(day + timedelta(days=1), where))
    first = day.replace(day=1)
    return Span(
        _begin_us(first, where), _begin_us((first + timedelta(days=31)).replace(day=1), where)
    )


def _begin_us(day: date, where: tzinfo) -> int:
    """The first moment of a date: midnight, or where clocks skip it, the moment after the gap.

    Of a midnight that is skipped, fold 0 counts by the offset before the gap: its very end. Of one
    that comes twice, fold 0 is the first.
    """
    midnight = datetime.combine(day, time(), tzinfo=where).astimezone(UTC)
    return (midnight - _EPOCH) // timedelta(microseconds=1)
