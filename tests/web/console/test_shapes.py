"""What pages are computed from: charts, ranges of time, sums, the arithmetic of a charge."""

from __future__ import annotations

from typing import Any

import pytest

from rerankd.core.errors import InvalidRequest
from rerankd.web.console.arithmetic import lines_of
from rerankd.web.console.charts import HEIGHT, REST, ceiling, largest, stacked
from rerankd.web.console.forms import Field
from rerankd.web.console.overview import charts
from rerankd.web.console.render import (
    millis,
    moment,
    money,
    number,
    part,
    size,
    span,
    tail,
    whole,
)
from rerankd.web.console.requests import steps_of, wanted
from rerankd.web.console.spans import span_of

DAY = 86_400
NOW = 20_000 * DAY + 5 * 3_600 + 17


def test_bars_stand_upon_each_other() -> None:
    chart = stacked(["a", "b"], {"x": [1, 3], "y": [1, 0]}, str)
    assert [(bar.css, bar.y, bar.height) for bar in chart.bars] == [
        ("s1", 160.0, 40.0),
        ("s1", 80.0, 120.0),
        ("s2", 120.0, 40.0),
    ]
    assert chart.bars[1].title == "b · x: 3"
    assert (chart.top, chart.bottom, chart.zero) == ("5.0", None, HEIGHT)


def test_what_is_below_zero_hangs_down() -> None:
    chart = stacked(["a"], {"x": [5], "y": [-5]}, str)
    assert [(bar.y, bar.height) for bar in chart.bars] == [(0.0, 100.0), (100.0, 100.0)]
    assert (chart.zero, chart.bottom) == (100.0, "-5.0")


@pytest.mark.parametrize("charge", ["0.0000008", "0.000000001", "12345678.9"])
def test_an_hour_of_any_charge_is_a_bar(charge: str) -> None:
    hour = {"start": "2026-11-28T20:00:00Z", "requests": 1, "charge": charge}
    title = charts([hour], "USD")["charge"].bars[0].title
    assert title.startswith("20:00 · charge: ")
    assert "e" not in title.partition("charge: ")[2]


@pytest.mark.parametrize("columns", [0, 3])
def test_nothing_is_a_chart_too(columns: int) -> None:
    chart = stacked(["a"] * columns, {"x": [0.0] * columns}, str)
    assert chart.is_empty


def test_small_series_become_the_rest() -> None:
    found = largest({f"s{i}": [float(i), 1.0] for i in range(9)})
    assert list(found)[:2] == ["s8", "s7"]
    assert found[REST] == [0.0 + 1 + 2, 3.0]


@pytest.mark.parametrize(
    ("value", "above"), [(0, 0), (1, 1), (1.01, 2), (3, 5), (7, 10), (0.003, 0.005), (1e9, 1e9)]
)
def test_axes_end_at_round_numbers(value: float, above: float) -> None:
    assert ceiling(value) == pytest.approx(above)


def test_ranges_are_whole_buckets() -> None:
    day = span_of({"range": "24 hours", "bucket": "day"}, NOW)
    assert (day.end - day.start, day.bucket, day.end - NOW < 3_600) == (DAY, "hour", True)
    before = span_of({"range": "yesterday", "bucket": "day"}, NOW)
    assert (before.start, before.end) == (20_000 * DAY - DAY, 20_000 * DAY)
    week = span_of({"range": "7 days", "bucket": "day"}, NOW)
    assert ((week.end - week.start) // DAY, week.start % DAY) == (7, 0)
    dates = {"range": "dates", "from": "2026-11-01", "to": "2026-11-30", "bucket": "day"}
    chosen = span_of(dates, NOW)
    assert ((chosen.end - chosen.start) // DAY, chosen.label(chosen.start)) == (30, "2026-11-01")
    assert dict(chosen.asked())["limit"] == "30"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"from": "", "to": "2026-11-30"}, "from"),
        ({"from": "2026-11-01", "to": "soon"}, "to"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
        ({"from": "2024-11-01", "to": "2026-11-01"}, "bucket"),
        ({"from": "0001-01-01", "to": "2026-11-01"}, "from"),
        ({"from": "9999-01-01", "to": "9999-12-31"}, "from"),
    ],
)
def test_ranges_that_cannot_be(values: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        span_of({"range": "dates", "bucket": "day", **values}, NOW)
    assert refused.value.param == field


def record(**values: Any) -> dict[str, Any]:
    price = {
        "per_1m_input_tokens": "0.02",
        "per_1k_searches": "2",
        "per_1m_image_tokens": None,
        "per_request": "0",
        "minimum": "0",
    }
    base = {"input_tokens": 1500, "image_tokens": 500, "searches": 3, "charge": "0.00603"}
    return {**base, **values, "price": price | values.get("price", {})}


def test_a_charge_is_the_sum_of_its_lines() -> None:
    found = lines_of(record())
    assert found is not None
    assert [(line.count, line.what, line.amount) for line in found.lines] == [
        (1500, "input tokens", "0.00003"),
        (3, "searches", "0.006"),
    ]
    assert (found.total, found.is_charge, found.minimum) == ("0.00603", True, None)


def test_image_tokens_have_a_price_of_their_own_and_a_request_a_minimum() -> None:
    price = {"per_1m_image_tokens": "1", "per_1k_searches": "0", "minimum": "0.01"}
    found = lines_of(record(price=price, charge="0.01"))
    assert found is not None
    assert [(line.count, line.amount) for line in found.lines] == [
        (1000, "0.00002"),
        (500, "0.0005"),
    ]
    assert (found.minimum, found.is_charge) == ("0.01", True)
    refused = lines_of(record(charge="0"))
    assert refused is not None
    assert not refused.is_charge


def test_steps_follow_each_other_and_leave_a_rest() -> None:
    steps = steps_of({"prepare": 1.0, "queue": 0.0, "engine": 2.0}, 4.0)
    assert [(s.name, s.begin, s.share) for s in steps] == [
        ("prepare", 0.0, 0.25),
        ("engine", 0.25, 0.5),
        ("the rest", 0.75, 0.25),
    ]
    assert steps_of({"engine": 0.0}, 0.0) == []


def test_a_filter_of_live_requests() -> None:
    names = ("key_name", "model", "model_asked", "path", "dialect", "route", "request_id")
    rows = [
        {**dict.fromkeys(names, "x"), "status": s, "key_name": f"K{s}"} for s in (200, 429, 503)
    ]
    assert [r["status"] for r in wanted(rows, "k4", "")] == [429]
    assert [r["status"] for r in wanted(rows, "", "failed")] == [503]
    assert [r["status"] for r in wanted(rows, "", "refused")] == [429]
    assert len(wanted(rows, "", "")) == 3


def test_fields_become_json() -> None:
    words = Field(name="w", label="", kind="words")
    assert words.sent("a, b\r\n\r\nc ,") == ["a", "b", "c"]
    assert words.sent(" \n") is None
    number_field = Field(name="n", label="", kind="whole")
    assert [number_field.sent(t) for t in ("7", "", "x", "9" * 16, "٣")] == [
        *(7, None, "x", "9" * 16, "٣"),
    ]


def test_figures_to_read() -> None:
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert (whole(1234567), number(0.1234), number(250.4)) == (
        f"1{thin}234{thin}567",
        "0.123",
        "250",
    )
    assert (money("1234.5", "USD"), money("-0.1"), money("0.000000001")) == (
        f"1{thin}234.50 USD",
        "\N{MINUS SIGN}0.10",
        "0.000000001",
    )
    assert (millis(1.234), millis(250), millis(12_345)) == ("1.23 ms", "250 ms", "12.3 s")
    assert (span(0), span(61), span(90_061)) == ("0 s", "1 min 1 s", "1 d 1 h")
    assert (size(999), size(999_950), size(1_500_000)) == (
        "999 B",
        "1\N{NARROW NO-BREAK SPACE}000 kB",
        "1.5 MB",
    )
    assert (part(0.007), part(0.1234), part(12.5)) == (
        "0.7 %",
        "12.3 %",
        "1\N{NARROW NO-BREAK SPACE}250 %",
    )
    assert (tail("mine"), tail("rerank-20261128-89ebc4995987e72560d9385c")) == ("mine", "…60d9385c")
    assert moment("2026-12-01T01:00:00+01:00") == "2026-12-01 00:00:00"
    assert moment(None) == "\N{EN DASH}"
