"""Brings a store to the tables that this version knows; never without a backup of what is in it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from rerankd.core.errors import StartError
from rerankd.store.database import Database
from rerankd.store.filesystem import made_for_owner

_FOLDER: Final = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME: Final = 7_274_529_101  # the number of our lock among PostgreSQL's advisory ones


def newest() -> str:
    """The revision that this version of the program knows."""
    (head,) = ScriptDirectory.from_config(_config()).get_heads()
    return head


def revision(database: Database) -> str | None:
    """The revision of a store; None = it is empty. Raises StoreAway."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def migrate(database: Database, *, backed_up: bool = False) -> Path | None:
    """Bring a store to the newest revision; nothing happens when it has it.

    A file of SQLite that holds something is copied first, beside itself.

    Args:
        database: an empty one gets all tables.
        backed_up: PostgreSQL: the operator has a backup.

    Returns:
        The copy, if one was made.

    Raises:
        StartError: the store is of a newer version, or there must be a backup first.
        StoreAway: see there.
    """
    found, wanted = revision(database), newest()
    if found == wanted:
        return None
    _check(database, found)
    copy = None
    if found is not None and database.file is not None:
        copy = database.file.with_name(f"{database.file.name}.{found}-{time.time_ns()}.backup")
        backup(database, copy)
    elif found is not None and not backed_up:
        raise StartError(
            f"The store {database.shown} has the tables of an older version ({found}). Make a "
            f"backup, `pg_dump --format=custom --file=rerankd.dump {database.shown}`, then run "
            "`rerankd store migrate --backed-up`."
        )
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")  # reads again which it has: another may have been faster
    return copy


def backup(database: Database, to: Path) -> None:
    """Copy a store of SQLite while it is used; the copy is whole, or not there.

    Raises:
        StartError: it is PostgreSQL, or the copy cannot be written.
    """
    if database.file is None:
        raise StartError(
            "PostgreSQL makes its own backups: "
            f"`pg_dump --format=custom --file={to} {database.shown}`."
        )
    part = to.with_name(f"{to.name}.part")
    try:
        made_for_owner(part)
        with (
            closing(sqlite3.connect(database.file)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without others beside it
        part.rename(to)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise StartError(f"Cannot write the backup {to}: {error}.") from None


def _check(database: Database, found: str | None) -> None:
    """Refuse a store of a newer version."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise StartError(
            f"The store {database.shown} has tables of a newer version of rerankd ({found}); this "
            f"one knows {newest()}. Use that version, or a backup from before."
        )


def _config() -> Config:
    config = Config(attributes=dict[Any, Any]())
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
