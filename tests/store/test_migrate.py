"""The tables of a store are those that the program knows, and nothing in it is lost on the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from rerankd.core.errors import StartError
from rerankd.store import migrate as migrations
from rerankd.store.database import Database, open_database
from rerankd.store.migrate import backup, migrate, newest, revision
from rerankd.store.tables import METADATA, meta


def at_revision(database: Database, said: str) -> None:
    with database.write() as connection:
        connection.execute(
            sa.text("update alembic_version set version_num = :said"), {"said": said}
        )


def test_migrated_tables_are_those_of_the_program(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
    inspector = sa.inspect(database.engine)
    for table in METADATA.sorted_tables:
        found = {str(each["name"]) for each in inspector.get_check_constraints(table.name)}
        wanted = {c for c in table.constraints if isinstance(c, sa.CheckConstraint)}
        assert len(found) == len(wanted), table.name


def test_an_empty_store_needs_no_backup_and_one_that_is_current_nothing(store_url: str) -> None:
    database = open_database(store_url)
    assert revision(database) is None
    assert migrate(database) is None
    assert revision(database) == newest()
    assert migrate(database) is None
    if database.file is not None:
        assert not list(database.file.parent.glob("*.backup"))
    database.close()


def test_a_store_of_a_newer_version_is_refused_and_stays(database: Database) -> None:
    at_revision(database, "9999")
    with pytest.raises(StartError, match=r"newer version of rerankd \(9999\)"):
        migrate(database)
    assert revision(database) == "9999"


def older(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store as one that a migration waits for, which changes nothing."""
    with database.write() as connection:
        connection.execute(sa.insert(meta).values(name="kept", value="yes"))

    def upgrade(_: object, __: str) -> None:
        """Nothing."""

    monkeypatch.setattr(migrations, "newest", lambda: "9998")
    monkeypatch.setattr(migrations.command, "upgrade", upgrade)


def test_what_is_in_a_store_is_backed_up_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(database, monkeypatch)
    if database.file is None:
        with pytest.raises(StartError, match=r"pg_dump .*--backed-up"):
            migrate(database)
        assert revision(database) == newest()
        return
    copy = migrate(database)
    assert copy is not None
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as found:
        assert found.execute("select value from meta where name = 'kept'").fetchall() == [("yes",)]


def test_a_failed_migration_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "newest", lambda: "9998")

    def upgrade(config: migrations.Config, _: str) -> None:
        connection = config.attributes["connection"]
        connection.execute(sa.text("create table half (id integer)"))
        raise OSError("the disk went away")

    monkeypatch.setattr(migrations.command, "upgrade", upgrade)
    with pytest.raises(OSError, match="the disk went away"):
        migrate(database, backed_up=True)
    assert "half" not in sa.inspect(database.engine).get_table_names()
    assert revision(database) == newest()


def test_a_backup_is_whole_or_not_there(database: Database, tmp_path: Path) -> None:
    to = tmp_path / "copies" / "store.backup"
    if database.file is None:
        with pytest.raises(StartError, match="pg_dump"):
            backup(database, to)
        return
    with pytest.raises(StartError, match="Cannot write the backup"):
        backup(database, to)
    to.parent.mkdir()
    backup(database, to)
    assert [each.name for each in to.parent.iterdir()] == ["store.backup"]
    with closing(open_database(f"sqlite:///{to}")) as copy:
        assert revision(copy) == newest()
