"""What a key used and may use still, read for whoever holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from rerankd.access.keys import Key
from rerankd.accounts.budget import Budget, BudgetState
from rerankd.core.errors import Overloaded
from rerankd.gateway.bill import owners_of
from rerankd.store.database import StoreAway
from rerankd.store.usage import UsageQuery, sums
from rerankd.web.admin import usage_answers
from rerankd.web.admin.answers import AdminAnswer, Stream
from rerankd.web.admin.asked import query_of
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.usage_forms import (
    GroupBy,
    OwnExportQuery,
    OwnRecord,
    OwnRowsQuery,
    OwnSums,
    OwnSumsQuery,
)

_AWAY_S: Final = 2.0
Asked = Sequence[tuple[str, str]]  # parameters as they were written


class OwnUsage:
    """Of the keys of one server, each for itself."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.currency = desk.currency

    async def rows(self, key: Key, asked: Asked) -> AdminAnswer:
        """A page of requests. Raises InvalidRequest, Overloaded."""
        query = query_of(asked, OwnRowsQuery)
        of_key, money = _own(query.asked(), key), self._desk.currency
        return await self._read(
            usage_answers.rows, self._desk.database, of_key, query, OwnRecord, money
        )

    async def sums(self, key: Key, asked: Asked) -> AdminAnswer:
        """A page of buckets. Raises InvalidRequest, Overloaded."""
        query = query_of(asked, OwnSumsQuery)
        groups: list[GroupBy] = [*query.group_by]

        def work() -> AdminAnswer:
            return usage_answers.sums(
                self._desk.database,
                _own(query.asked(), key),
                query,
                groups,
                OwnSums,
                now_us=self._desk.now_us,
                money=self._desk.currency,
            )

        return await self._read(work)

    def export(self, key: Key, asked: Asked) -> Stream:
        """All requests as a file. Raises InvalidRequest."""
        query = query_of(asked, OwnExportQuery)
        of_key = _own(query.asked(), key)
        return usage_answers.export(
            self._desk.database, of_key, query, OwnRecord, self._desk.currency
        )

    def states(self, key: Key) -> list[tuple[Budget, BudgetState]]:
        """Every budget that limits a key: its own, its team's, everybody's; balances too."""
        budgets, now = self._desk.books.budgets, self._desk.now_us
        return [each for owner in owners_of(key) for each in budgets.states(owner, now)]

    def deciding(self, key: Key) -> tuple[Budget, BudgetState] | None:
        """The budget of money that has least left."""
        found = [each for each in self.states(key) if each[0].unit == "money"]
        return min(found, key=lambda each: each[1].left, default=None)

    async def ever(self, key: Key) -> int:
        """What a key was charged since there is a ledger, in nano. Raises Overloaded."""

        def work() -> int:
            with self._desk.database.read() as connection:
                found = sums(connection, _own(UsageQuery(), key), [])
            return found[0]["charge_nano"] if found else 0

        return await self._read(work)

    async def _read(self, work: Callable[..., Any], *args: Any) -> Any:
        """What reads the store, on a thread. Raises Overloaded: it is away."""
        try:
            return await self._desk.run(work, *args)
        except StoreAway as error:
            raise Overloaded("Usage cannot be read now.", retry_after_s=_AWAY_S) from error


def _own(asked: UsageQuery, key: Key) -> UsageQuery:
    """Of this key only: of the store by id, of the settings by name."""
    name = key.name if key.id is None else None
    return msgspec.structs.replace(asked, key_id=key.id or 0, key_name=name)
