"""Prices and budgets of a running server, in step with the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import sqlalchemy as sa

from rerankd.accounts.account import Books
from rerankd.accounts.budget import Budget
from rerankd.accounts.price import PriceList
from rerankd.store.budgets import BudgetRepo, spent
from rerankd.store.database import Database
from rerankd.store.journal import Journal
from rerankd.store.prices import PriceRepo, now_us
from rerankd.store.tables import budget, price, topup
from rerankd.store.transfer import drained_position

_TABLES: Final = (
    sa.select(sa.func.count(), sa.func.sum(budget.c.version)).select_from(budget),
    sa.select(sa.func.count(), sa.func.max(topup.c.id)).select_from(topup),
    sa.select(sa.func.count(), sa.func.max(price.c.id)).select_from(price),
)


class Money:
    """Keeps a server's books in step with the store."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        books: Books,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """Nothing is read yet.

        Args:
            database: with all tables.
            journal: of this process: its lines that are no rows yet are counted beside them.
            books: of the server.
            clock: microseconds since 1970.
        """
        self.prices = PriceRepo(database, books.currency, clock=clock)
        self.budgets = BudgetRepo(database, clock=clock)
        self._database = database
        self._journal = journal
        self._books = books
        self._clock = clock
        self._seen: tuple[object, ...] = ()
        self._known: frozenset[Budget] = frozenset()
        books.budgets.backlog = lambda: journal.backlog_bytes

    def load(self) -> None:
        """Take over everything; for the start, when all journals are drained. Raises StoreAway."""
        for apply in self.read(0):
            apply()

    def read(self, _: int) -> Iterable[Callable[[], None]]:
        """What changed since the last time, to be applied on the event loop, in order.

        A reader of `store.watch`. Raises StoreAway.
        """
        held = self._books.budgets
        held.is_pinned = True  # what is drained from here on is in the sums only if they say so
        try:
            with self._database.read() as connection:
                seen = tuple(tuple(connection.execute(asked).one()) for asked in _TABLES)
                if seen == self._seen:
                    held.is_pinned = False
                    return ()
                prices = self.prices.all(connection)
                budgets = self.budgets.active(connection)
                new = [each for each in budgets if each not in self._known]
                sums = spent(connection, new, self._clock())
                line = drained_position(connection, self._journal)
        except BaseException:
            held.is_pinned = False
            raise

        def apply() -> None:
            self._seen, self._known = seen, frozenset(budgets)  # else it is read again
            self._books.prices = PriceList(prices)
            held.use(budgets)
            held.recount(sums, line)
            held.is_pinned = False

        return (apply,)
