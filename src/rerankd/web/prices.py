"""The prices and costs of the settings, checked: whatever is wrong is refused with its path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rerankd.accounts.price import Price, PriceList
from rerankd.accounts.written import WrittenPrice, price_of
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.money import CURRENCIES
from rerankd.settings.schema import Settings
from rerankd.settings.schema_prices import CostSettings, PriceSettings


def written_prices(settings: Settings) -> tuple[tuple[str, Price], ...]:
    """Where each price and cost stands, as `price[0]`, and what it says.

    Raises:
        StartError: names the setting.
    """
    if settings.price and settings.store.url is None:
        raise StartError(
            "price[0]: what callers pay is kept in a ledger, and there is none: set [store] url."
        )
    currency = settings.store.currency
    if currency not in CURRENCIES:
        raise StartError(f"store.currency: {currency!r} is no currency as USD (ISO 4217).")
    found = tuple(_read(settings, currency))
    places: dict[tuple[object, ...], str] = {}
    for at, price in found:
        first = places.setdefault((price.subject, price.starts_us), at)
        if first != at:
            raise StartError(f"{at}: {price.label} has the same start in {first}.")
    return found


def costs_of(written: Iterable[tuple[str, Price]]) -> PriceList:
    """What upstreams take, of it."""
    return PriceList(price for _, price in written if price.kind == "cost")


def _read(settings: Settings, currency: str) -> Iterator[tuple[str, Price]]:
    for n, price in enumerate(settings.price):
        at = f"price[{n}]"
        yield at, _checked(at, price, currency)
    for n, cost in enumerate(settings.cost):
        at = f"cost[{n}]"
        if cost.upstream not in settings.upstream:
            there = ", ".join(settings.upstream) or "none"
            raise StartError(f"{at}.upstream: none is named {cost.upstream!r}; there are {there}.")
        yield at, _checked(at, cost, currency)


def _checked(at: str, found: PriceSettings | CostSettings, currency: str) -> Price:
    is_cost = isinstance(found, CostSettings)
    written = WrittenPrice(
        model=found.name if is_cost else found.model,
        upstream=found.upstream if is_cost else None,
        per_1m_input_tokens=found.per_1m_input_tokens,
        per_1k_searches=found.per_1k_searches,
        search_documents=found.search_documents,
        per_1m_image_tokens=found.per_1m_image_tokens,
        per_request=found.per_request,
        minimum=found.minimum,
        currency=found.currency,
        starts=found.starts,
    )
    try:
        return price_of(written, "cost" if is_cost else "price", currency)
    except InvalidRequest as error:
        raise StartError(f"{at}.{error.message}") from None
