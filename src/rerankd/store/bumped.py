"""One number that every change of keys, teams, prices and budgets raises: what servers look at."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from rerankd.store.tables import meta

_NAME: Final = "change"


def bumped(connection: sa.Connection) -> int:
    """Raise the number within a transaction that writes; its row is locked until that ends.

    So who reads a number sees all changes up to it, on PostgreSQL too.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    more = sa.cast(sa.cast(meta.c.value, sa.BigInteger) + 1, sa.Text)
    statement = insert(meta).values(name=_NAME, value="1")
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"value": more})
    return int(connection.execute(statement.returning(meta.c.value)).scalar_one())


def last_change(connection: sa.Connection) -> int:
    """The number as it is now; 0 = nothing was ever written."""
    found = connection.execute(sa.select(meta.c.value).where(meta.c.name == _NAME)).scalar()
    return int(found or 0)
