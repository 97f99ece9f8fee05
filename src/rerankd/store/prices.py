"""Prices and costs in the store: a history to which is added, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from rerankd.accounts.price import Kind, Price, Terms
from rerankd.accounts.written import time_of
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.money import shown
from rerankd.store.bumped import bumped
from rerankd.store.database import Database
from rerankd.store.errors import Conflict
from rerankd.store.tables import price

# A price begins so long after it is added at the earliest, so that every server knows it before:
# a row of the ledger is then always by the price that the history has for its time.
LEAD_US: Final = 5_000_000


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A price as it is in the store; amounts are decimal texts, times ISO 8601 in UTC."""

    id: int
    kind: Kind
    model: str
    upstream: str
    per_1m_input_tokens: str
    per_1k_searches: str
    search_documents: int
    per_1m_image_tokens: str | None
    per_request: str
    minimum: str
    currency: str
    starts: str
    added: str


class PriceRepo:
    """The history of prices."""

    def __init__(
        self, database: Database, currency: str, *, clock: Callable[[], int] = now_us
    ) -> None:
        self._database = database
        self._currency = currency
        self._clock = clock

    def add(self, wanted: Price) -> PriceRow:
        """Add a price that follows those that there are; the first of its subject starts soon.

        Args:
            wanted: its start is 0 for as soon as may be; of the first one, a start that is past
                means the same.

        Raises:
            InvalidRequest: `from` is too early; or the history is in another currency.
            Conflict: another one has that start.
            StoreAway: see there.
        """
        with self._database.write() as connection:
            if other := self._other_currency(connection):
                raise InvalidRequest(other, param="currency")
            now = self._clock()
            starts_us = wanted.starts_us or now + LEAD_US
            if starts_us < now + LEAD_US:
                if _of(connection, wanted):
                    raise InvalidRequest(
                        f"from: {time_of(starts_us)} is not later than in 5 s. Prices are never "
                        "changed for what was charged already: choose a later start.",
                        param="from",
                    )
                starts_us = now + LEAD_US
            return self._insert(connection, replace(wanted, starts_us=starts_us), now)

    def all(self, connection: sa.Connection | None = None) -> list[Price]:
        """The whole history. Raises StoreAway."""
        if connection is not None:
            return [_price(row) for row in connection.execute(sa.select(price))]
        with self._database.read() as reading:
            return self.all(reading)

    def get(self, price_id: int) -> PriceRow | None:
        """One by its id. Raises StoreAway."""
        with self._database.read() as connection:
            found = connection.execute(sa.select(price).where(price.c.id == price_id)).first()
        return None if found is None else _row(found)

    def list(
        self,
        *,
        kind: Kind | None = None,
        model: str | None = None,
        upstream: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[PriceRow]:
        """A page of the history, in the order in which it was added. Raises StoreAway."""
        asked = sa.select(price).where(price.c.id > after).order_by(price.c.id).limit(limit)
        for column, value in (
            (price.c.kind, kind),
            (price.c.model, model),
            (price.c.upstream, upstream),
        ):
            if value is not None:
                asked = asked.where(column == value)
        with self._database.read() as connection:
            return [_row(found) for found in connection.execute(asked)]

    def adopt(self, written: Sequence[tuple[str, Price]], *, lead_us: int = 0) -> None:
        """Write what the settings say into the history, before anybody is charged by it.

        A start before the first one of its subject in the history counts from that one; where
        there is no history, from now on. What is there already must be the same.

        Args:
            written: where each stands in the settings, as `price[0]`, and the price.
            lead_us: how long from now on servers may not know of it yet.

        Raises:
            StartError: it would change what is there, or charge what is past; or that is in another
                currency.
            StoreAway: see there.
        """
        subjects: dict[tuple[str, ...], list[tuple[str, Price]]] = {}
        for at, wanted in written:
            subjects.setdefault(wanted.subject, []).append((at, wanted))
        with self._database.write() as connection:
            if other := self._other_currency(connection):
                raise StartError(f"[store] {other}")
            now = self._clock() + lead_us
            for found in subjects.values():
                known = _of(connection, found[0][1])
                for at, wanted in _effective(found, known[0].starts_us if known else now):
                    same = next((p for p in known if p.starts_us == wanted.starts_us), None)
                    if same is None and (not known or wanted.starts_us > now):
                        self._insert(connection, wanted, now - lead_us)
                    elif same is None or same.terms != wanted.terms:
                        raise StartError(f"{at}: {_refused(wanted, same, now)}")

    def _other_currency(self, connection: sa.Connection) -> str:
        """Why nothing fits the history: it is in another currency. "" = it is not."""
        asked = sa.select(price.c.currency).where(price.c.currency != self._currency).limit(1)
        found = connection.execute(asked).scalar()
        if found is None:
            return ""
        return (
            f"currency: the prices, budgets and charges of this store are in {found}, not in "
            f"{self._currency}. Set it to {found}, or begin another store."
        )

    def _insert(self, connection: sa.Connection, wanted: Price, now: int) -> PriceRow:
        terms = wanted.terms
        values = {
            "kind": wanted.kind,
            "model": wanted.model,
            "upstream": wanted.upstream,
            "per_1m_input_nano": terms.per_1m_input,
            "per_1k_search_nano": terms.per_1k_search,
            "search_documents": terms.search_documents,
            "per_1m_image_nano": terms.per_1m_image,
            "per_request_nano": terms.per_request,
            "minimum_nano": terms.minimum,
            "currency": self._currency,
            "starts_us": wanted.starts_us,
            "added_us": now,
        }
        try:
            row = connection.execute(sa.insert(price).values(values).returning(price)).one()
        except exc.IntegrityError:
            raise Conflict(
                f"{wanted.label}: another price starts at {time_of(wanted.starts_us)} already."
            ) from None
        bumped(connection)
        return _row(row)


def _of(connection: sa.Connection, wanted: Price) -> list[Price]:
    """The history of one subject, by start."""
    asked = sa.select(price).where(
        price.c.kind == wanted.kind,
        price.c.model == wanted.model,
        price.c.upstream == wanted.upstream,
    )
    return [_price(row) for row in connection.execute(asked.order_by(price.c.starts_us))]


def _effective(written: Iterable[tuple[str, Price]], first_us: int) -> list[tuple[str, Price]]:
    """Prices of one subject with the starts that they have here; those that never had one left out.

    Of several that start before the first moment that counts, the last one is in force then.
    """
    found: dict[int, tuple[str, Price]] = {}
    for at, wanted in sorted(written, key=lambda each: each[1].starts_us):
        starts_us = max(wanted.starts_us, first_us)
        found[starts_us] = at, replace(wanted, starts_us=starts_us)
    return list(found.values())


def _refused(wanted: Price, same: Price | None, now: int) -> str:
    if same is not None:
        return (
            f"{wanted.label} has another price from {time_of(same.starts_us)} on (number {same.id} "
            "of the store's history). Prices are never changed: leave that one as it was, and give "
            f"the new one a `from` after {time_of(now)}."
        )
    return (
        f"{wanted.label}: its start {time_of(wanted.starts_us)} is past, and it is not in the "
        "store's history. Nobody is charged behind his back: give it a later `from`."
    )


def _price(row: Any) -> Price:
    return Price(
        kind=row.kind,
        model=row.model,
        upstream=row.upstream,
        terms=Terms(
            per_1m_input=row.per_1m_input_nano,
            per_1k_search=row.per_1k_search_nano,
            search_documents=row.search_documents,
            per_1m_image=row.per_1m_image_nano,
            per_request=row.per_request_nano,
            minimum=row.minimum_nano,
        ),
        starts_us=row.starts_us,
        id=row.id,
    )


def _row(row: Any) -> PriceRow:
    return PriceRow(
        id=row.id,
        kind=row.kind,
        model=row.model,
        upstream=row.upstream,
        per_1m_input_tokens=shown(row.per_1m_input_nano),
        per_1k_searches=shown(row.per_1k_search_nano),
        search_documents=row.search_documents,
        per_1m_image_tokens=None if row.per_1m_image_nano is None else shown(row.per_1m_image_nano),
        per_request=shown(row.per_request_nano),
        minimum=shown(row.minimum_nano),
        currency=row.currency,
        starts=time_of(row.starts_us),
        added=time_of(row.added_us),
    )
