"""Money: text to whole numbers and back, charges against exact fractions."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.accounts.charge import PricedUsage, charge, searches
from rerankd.accounts.price import ANY_MODEL, Price, PriceList, Terms
from rerankd.core.money import CURRENCIES, MOST_NANO, NANO, nano, shown

NANOS = st.integers(0, MOST_NANO)
TERMS = st.builds(
    Terms,
    per_1m_input=NANOS,
    per_1k_search=NANOS,
    search_documents=st.integers(1, 1000),
    per_1m_image=st.none() | NANOS,
    per_request=NANOS,
    minimum=NANOS,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.10", 100_000_000),
        ("2", 2 * NANO),
        ("2.00", 2 * NANO),
        ("0", 0),
        ("000", 0),
        ("0.000000001", 1),
        ("0.0000000010", 1),
        ("999999999.999999999", MOST_NANO),
        ("0000000000001.5", NANO + NANO // 2),
    ],
)
def test_an_amount_is_read_exactly(text: str, amount: int) -> None:
    assert nano(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "1.", ".5", "-1", "+1", "1e3", "1E-3", "1_000", "1,5", " 1", "1 ", "NaN", "inf"),
        *("0x10", "१", "1000000000", "0.0000000001", "1.2.3", "$1", "1\n", "9" * 5000),
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        nano(text)


@given(NANOS)
def test_what_is_shown_is_read_back(amount: int) -> None:
    assert nano(shown(amount)) == amount


def test_debts_are_shown_and_never_read() -> None:
    assert shown(-NANO // 4) == "-0.25"
    assert shown(-(10**30)) == "-1000000000000000000000"


def test_currencies_are_of_three_letters() -> None:
    assert all(re.fullmatch("[A-Z]{3}", code) for code in CURRENCIES)
    assert {"USD", "EUR", "CNY"} <= CURRENCIES


@given(TERMS, st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 10**9))
def test_a_charge_is_the_exact_sum_rounded_once(
    terms: Terms, text: int, units: int, image: int
) -> None:
    found = charge(terms, PricedUsage(text + image, units, image))
    exact = Fraction(units * terms.per_1k_search, 1000) + terms.per_request
    if terms.per_1m_image is None:
        exact += Fraction((text + image) * terms.per_1m_input, 10**6)
    else:
        exact += Fraction(text * terms.per_1m_input + image * terms.per_1m_image, 10**6)
    assert found == max(int((exact + Fraction(1, 2)) // 1), terms.minimum)


@pytest.mark.parametrize(
    ("tokens", "rounded"), [(0, 0), (499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)]
)
def test_a_half_is_rounded_up(tokens: int, rounded: int) -> None:
    assert charge(Terms(per_1m_input=1), PricedUsage(tokens)) == rounded


def test_halves_of_parts_are_added_before_they_are_rounded() -> None:
    terms = Terms(per_1m_input=1, per_1k_search=1, per_request=1)
    assert charge(terms, PricedUsage(250_000, 250)) == 2  # 0.25 + 0.25 + 1 = 1.5


def test_image_tokens_are_input_tokens_unless_they_have_a_price_of_their_own() -> None:
    usage = PricedUsage(3_000_000, 0, 2_000_000)
    assert charge(Terms(per_1m_input=7), usage) == 21
    assert charge(Terms(per_1m_input=7, per_1m_image=5), usage) == 17
    assert charge(Terms(per_1m_input=7, per_1m_image=0), usage) == 7


def test_a_minimum_is_of_a_request() -> None:
    assert charge(Terms(per_1m_input=1, minimum=10), PricedUsage(1_000_000)) == 10
    assert charge(Terms(per_1m_input=1, minimum=10), PricedUsage(11_000_000)) == 11


def test_each_query_begins_a_search() -> None:
    terms = Terms(search_documents=10)
    assert searches((10,), terms) == 1
    assert searches((11,), terms) == 2
    assert searches((1, 1, 11), terms) == 4
    assert searches((100,), None) == 1
    assert searches((101,), None) == 2


def price(model: str, starts_us: int, per_request: int, upstream: str = "") -> Price:
    return Price(
        kind="cost" if upstream else "price",
        model=model,
        upstream=upstream,
        terms=Terms(per_request=per_request),
        starts_us=starts_us,
    )


def test_the_price_in_force_is_the_latest_that_has_started() -> None:
    prices = PriceList([price("a", 20, 2), price("a", 10, 1), price(ANY_MODEL, 0, 9)])
    told = [
        found and found.terms.per_request
        for found in (prices.price(("a",), at_us) for at_us in (-1, 9, 10, 19, 20, 21))
    ]
    assert told == [None, 9, 1, 1, 2, 2]


def test_the_name_asked_for_comes_first_then_who_answered_then_any() -> None:
    prices = PriceList([price("route", 0, 1), price("model", 0, 2), price(ANY_MODEL, 0, 3)])
    for names, paid in {("route", "model"): 1, ("x", "model"): 2, ("x", "y"): 3}.items():
        found = prices.price(names, 5)
        assert found is not None
        assert found.terms.per_request == paid
    assert PriceList().price(("a",), 0) is None


def test_costs_are_apart_from_prices_and_each_upstreams_own() -> None:
    prices = PriceList([price("m", 0, 1), price("m", 0, 2, "up"), price(ANY_MODEL, 0, 3, "up")])
    found = [prices.cost(*names, 5) for names in (("up", "m"), ("up", "n"), ("other", "m"))]
    assert [each and each.terms.per_request for each in found] == [2, 3, None]
