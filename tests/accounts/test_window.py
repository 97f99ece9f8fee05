"""Windows of the calendar: no gap, no overlap, and days begin at midnight of their zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.accounts.window import WINDOWS, Span, Window, span, zone

# With half hours, clocks that change at midnight, by half an hour, days that never were.
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu"),
    *("America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia"),
)
HOUR_US = 3_600_000_000


def us(text: str) -> int:
    """Microseconds of a time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("window", "at", "tz", "start", "end"),
    [
        ("minute", "2026-11-28T12:34:56", "Asia/Kolkata", "2026-11-28T12:34", "2026-11-28T12:35"),
        ("hour", "2026-11-28T12:34:56", "Asia/Kolkata", "2026-11-28T12:00", "2026-11-28T13:00"),
        ("day", "2026-11-28T12:34:56", "UTC", "2026-11-28T00:00", "2026-11-29T00:00"),
        ("day", "2026-11-28T20:00", "Asia/Kolkata", "2026-11-28T18:30", "2026-11-29T18:30"),
        ("month", "2026-11-30T23:30", "Europe/Berlin", "2026-11-30T23:00", "2026-12-31T23:00"),
        ("month", "2026-11-30T22:30", "Europe/Berlin", "2026-10-31T23:00", "2026-11-30T23:00"),
        # clocks go forward, then back: 23 hours, then 25
        ("day", "2026-03-29T12:00", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "2026-10-25T12:00", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
        # midnight is skipped: the day begins at 01:00
        ("day", "2017-10-15T12:00", "America/Sao_Paulo", "2017-10-15T03:00", "2017-10-16T02:00"),
        # midnight comes twice: the first is the day's
        ("day", "2026-11-01T12:00", "America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
        # the 30th never was
        ("day", "2011-12-30T09:00", "Pacific/Apia", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("day", "2011-12-30T10:00", "Pacific/Apia", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_a_window_is_that_of_the_calendar(
    window: Window, at: str, tz: str, start: str, end: str
) -> None:
    assert span(window, us(at), tz) == Span(us(start), us(end))


@given(
    st.integers(us("2008-01-01"), us("2040-01-01")),
    st.sampled_from(WINDOWS),
    st.sampled_from(ZONES),
)
def test_windows_follow_each_other(at_us: int, window: Window, tz: str) -> None:
    found = span(window, at_us, tz)
    assert found.has(at_us)
    assert span(window, found.start_us, tz) == found
    if found.end_us is None:
        assert window == "total"
        return
    assert span(window, found.end_us - 1, tz) == found
    assert span(window, found.end_us, tz).start_us == found.end_us
    if window in ("minute", "hour"):
        assert HOUR_US % (found.end_us - found.start_us) == 0


def test_a_zone_that_there_is_not_is_refused() -> None:
    for name in ("Europe/Nowhere", "", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(ValueError, match="time zone"):
            zone(name)
