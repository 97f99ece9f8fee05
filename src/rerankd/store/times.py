"""Times of the store: microseconds since 1970, UTC; shown in ISO 8601."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from rerankd.core.errors import InvalidRequest

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")


def now_us(clock: Callable[[], float]) -> int:
    """Now, by a clock of seconds since 1970."""
    return int(clock() * 1_000_000)


def shown_time(at_us: object) -> str | None:
    """2026-12-01T00:00:00+00:00; None stays None."""
    if not isinstance(at_us, int):
        return None
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat()


def span_s(written: str, field: str) -> int:
    """Seconds of a span: 90d, 24h, 30m; 0. Raises InvalidRequest."""
    if written == "0":
        return 0
    found = _SPAN.fullmatch(written)
    if found is None:
        raise InvalidRequest(
            f"{field}: {written!r} is no span of time, such as 90d, 24h or 30m.", param=field
        )
    return int(found[1]) * _UNITS[found[2]]


def time_us(written: str, field: str) -> int:
    """A time in ISO 8601; without a zone it is UTC. Raises InvalidRequest."""
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise InvalidRequest(
            f"{field}: {written!r} is no time, such as 2027-01-31 or 2027-01-31T12:00:00+01:00.",
            param=field,
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - _EPOCH) // timedelta(microseconds=1)
