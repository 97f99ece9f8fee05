"""Prices and their history: which one is in force for whom, and when. Pure.

A price is never edited: another one follows it, with a later start.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

ANY_MODEL = "*"  # a price of all models that have none of their own
Kind = Literal["price", "cost"]  # what callers pay; what an upstream takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is paid for what, in nano (10^-9 of the currency)."""

    per_1m_input: int = 0
    per_1k_search: int = 0
    search_documents: int = 100  # documents of one query that are one search
    per_1m_image: int | None = None  # None: image tokens are input tokens as others
    per_request: int = 0
    minimum: int = 0  # of one request

    @property
    def is_free(self) -> bool:
        """Whether nothing is ever paid."""
        paid = (self.per_1m_input, self.per_1k_search, self.per_1m_image or 0, self.per_request)
        return not any(paid) and not self.minimum


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Terms for one model from a start on; `id` is the store's, None where there is no store."""

    kind: Kind = "price"
    model: str  # of a cost: the upstream's own name of it
    upstream: str = ""  # of a cost
    terms: Terms
    starts_us: int = 0  # microseconds UTC
    id: int | None = None

    @property
    def subject(self) -> tuple[Kind, str, str]:
        """Whose price it is."""
        return self.kind, self.upstream, self.model

    @property
    def label(self) -> str:
        """Whose price it is, to read."""
        return f"{self.upstream}/{self.model}" if self.upstream else self.model


@dataclass(slots=True)
class _History:
    starts: list[int] = field(default_factory=list[int])
    prices: list[Price] = field(default_factory=list[Price])

    def at(self, at_us: int) -> Price | None:
        place = bisect_right(self.starts, at_us)
        return self.prices[place - 1] if place else None


class PriceList:
    """All prices and costs that were ever in force, or will be."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._histories: dict[tuple[Kind, str, str], _History] = {}
        for price in sorted(prices, key=lambda price: price.starts_us):
            history = self._histories.setdefault(price.subject, _History())
            history.starts.append(price.starts_us)
            history.prices.append(price)

    def price(self, names: Iterable[str], at_us: int) -> Price | None:
        """What callers pay: that of the first of the names that has one, else of all models."""
        for name in (*names, ANY_MODEL):
            history = self._histories.get(("price", "", name))
            if history is not None and (found := history.at(at_us)) is not None:
                return found
        return None

    def cost(self, upstream: str, model: str, at_us: int) -> Price | None:
        """What an upstream takes for one of its models, or for all that have no cost."""
        for name in (model, ANY_MODEL):
            history = self._histories.get(("cost", upstream, name))
            if history is not None and (found := history.at(at_us)) is not None:
                return found
        return None
