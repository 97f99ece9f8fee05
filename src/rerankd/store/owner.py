"""Which store a folder of journals belongs to: lines of one never become rows of another."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from rerankd.core.errors import StartError
from rerankd.store.database import Database
from rerankd.store.journal import prepare_folder
from rerankd.store.tables import meta
from rerankd.store.transfer import insert_of

_FILE: Final = "store-id"
_META: Final = "store_id"


def claim(folder: Path, database: Database) -> None:
    """Make the folder, and mark it as that of a store's journals.

    Raises:
        StartError: it is another store's, or cannot be written.
        StoreAway: see there.
    """
    prepare_folder(folder)
    ours = store_id(database)
    file = folder / _FILE
    try:
        theirs = _read(file)
        if theirs is None:
            part = folder / f"{_FILE}.{os.getpid()}"
            part.write_text(ours)
            part.rename(file)
    except OSError as error:
        raise StartError(f"[store] journal: cannot write in {folder}: {error}.") from None
    if theirs not in (None, ours):
        raise StartError(
            f"[store] journal: {folder} holds lines of another store ({theirs}); {database.shown} "
            f"is {ours}. Name another folder, or the database that these lines belong to."
        )


def store_id(database: Database) -> str:
    """What a store is known by, from its first use on, also after a backup is restored."""
    found = sa.select(meta.c.value).where(meta.c.name == _META)
    with database.read() as connection:
        known = connection.execute(found).scalar()
    if known is not None:
        return known
    with database.write() as connection:
        made = insert_of(database, meta).values(name=_META, value=secrets.token_hex(8))
        connection.execute(made.on_conflict_do_nothing())
        return connection.execute(found).scalar_one()


def _read(file: Path) -> str | None:
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        return None
