"""Rows of the ledger take over what servers held of shared budgets, as they are written.

In one transaction: what is spent is with the server until its line is a row, then here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from rerankd.store.rows import UsageRow
from rerankd.store.tables import budget_count, budget_part

_ROWS: Final = 7_274_529_102  # the number of our lock among PostgreSQL's advisory ones
_OF: Final = sa.bindparam("of", type_=sa.Text)
_START: Final = sa.bindparam("begins", type_=sa.BigInteger)
_MORE: Final = sa.bindparam("more", type_=sa.BigInteger)


def locked_for_rows(connection: sa.Connection) -> None:
    """Rows are written in this transaction: nobody sums the ledger meanwhile; others may write."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_ROWS)))


def locked_for_sums(connection: sa.Connection) -> None:
    """The ledger is summed in this transaction: all rows are there, and none is added meanwhile."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ROWS)))


def move_held(connection: sa.Connection, server_id: str, rows: Iterable[UsageRow]) -> None:
    """What the lines of a server held is in the ledger now.

    A count that is not there is summed when somebody needs it, these rows included.
    """
    moved: dict[tuple[str, int], int] = {}
    for row in rows:
        for ref, start_us, amount in row.held:
            moved[ref, start_us] = moved.get((ref, start_us), 0) + amount
    if not moved:
        return
    said = [{"of": at[0], "begins": at[1], "more": moved[at]} for at in sorted(moved)]
    connection.execute(
        sa.update(budget_count)
        .where(budget_count.c.ref == _OF, budget_count.c.start_us == _START)
        .values(spent=budget_count.c.spent + _MORE),
        said,
    )
    connection.execute(
        sa.update(budget_part)
        .where(
            budget_part.c.ref == _OF,
            budget_part.c.start_us == _START,
            budget_part.c.server == server_id,
        )
        .values(drained=budget_part.c.drained + _MORE),
        said,
    )
