"""What is used of limits, in the store: steps of them in one transaction.

Rows are locked in the order of their key, by all servers: nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from rerankd.access.meters import Used
from rerankd.access.rates import Spot
from rerankd.access.shared import (
    After,
    Before,
    Enter,
    Leave,
    Needed,
    RateStep,
    TakeTokens,
    decided,
    needed,
)
from rerankd.store.database import Database, HeldConnection
from rerankd.store.servers import clock_us, is_there
from rerankd.store.tables import limit_inside, limit_used, server
from rerankd.store.transfer import insert_of

_SET_BACK_US: Final = 5_000_000  # a count that is later than now by that: a clock was set back
_ROW: Final = limit_used.c.holder, limit_used.c.name, limit_used.c.used, limit_used.c.at_us
_AT: Final = sa.tuple_(*_ROW[:2])


@dataclass(frozen=True, slots=True)
class Settled:
    """What a transaction did."""

    now_s: float
    after: After
    own: dict[bytes, int]  # requests at once of this server


class LimitCounts:
    """The counts of all servers, and this server's part of the requests at once."""

    def __init__(self, database: Database, held: HeldConnection, server_id: str) -> None:
        """Nothing is read yet.

        Args:
            database: with all tables.
            held: its connection for this.
            server_id: of this server.
        """
        self._database = database
        self._held = held
        self._id = server_id
        self._own: dict[bytes, int] = {}
        self._unsaid: set[bytes] = set()  # of `_own`, that the store does not know
        self._known: set[Spot] = set()  # that have a row

    def prepare(self, steps: Sequence[RateStep]) -> None:
        """Make the rows that steps need, before others are locked. Raises StoreAway."""
        spots = sorted(_spots(needed(steps)) - self._known)
        if not spots:
            return
        new = insert_of(self._database, limit_used).on_conflict_do_nothing()
        with self._held.write() as connection:
            connection.execute(
                new, [{"holder": h, "name": name, "used": 0.0, "at_us": 0} for h, name in spots]
            )
        self._known.update(spots)

    def settle(self, connection: sa.Connection, steps: Sequence[RateStep]) -> Settled | None:
        """Do steps; they are done when the transaction is. None: rows are not there any more."""
        need = needed(steps)
        spots = _spots(need)
        self._unsaid |= need.holders  # until it is known that the transaction was done
        rows = _locked(connection, spots)
        if len(rows) == len(spots):
            return self._counted(connection, steps, need.holders, rows)
        self._known -= spots  # some were removed, unused for days
        return None

    def settled(self, done: Settled) -> None:
        """The transaction is done."""
        self._own = done.own
        self._unsaid.clear()

    def not_settled(self, steps: Sequence[RateStep]) -> None:
        """It failed. Nothing was taken; what has ended is told with the next."""
        for step in steps:
            match step:
                case Enter():
                    step.holders = ()
                case TakeTokens():
                    step.day = None
                case _:
                    pass
        for holder in [h for s in steps if isinstance(s, Leave) for h in s.entered.holders]:
            self._own[holder] -= 1

    def _counted(
        self,
        connection: sa.Connection,
        steps: Sequence[RateStep],
        holders: Iterable[bytes],
        rows: Sequence[Any],
    ) -> Settled:
        """Decide by what the rows say, and write what becomes of them."""
        clock = rows[0].now_us if rows else 0
        now_us = max((r.at_us for r in rows if r.at_us < clock + _SET_BACK_US), default=clock)
        now_us = max(now_us, clock)
        counts = {
            (row.holder, row.name): Used(row.used, min(row.at_us, now_us) / 1_000_000)
            for row in rows
            if row.at_us
        }
        own = {holder: self._own.get(holder, 0) for holder in holders}
        others = self._others(connection, own, now_us)
        inside = {holder: own[holder] + others.get(holder, 0) for holder in own}
        after = decided(steps, Before(now_us / 1_000_000, counts, inside))
        self._write(connection, {(r.holder, r.name) for r in rows}, after, now_us)
        now_own = self._own | {
            holder: after.inside.get(holder, 0) - others.get(holder, 0) for holder in own
        }
        self._say(connection, now_own, self._unsaid)
        return Settled(now_us / 1_000_000, after, {h: n for h, n in now_own.items() if n})

    def _others(
        self, connection: sa.Connection, holders: Iterable[bytes], now_us: int
    ) -> dict[bytes, int]:
        """Requests at once of the other servers that are there."""
        holders = list(holders)
        if not holders:
            return {}
        asked = (
            sa.select(limit_inside.c.holder, sa.func.sum(limit_inside.c.running))
            .join(server, server.c.id == limit_inside.c.server)
            .where(
                limit_inside.c.holder.in_(holders),
                limit_inside.c.server != self._id,
                is_there(now_us),
            )
            .group_by(limit_inside.c.holder)
        )
        return {holder: int(running) for holder, running in connection.execute(asked)}

    def _write(
        self, connection: sa.Connection, locked: set[Spot], after: After, now_us: int
    ) -> None:
        changed = [
            {"of": at[0], "called": at[1], "used": used.amount, "at_us": now_us}
            for at, used in after.counts.items()
            if at in locked
        ]
        if changed:
            connection.execute(
                sa.update(limit_used).where(
                    limit_used.c.holder == sa.bindparam("of"),
                    limit_used.c.name == sa.bindparam("called"),
                ),
                changed,
            )

    def _say(
        self, connection: sa.Connection, own: dict[bytes, int], holders: Iterable[bytes]
    ) -> None:
        said = [
            {"holder": holder, "server": self._id, "running": own.get(holder, 0)}
            for holder in sorted(holders)
        ]
        if said:
            insert = insert_of(self._database, limit_inside)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["holder", "server"],
                    set_={"running": insert.excluded.running},
                ),
                said,
            )


def _spots(need: Needed) -> set[Spot]:
    """All rows of steps; one of them only to be locked, for a holder's requests at once."""
    at_once: set[Spot] = {(holder, "in_flight") for holder in need.holders}
    return need.spots | at_once


def _locked(connection: sa.Connection, spots: Iterable[Spot]) -> Sequence[Any]:
    """The rows of spots, which nobody else can read for a step until the transaction ends."""
    spots = sorted(spots)
    if not spots:
        return ()
    asked = (
        sa.select(*_ROW, clock_us(connection).label("now_us"))
        .where(_AT.in_(spots))
        .order_by(limit_used.c.holder, limit_used.c.name)
        .with_for_update()
    )
    return connection.execute(asked).all()
