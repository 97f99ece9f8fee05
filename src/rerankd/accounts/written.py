"""Prices and budgets as people write them: in the settings, on the command line, by the API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NoReturn

from rerankd.accounts.budget import UNITS, Unit
from rerankd.accounts.price import Kind, Price, Terms
from rerankd.accounts.window import WINDOWS, Window, zone
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import CURRENCIES, nano

_AMOUNTS: Final = (
    *("per_1m_input_tokens", "per_1k_searches", "per_1m_image_tokens", "per_request", "minimum"),
)
_MOST_CHARACTERS: Final = 200  # of a model's name
_MOST_DOCUMENTS: Final = 1_000_000
_MOST_COUNT: Final = 10**18
_BUDGET = re.compile(r"\s*(\S+)\s+([A-Za-z]+)\s*(?:/\s*([a-z]+)\s*)?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPrice:
    """One price; amounts are decimal texts, names as in `[[price]]`."""

    model: str
    upstream: str | None = None  # of a cost
    per_1m_input_tokens: str | None = None
    per_1k_searches: str | None = None
    search_documents: int = 100
    per_1m_image_tokens: str | None = None
    per_request: str | None = None
    minimum: str | None = None
    currency: str | None = None
    starts: date | datetime | str | None = None  # a date begins at midnight, UTC


def price_of(written: WrittenPrice, kind: Kind, currency: str) -> Price:
    """A price, checked; one without a start has the start 0.

    Args:
        written: as it was written.
        kind: what it is.
        currency: of this server.

    Raises:
        InvalidRequest: `param` names what is wrong.
    """
    _check_name("model", written.model)
    if kind == "cost":
        _check_name("upstream", written.upstream or "")
    elif written.upstream is not None:
        _refuse("upstream", "a price is what callers pay; an upstream takes a cost.")
    check_currency(written.currency or currency, currency)
    amounts = {name: _amount(name, getattr(written, name)) for name in _AMOUNTS}
    if all(amount is None for amount in amounts.values()):
        _refuse("per_1m_input_tokens", 'nothing is paid; where that is meant, per_request = "0".')
    if not 1 <= written.search_documents <= _MOST_DOCUMENTS:
        _refuse("search_documents", f"from 1 to {_MOST_DOCUMENTS}.")
    return Price(
        kind=kind,
        model=written.model,
        upstream=written.upstream or "",
        terms=Terms(
            per_1m_input=amounts["per_1m_input_tokens"] or 0,
            per_1k_search=amounts["per_1k_searches"] or 0,
            search_documents=written.search_documents,
            per_1m_image=amounts["per_1m_image_tokens"],
            per_request=amounts["per_request"] or 0,
            minimum=amounts["minimum"] or 0,
        ),
        starts_us=0 if written.starts is None else moment_us(written.starts, "from"),
    )


def check_currency(written: str, currency: str) -> None:
    """Raises InvalidRequest: it is none, or another one than this server's."""
    if written not in CURRENCIES:
        _refuse("currency", f"{written!r} is no currency as USD (ISO 4217).")
    if written != currency:
        _refuse(
            "currency", f"{written} is not {currency}, the one of this server ([store] currency)."
        )


def moment_us(written: date | datetime | str, param: str) -> int:
    """Microseconds UTC of a date, or of a time; one without a zone is in UTC.

    Raises:
        InvalidRequest: it is none, before 1970, or after 9999.
    """
    try:
        found = datetime.fromisoformat(written) if isinstance(written, str) else written
    except ValueError:
        _refuse(param, f"{written!r} is no date as 2026-12-01, nor time as 2026-12-01T08:00:00Z.")
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day, tzinfo=UTC)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    moment = (found - _EPOCH) // timedelta(microseconds=1)
    if moment < 0:
        _refuse(param, "before 1970.")
    if moment > _LAST_US:
        _refuse(param, "after the year 9999, in UTC.")
    return moment


def time_of(moment: int) -> str:
    """Microseconds UTC, to read and to write again."""
    found = _EPOCH + timedelta(microseconds=moment)
    return found.isoformat(timespec="microseconds" if found.microsecond else "seconds").replace(
        "+00:00", "Z"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBudget:
    """How much of what in which window; money in nano."""

    unit: Unit
    amount: int
    window: Window
    tz: str = "UTC"


def budget_of(text: str, currency: str, *, tz: str = "UTC") -> WrittenBudget:
    """A budget as `20 USD/month`, `1000 requests/day`; `5000000 tokens` is in total.

    Raises:
        InvalidRequest: it is none; `param` is "budget" or "tz".
    """
    found = _BUDGET.fullmatch(text)
    if found is None:
        _refuse("budget", f"{text!r} is none; write 20 {currency}/month or 1000 requests/day.")
    amount, unit, window = found[1], found[2], found[3] or "total"
    if window not in WINDOWS:
        _refuse("budget", f"{window!r} is no window; there are {', '.join(WINDOWS)}.")
    if unit in UNITS and unit != "money":
        return checked_budget(unit, amount, window, tz)
    check_currency(unit, currency)
    return checked_budget("money", amount, window, tz)


def checked_budget(unit: str, amount: str, window: str, tz: str) -> WrittenBudget:
    """A budget of its parts; the amount of money is a decimal text.

    Raises:
        InvalidRequest: `param` is unit, amount, window or tz.
    """
    if unit not in UNITS:
        _refuse("unit", f"{unit!r} is none; there are {', '.join(UNITS)}.")
    if window not in WINDOWS:
        _refuse("window", f"{window!r} is none; there are {', '.join(WINDOWS)}.")
    try:
        zone(tz)
    except ValueError as error:
        _refuse("tz", str(error))
    if unit == "money":
        parsed = _amount("amount", amount) or 0
    elif amount.isascii() and amount.isdecimal() and len(amount) <= 18:
        parsed = int(amount)
    else:
        _refuse("amount", f"{amount!r} is no whole number below {_MOST_COUNT:,}.")
    return WrittenBudget(unit=unit, amount=parsed, window=window, tz=tz)


def amount_nano(text: str, param: str) -> int:
    """An amount of money. Raises InvalidRequest."""
    try:
        return nano(text)
    except ValueError as error:
        _refuse(param, str(error))


def _amount(param: str, text: str | None) -> int | None:
    return None if text is None else amount_nano(text, param)


def _check_name(param: str, name: str) -> None:
    if not name or name != name.strip() or not name.isprintable():
        _refuse(param, "must not be empty or blank, nor begin or end with a blank.")
    if len(name) > _MOST_CHARACTERS:
        _refuse(param, f"has more than {_MOST_CHARACTERS} characters.")


def _refuse(param: str, why: str) -> NoReturn:
    raise InvalidRequest(f"{param}: {why}", param=param)
