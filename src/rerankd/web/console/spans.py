"""Ranges of time that pages about usage ask for, in buckets of UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NoReturn

from rerankd.core.errors import InvalidRequest

RANGES: Final = ("24 hours", "yesterday", "7 days", "31 days", "this month", "dates")
BUCKETS: Final = ("hour", "day")
MOST: Final = 400  # buckets of one page
_WIDTHS: Final = {"hour": ("1h", 3_600, 168), "day": ("1d", 86_400, 31)}  # and most of an answer
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Whole buckets; seconds since 1970, `end` is not among them."""

    start: int
    end: int
    bucket: str

    def asked(self) -> list[tuple[str, str]]:
        """As the API takes it."""
        name, width, most = _WIDTHS[self.bucket]
        count = min(most, max(-(-(self.end - self.start) // width), 1))
        return [
            ("start_time", str(self.start)),
            ("end_time", str(self.end)),
            ("bucket_width", name),
            ("limit", str(count)),
        ]

    def label(self, start: int) -> str:
        """A bucket by its start."""
        at = datetime.fromtimestamp(start, UTC)
        return at.strftime("%Y-%m-%d" if self.bucket == "day" else "%Y-%m-%d %H:00")


def span_of(values: Mapping[str, str], now: float) -> TimeRange:
    """The range that was chosen.

    Args:
        values: range, bucket; from and to, as dates, of the range "dates".
        now: seconds since 1970.

    Raises:
        InvalidRequest: a date is none, they are the wrong way round, or there are too many buckets.
    """
    bucket = values.get("bucket", "")
    if bucket not in BUCKETS:
        bucket = "day"
    today = int(now) // _DAY * _DAY
    match values.get("range"):
        case "24 hours":
            hour = int(now) // 3_600 * 3_600
            start, end, bucket = hour - 23 * 3_600, hour + 3_600, "hour"
        case "yesterday":
            start, end = today - _DAY, today
        case "31 days":
            start, end = today - 30 * _DAY, today + _DAY
        case "this month":
            first = datetime.fromtimestamp(today, UTC).replace(day=1)
            start, end = int(first.timestamp()), today + _DAY
        case "dates":
            start = _day(values.get("from", ""), "from")
            end = _day(values.get("to", ""), "to") + _DAY
        case _:
            start, end = today - 6 * _DAY, today + _DAY
    if end <= start:
        _refuse("to", "is before “from”.")
    width = _WIDTHS[bucket][1]
    if (end - start) // width > MOST:
        _refuse("bucket", f"that is over {MOST} {bucket}s: choose fewer days, or one bucket a day.")
    return TimeRange(start, end, bucket)


def _day(written: str, name: str) -> int:
    try:
        found = date.fromisoformat(written.strip())
        at = datetime(found.year, found.month, found.day, tzinfo=UTC)
    except ValueError:
        _refuse(name, f"{written[:40]!r} is no date as 2026-11-01.")
    if not 1970 <= found.year <= 9_000:
        _refuse(name, "is in another age.")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _refuse(name: str, said: str) -> NoReturn:
    raise InvalidRequest(f"{name}: {said}", param=name)
