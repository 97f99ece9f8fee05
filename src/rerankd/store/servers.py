"""Servers that share counts: who is there, by the database's clock."""

from __future__ import annotations

import time
from typing import Any, Final

import sqlalchemy as sa

from rerankd.core.errors import StartError
from rerankd.store.database import Database
from rerankd.store.tables import budget_part, limit_inside, limit_used, server
from rerankd.store.transfer import insert_of

PROTOCOL: Final = 1  # of the counts: raised when servers before could not read them
GONE_US: Final = 10_000_000  # after which a server that says nothing is gone
_DAY_US: Final = 86_400_000_000
_POSTGRESQL_US: Final = "cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)"


def clock_us(connection: sa.Connection) -> sa.ColumnElement[int]:
    """Now, microseconds since 1970, by the one clock that all servers have in common."""
    if connection.dialect.name == "postgresql":
        return sa.literal_column(_POSTGRESQL_US, sa.BigInteger)
    return sa.literal(time.time_ns() // 1000, sa.BigInteger)  # a file is of one machine


def is_there(now_us: Any) -> sa.ColumnElement[bool]:
    """Whether a server said lately that it is there."""
    return server.c.seen_us > now_us - GONE_US


def others(database: Database, server_id: str) -> list[tuple[str, int]]:
    """The other servers that are there, and the protocol of each. Raises StoreAway."""
    with database.read() as connection:
        asked = sa.select(server.c.id, server.c.protocol).where(
            server.c.id != server_id, is_there(clock_us(connection))
        )
        return [(found.id, found.protocol) for found in connection.execute(asked)]


def check_others(database: Database, server_id: str, *, shared: bool) -> bool:
    """Whether others share this store; before this server begins.

    Raises:
        StartError: it cannot run beside them.
        StoreAway: see there.
    """
    found = others(database, server_id)
    for name, protocol in found:
        if not shared:
            raise StartError(
                f"[store] shared: the server {name} shares the counts of {database.shown}. Set it "
                "to true here as well, or neither is exact."
            )
        if protocol != PROTOCOL:
            raise StartError(
                f"[store] shared: the server {name} counts in another way ({protocol}, here "
                f"{PROTOCOL}): it is of another version of rerankd. Use the same for all."
            )
    return bool(found)


def said_there(database: Database, connection: sa.Connection, server_id: str) -> int:
    """Say that a server is there; how many are, itself included."""
    clock = clock_us(connection)
    insert = insert_of(database, server)
    connection.execute(
        insert.values(
            id=server_id, protocol=PROTOCOL, started_us=clock, seen_us=clock
        ).on_conflict_do_update(index_elements=["id"], set_={"seen_us": insert.excluded.seen_us})
    )
    asked = sa.select(sa.func.count()).select_from(server).where(is_there(clock))
    return int(connection.execute(asked).scalar_one())


def said_gone(connection: sa.Connection, server_id: str) -> None:
    """Say that a server ends: what it held is free."""
    connection.execute(sa.delete(limit_inside).where(limit_inside.c.server == server_id))
    connection.execute(sa.delete(server).where(server.c.id == server_id))


def removed_old(connection: sa.Connection) -> None:
    """Remove counts of days ago, and what servers held that went without a word."""
    clock = clock_us(connection)
    connection.execute(sa.delete(server).where(server.c.seen_us < clock - _DAY_US))
    gone = limit_inside.c.server.not_in(sa.select(server.c.id))
    connection.execute(sa.delete(limit_inside).where(gone))
    gone = budget_part.c.server.not_in(sa.select(server.c.id))
    is_drained = budget_part.c.spent <= budget_part.c.drained
    connection.execute(sa.delete(budget_part).where(gone, is_drained))
    connection.execute(sa.delete(limit_used).where(limit_used.c.at_us < clock - 2 * _DAY_US))
