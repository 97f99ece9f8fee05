"""The account of one request: what it reserves, what it takes in the end, what the ledger is told.

Held from when it is admitted until its line is in the journal (`spend`), or given back. Nothing is
taken of a request that is refused, fails or is left by its client; what an upstream may bill for it
all the same is kept apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rerankd.accounts.budget import NONE, Amounts, Budgets, Exceeded, Owner, Unit
from rerankd.accounts.charge import PricedUsage, charge, searches
from rerankd.accounts.price import Price, PriceList
from rerankd.accounts.refusal import refusal

TokensFrom = Literal["", "exact", "upstream", "estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One target that was asked."""

    target: str
    upstream: str = ""  # "": a model of this server
    status: int = 0  # of the answer; 0: there was none, or it is a model here
    outcome: str = "ok"
    took_us: int = 0
    tokens: int | None = None  # that an upstream counted itself; None: it did not tell
    input_tokens: int = 0  # those, or the estimate: what its cost is of
    searches: int = 0
    cost: Price | None = None
    cost_nano: int = 0
    maybe_billed_nano: int = 0  # it did not answer, and may have worked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger is told of a request's money."""

    input_tokens: int = 0
    image_tokens: int = 0
    searches: int = 0
    tokens_from: TokensFrom = ""
    price_id: int | None = None
    charge_nano: int = 0
    attempts: tuple[Attempt, ...] = ()

    @property
    def cost_id(self) -> int | None:
        """The cost of the upstream that answered."""
        found = [a.cost.id for a in self.attempts if a.cost is not None and a.outcome == "ok"]
        return found[-1] if found else None

    @property
    def cost_nano(self) -> int:
        """What upstreams take for it, all attempts together."""
        return sum(attempt.cost_nano for attempt in self.attempts)

    @property
    def maybe_billed_nano(self) -> int:
        """What they may take beside that."""
        return sum(attempt.maybe_billed_nano for attempt in self.attempts)


class Books:
    """Prices and budgets of a server; what is charged and refused by them."""

    def __init__(
        self, budgets: Budgets, *, currency: str = "USD", prices: PriceList | None = None
    ) -> None:
        self.budgets = budgets
        self.currency = currency
        self.prices = prices or PriceList()

    def open(self, owners: Sequence[Owner], at_us: int) -> Account:
        """An account for a request that came at a moment (microseconds UTC)."""
        return Account(self, owners, at_us)


class Account:
    """What one request holds and takes."""

    def __init__(self, books: Books, owners: Sequence[Owner], at_us: int) -> None:
        self.at_us = at_us
        self._books = books
        self._prices = books.prices  # one list for the whole request
        self._held = books.budgets.reserve(owners, at_us)
        self._asked = ""
        self._documents: Sequence[int] = ()
        self._entry = Entry()

    async def begin(self, asked: str, model: str, documents: Sequence[int]) -> None:
        """Reserve what is known before anything is tokenised.

        Args:
            asked: the name in the request, or the default's: its price is taken if it has one.
            model: who will answer; "" = not known yet.
            documents: of each query.

        Raises:
            QuotaExceeded, RateLimited: a budget has no room; nothing is held.
        """
        self._asked, self._documents = asked, documents
        price = self._price(model)
        more: list[Unit] = ["tokens"]
        if price is not None and (price.terms.per_1m_input or price.terms.per_1m_image):
            more.append("money")
        await self._hold(_amounts(price, self._usage(price, 0, 0)), more)

    async def hold(self, model: str, tokens: int, image_tokens: int = 0) -> None:
        """Reserve for exact counts of tokens, all stages so far together. Raises as `begin`."""
        price = self._price(model)
        await self._hold(_amounts(price, self._usage(price, tokens, image_tokens)))

    async def hold_estimate(self, model: str, tokens: int) -> None:
        """Reserve for a target whose tokens nobody counted; where another is asked, the larger.

        Raises:
            QuotaExceeded, RateLimited: as `begin`.
        """
        price = self._price(model)
        amounts = _amounts(price, self._usage(price, tokens, 0))
        await self._hold(Amounts(*map(max, amounts, self._held.amounts)))

    def settle(
        self, model: str, tokens: int, image_tokens: int = 0, *, tokens_from: TokensFrom = "exact"
    ) -> None:
        """It was answered: hold what it takes in the end, which nobody refuses any more."""
        price = self._price(model)
        usage = self._usage(price, tokens, image_tokens)
        amounts = _amounts(price, usage)
        self._held.settle(amounts)
        self._entry = replace(
            self._entry,
            input_tokens=usage.input_tokens,
            image_tokens=usage.image_tokens,
            searches=usage.searches,
            tokens_from=tokens_from,
            price_id=price and price.id,
            charge_nano=amounts.money,
        )

    def settle_free(self, tokens: int) -> None:
        """As `settle`, of an answer that nobody is charged for: what stands in for others."""
        usage = self._usage(None, tokens, 0)
        self._held.settle(Amounts(1, usage.input_tokens, usage.searches, 0))
        self._entry = replace(
            self._entry,
            input_tokens=usage.input_tokens,
            searches=usage.searches,
            tokens_from="exact",
            price_id=None,
            charge_nano=0,
        )

    def attempted(
        self,
        attempt: Attempt,
        model: str,
        documents: Sequence[int],
        tokens: int,
        *,
        maybe_billed: bool,
    ) -> None:
        """Note that a target was asked, and what that costs.

        Args:
            attempt: without money.
            model: the target's own name of it.
            documents: that each query was sent with.
            tokens: that it counted, or the estimate.
            maybe_billed: whether it may bill an attempt that failed.
        """
        cost = None
        if attempt.upstream:
            cost = self._prices.cost(attempt.upstream, model, self.at_us)
        if cost is not None:
            usage = PricedUsage(tokens, searches(documents, cost.terms))
            nano = charge(cost.terms, usage)
            attempt = replace(
                attempt,
                input_tokens=usage.input_tokens,
                searches=usage.searches,
                cost=cost,
                cost_nano=nano if attempt.outcome == "ok" else 0,
                maybe_billed_nano=nano if maybe_billed and attempt.outcome != "ok" else 0,
            )
        self._entry = replace(self._entry, attempts=(*self._entry.attempts, attempt))

    def entry(self) -> Entry:
        """What the ledger is told."""
        return self._entry

    def held_parts(self) -> tuple[tuple[str, int, int], ...]:
        """Of which budgets that servers share its line is: name, start of the window, amount."""
        return self._held.parts()

    def spend(self, line: int) -> None:
        """Its line is in the journal, at that place: what is held is spent."""
        self._held.spend(line)

    def give_back(self) -> None:
        """Take nothing; after `spend` too late, and without effect."""
        self._held.give_back()
        self._entry = Entry(attempts=self._entry.attempts)

    def _price(self, model: str) -> Price | None:
        names = [name for name in (self._asked, model) if name]
        return self._prices.price(dict.fromkeys(names), self.at_us)

    def _usage(self, price: Price | None, tokens: int, image_tokens: int) -> PricedUsage:
        units = searches(self._documents, price and price.terms)
        return PricedUsage(tokens, units, min(image_tokens, tokens))

    async def _hold(self, amounts: Amounts, more: Sequence[Unit] = ()) -> None:
        try:
            await self._held.hold(amounts, more=more)
        except Exceeded as exceeded:
            self._held.settle(NONE)
            raise refusal(exceeded, self.at_us, self._books.currency) from None


def _amounts(price: Price | None, usage: PricedUsage) -> Amounts:
    money = 0 if price is None else charge(price.terms, usage)
    return Amounts(1, usage.input_tokens, usage.searches, money)
