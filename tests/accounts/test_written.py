"""Prices and budgets as people write them; what is wrong is named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from rerankd.accounts.price import Price, Terms
from rerankd.accounts.written import (
    WrittenBudget,
    WrittenPrice,
    budget_of,
    checked_budget,
    moment_us,
    price_of,
    time_of,
)
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import NANO

DECEMBER_US = 1_796_083_200_000_000


def test_a_price_is_read_exactly() -> None:
    written = WrittenPrice(
        model="m",
        per_1m_input_tokens="0.10",
        per_1k_searches="2",
        search_documents=50,
        per_1m_image_tokens="0",
        per_request="0.000000001",
        minimum="0.5",
        starts=date(2026, 12, 1),
    )
    terms = Terms(
        per_1m_input=NANO // 10,
        per_1k_search=2 * NANO,
        search_documents=50,
        per_1m_image=0,
        per_request=1,
        minimum=NANO // 2,
    )
    assert price_of(written, "price", "USD") == Price(model="m", terms=terms, starts_us=DECEMBER_US)


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": " m"}, "model"),
        ({"model": "m" * 201}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"upstream": "u"}, "upstream"),
        ({"currency": "USB"}, "currency"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"per_request": None}, "per_1m_input_tokens"),
        ({"per_request": "-1"}, "per_request"),
        ({"minimum": "1e3"}, "minimum"),
        ({"per_1k_searches": "1234567890"}, "per_1k_searches"),
        ({"per_1m_image_tokens": "0.0000000001"}, "per_1m_image_tokens"),
        ({"search_documents": 0}, "search_documents"),
        ({"search_documents": 10**7}, "search_documents"),
        ({"starts": "tomorrow"}, "from"),
        ({"starts": "1969-12-31"}, "from"),
    ],
)
def test_what_is_wrong_with_a_price_is_named(changed: dict[str, Any], param: str) -> None:
    values: dict[str, Any] = {"model": "m", "per_request": "1"} | changed
    with pytest.raises(InvalidRequest) as refused:
        price_of(WrittenPrice(**values), "price", "USD")
    assert refused.value.param == param
    assert refused.value.message.startswith(f"{param}: ")


def test_a_cost_is_an_upstreams() -> None:
    with pytest.raises(InvalidRequest, match=r"^upstream: "):
        price_of(WrittenPrice(model="m", per_request="1"), "cost", "USD")
    written = WrittenPrice(model="m", upstream="u", per_request="1")
    assert price_of(written, "cost", "USD").subject == ("cost", "u", "m")


def test_a_moment_is_read_in_its_zone_and_shown_in_utc() -> None:
    for written in (
        date(2026, 12, 1),
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 12, 1),  # noqa: DTZ001 - as TOML writes a local time
        *("2026-12-01", "2026-12-01T00:00:00Z", "2026-12-01T01:00:00+01:00"),
    ):
        assert moment_us(written, "from") == DECEMBER_US
    assert time_of(DECEMBER_US) == "2026-12-01T00:00:00Z"
    assert moment_us(time_of(DECEMBER_US + 1), "from") == DECEMBER_US + 1


@pytest.mark.parametrize(
    "written", ["1969-12-31", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "soon"]
)
def test_a_moment_that_no_calendar_shows_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^from: "):
        moment_us(written, "from")


@pytest.mark.parametrize(
    ("text", "unit", "amount", "window"),
    [
        ("20 USD/month", "money", 20 * NANO, "month"),
        ("0.5 USD / day", "money", NANO // 2, "day"),
        ("20 USD", "money", 20 * NANO, "total"),
        ("1000 requests/minute", "requests", 1000, "minute"),
        ("5000000 tokens/hour", "tokens", 5_000_000, "hour"),
        ("0 searches/total", "searches", 0, "total"),
    ],
)
def test_a_budget_is_read(text: str, unit: Any, amount: int, window: Any) -> None:
    assert budget_of(text, "USD") == WrittenBudget(unit=unit, amount=amount, window=window)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "20",
            "USD/month",
            "20 EUR/month",
            "20 USD/week",
            "-1 requests/day",
            "1.5 tokens/day",
        ),
        *("1 money/day", "1e9 tokens/day", "20 USD/month/day", "9999999999999999999 tokens"),
    ],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        budget_of(text, "USD")


def test_the_parts_of_a_budget_are_checked() -> None:
    parts = {"unit": "money", "amount": "1.5", "window": "day", "tz": "Europe/Berlin"}
    assert checked_budget(**parts).amount == 3 * NANO // 2
    for name, value in (("unit", "cats"), ("amount", "x"), ("window", "week"), ("tz", "Nowhere")):
        with pytest.raises(InvalidRequest) as refused:
            checked_budget(**(parts | {name: value}))
        assert refused.value.param == name
