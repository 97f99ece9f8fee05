"""What is taken of budgets that servers share, in the store: steps of them in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from rerankd.accounts.budget import Budget
from rerankd.accounts.shared_budgets import (
    BudgetSpot,
    BudgetsTaken,
    BudgetStanding,
    BudgetStep,
    budgets_taken,
    spot_of,
    spots_of,
    taken_over,
    without_counts,
)
from rerankd.accounts.window import span
from rerankd.store.budget_moves import locked_for_sums
from rerankd.store.budgets import BudgetRepo, spent
from rerankd.store.database import Database, HeldConnection
from rerankd.store.servers import clock_us, is_there
from rerankd.store.tables import budget_count, budget_part, server
from rerankd.store.transfer import insert_of

_RECOUNT_US: Final = 60_000_000  # a sum that is older is made again
_RECOUNTS: Final = 10  # at once
_KEEP_US: Final = 3_600_000_000  # after its end no request is in a window any more
_AT: Final = sa.tuple_(budget_count.c.ref, budget_count.c.start_us)
_PART_AT: Final = sa.tuple_(budget_part.c.ref, budget_part.c.start_us)
_UNREAD: Final = budget_part.c.spent - budget_part.c.drained


@dataclass(slots=True)
class _Own:
    """What this server has of one budget and window."""

    budget: Budget
    reserved: int = 0
    spent: int = 0


@dataclass(frozen=True, slots=True)
class BudgetsSettled:
    """What a transaction did."""

    taken: BudgetsTaken
    standing: Mapping[BudgetSpot, BudgetStanding]  # afterwards


class BudgetCounts:
    """The counts of all servers, and this server's part of them."""

    def __init__(self, database: Database, held: HeldConnection, server_id: str) -> None:
        """Nothing is read yet.

        Args:
            database: with all tables.
            held: its connection for this.
            server_id: of this server, and of its journal.
        """
        self._database = database
        self._held = held
        self._id = server_id
        self._own: dict[BudgetSpot, _Own] = {}
        self._unsaid: set[BudgetSpot] = set()  # of `_own`, that the store may not know
        self._known: set[BudgetSpot] = set()  # that have a row

    def prepare(self, steps: Sequence[BudgetStep]) -> None:
        """Make the counts that steps need, before others are locked. Raises StoreAway."""
        spots = spots_of(steps)
        new = {spot: budget for spot, budget in spots.items() if spot not in self._known}
        if new:
            with self._held.write() as connection:
                locked_for_sums(connection)
                self._count(connection, new)
            self._known.update(new)

    def settle(
        self, connection: sa.Connection, steps: Sequence[BudgetStep]
    ) -> BudgetsSettled | None:
        """Do steps; they are done when the transaction is. None: counts are not there any more."""
        spots = spots_of(steps)
        for spot, budget in spots.items():
            self._own.setdefault(spot, _Own(budget)).budget = budget
        self._unsaid.update(spots)
        in_ledger = {
            BudgetSpot(row.ref, row.start_us): row.spent
            for row in connection.execute(
                sa.select(budget_count)
                .where(_AT.in_(sorted(spots)))
                .order_by(budget_count.c.ref, budget_count.c.start_us)
                .with_for_update()
            )
        }
        if len(in_ledger) != len(spots):
            self._known -= spots.keys()
            return None
        others = self._others(connection, spots)
        before = {spot: self._standing(spot, in_ledger[spot], others.get(spot)) for spot in spots}
        taken = budgets_taken(steps, before)
        self._say(connection, taken)
        after = {
            spot: BudgetStanding(
                known.spent + taken.spent.get(spot, 0), known.reserved + taken.reserved.get(spot, 0)
            )
            for spot, known in before.items()
        }
        return BudgetsSettled(taken, after)

    def settled(self, done: BudgetsSettled) -> None:
        """The transaction is done."""
        self._add(done.taken)
        self._unsaid.clear()

    def not_settled(self, steps: Sequence[BudgetStep]) -> None:
        """It failed: what is done already is told with the next."""
        for spot, budget in spots_of(steps).items():
            self._own.setdefault(spot, _Own(budget))
            self._unsaid.add(spot)
        self._add(without_counts(steps))

    def all(self, connection: sa.Connection) -> dict[BudgetSpot, BudgetStanding]:
        """What is taken of each budget and window, to be seen by operators."""
        others = self._others(connection, None)
        return {
            (spot := BudgetSpot(row.ref, row.start_us)): self._standing(
                spot, row.spent, others.get(spot)
            )
            for row in connection.execute(sa.select(budget_count))
        }

    def keep_up(self, budgets: BudgetRepo) -> None:
        """Sum the ledger again where that was long ago; forget windows that are over.

        Raises:
            StoreAway: see there.
        """
        now_us = time.time_ns() // 1000
        with self._held.write() as connection:
            locked_for_sums(connection)
            before = clock_us(connection) - _RECOUNT_US
            asked = sa.select(_AT.clauses[0], _AT.clauses[1])
            old = [
                BudgetSpot(row[0], row[1])
                for row in connection.execute(
                    asked.where(budget_count.c.counted_us < before)
                    .order_by(budget_count.c.counted_us)
                    .limit(_RECOUNTS)
                )
            ]
            if not old:
                return
            active = {spot_of(each.ref, 0).ref: each for each in budgets.active(connection)}
            kept = {
                spot: active[spot.ref]
                for spot in old
                if spot.ref in active and not _is_over(active[spot.ref], spot, now_us)
            }
            self._count(connection, kept)
            gone = [spot for spot in old if spot not in kept]
            if gone:
                connection.execute(sa.delete(budget_count).where(_AT.in_(gone)))
                ours = budget_part.c.server == self._id, budget_part.c.reserved == 0, _UNREAD == 0
                connection.execute(sa.delete(budget_part).where(_PART_AT.in_(gone), *ours))
        self._known.difference_update(gone)
        self._forget(gone)

    def _forget(self, spots: Iterable[BudgetSpot]) -> None:
        for spot in spots:
            own = self._own.get(spot)
            if own is not None and not own.reserved and spot not in self._unsaid:
                del self._own[spot]

    def _count(self, connection: sa.Connection, spots: Mapping[BudgetSpot, Budget]) -> None:
        """Sum the ledger, in a transaction in which no rows are added to it."""
        insert = insert_of(self._database, budget_count)
        statement = insert.on_conflict_do_update(
            index_elements=["ref", "start_us"],
            set_={name: insert.excluded[name] for name in ("spent", "counted_us")},
        )
        for spot in sorted(spots):
            budget = spots[spot]
            ((_, amount),) = spent(connection, [budget], spot.start_us).values()
            values = {"ref": spot.ref, "start_us": spot.start_us, "spent": amount}
            connection.execute(statement.values(**values, counted_us=clock_us(connection)))

    def _others(
        self, connection: sa.Connection, spots: Iterable[BudgetSpot] | None
    ) -> dict[BudgetSpot, tuple[int, int, int]]:
        """Of the other servers, what is no row yet and what is reserved; of ours, what is a row."""
        is_ours = budget_part.c.server == self._id
        lives = server.c.id.is_not(None)
        nothing = sa.literal(0)
        dead = sa.case((_UNREAD > 0, _UNREAD), else_=nothing)
        asked = (
            sa.select(
                budget_part.c.ref,
                budget_part.c.start_us,
                sa.func.sum(sa.case((is_ours, nothing), (lives, _UNREAD), else_=dead)),
                sa.func.sum(
                    sa.case((sa.and_(lives, ~is_ours), budget_part.c.reserved), else_=nothing)
                ),
                sa.func.sum(sa.case((is_ours, budget_part.c.drained), else_=nothing)),
            )
            .select_from(
                budget_part.outerjoin(
                    server,
                    sa.and_(server.c.id == budget_part.c.server, is_there(clock_us(connection))),
                )
            )
            .group_by(budget_part.c.ref, budget_part.c.start_us)
        )
        if spots is not None:
            asked = asked.where(_PART_AT.in_(sorted(spots)))
        return {
            BudgetSpot(ref, start_us): (int(unread), int(reserved), int(drained))
            for ref, start_us, unread, reserved, drained in connection.execute(asked)
        }

    def _standing(
        self, spot: BudgetSpot, in_ledger: int, others: tuple[int, int, int] | None
    ) -> BudgetStanding:
        unread, reserved, drained = others or (0, 0, 0)
        own = self._own.get(spot)
        if own is None:
            return BudgetStanding(in_ledger + unread, reserved)
        return BudgetStanding(in_ledger + unread + own.spent - drained, reserved + own.reserved)

    def _say(self, connection: sa.Connection, taken: BudgetsTaken) -> None:
        """Write what this server holds, in whole numbers and not by how much they changed."""
        insert = insert_of(self._database, budget_part)
        statement = insert.on_conflict_do_update(
            index_elements=["ref", "start_us", "server"],
            set_={name: insert.excluded[name] for name in ("reserved", "spent")},
        )
        said: list[dict[str, Any]] = [
            {
                "ref": spot.ref,
                "start_us": spot.start_us,
                "server": self._id,
                "reserved": self._own[spot].reserved + taken.reserved.get(spot, 0),
                "spent": self._own[spot].spent + taken.spent.get(spot, 0),
                "drained": 0,
            }
            for spot in sorted(self._unsaid)
        ]
        connection.execute(statement, said)

    def _add(self, taken: BudgetsTaken) -> None:
        for spot, more in taken.reserved.items():
            self._own[spot].reserved += more
        for spot, more in taken.spent.items():
            self._own[spot].spent += more
        taken_over(taken)


def _is_over(budget: Budget, spot: BudgetSpot, now_us: int) -> bool:
    end_us = span(budget.window, spot.start_us, budget.tz).end_us
    return end_us is not None and end_us + _KEEP_US < now_us
