"""Stores for tests: a file of SQLite, or a schema of its own in RERANKD_TEST_POSTGRESQL."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path

import sqlalchemy as sa

from rerankd.store.database import Database, open_database
from rerankd.store.migrate import migrate

SERVER = os.environ.get("RERANKD_TEST_POSTGRESQL")  # set by .ci/with_postgresql


@contextlib.contextmanager
def store_url(folder: Path) -> Generator[str]:
    """The URL of an empty store, which is gone afterwards."""
    if SERVER is None:
        yield f"sqlite:///{folder}/store.db"
        return
    schema = f"test_{secrets.token_hex(6)}"
    server = open_database(SERVER)
    with server.write() as connection:
        connection.execute(sa.text(f"create schema {schema}"))
    try:
        yield f"{SERVER}?options=-csearch_path%3D{schema}"
    finally:
        with server.write() as connection:
            connection.execute(sa.text(f"drop schema {schema} cascade"))
        server.close()


@contextlib.contextmanager
def migrated(url: str) -> Generator[Database]:
    """An open store with all tables."""
    database = open_database(url)
    try:
        migrate(database)
        yield database
    finally:
        database.close()
