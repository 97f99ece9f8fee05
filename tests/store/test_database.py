"""One door to either database: what a URL may be, and what is said when it is away."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from rerankd.core.errors import StartError
from rerankd.store import database as module
from rerankd.store.database import Database, StoreAway, open_database
from rerankd.store.tables import meta


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "write sqlite"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("mysql://x/y", "mysql is not known"),
        ("sqlite:////nowhere/at/all.db", "cannot open /nowhere/at/all.db: No such file"),
    ],
)
def test_a_url_that_will_not_do_is_refused_with_what_would(url: str, says: str) -> None:
    with pytest.raises(StartError, match=says):
        open_database(url)


def test_sqlite_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remote(_: Path) -> str:
        return "nfs4"

    monkeypatch.setattr(module, "network_type", remote)
    with pytest.raises(StartError, match=r"network file system \(nfs4\)"):
        open_database(f"sqlite:///{tmp_path}/x.db")
    assert not list(tmp_path.iterdir())


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path}/x.db")) as database:
        with database.write() as connection:
            connection.execute(sa.text("create table t (a integer)"))
        assert {f.name: f.stat().st_mode & 0o777 for f in tmp_path.iterdir()} == {
            "x.db": 0o600,
            "x.db-wal": 0o600,
            "x.db-shm": 0o600,
        }


def test_the_password_is_not_shown() -> None:
    database = open_database("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in database.shown
    assert database.dialect == "postgresql"


def test_a_server_that_is_not_there_is_away() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        database = open_database(f"postgresql://me:secret@127.0.0.1:{taken.getsockname()[1]}/x")
        with pytest.raises(StoreAway) as raised, database.read():
            raise AssertionError("it cannot be read")
    assert "secret" not in str(raised.value)


def test_a_file_that_is_no_database_is_said_as_away(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database, but long enough to be looked at" * 99)
    found = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    with closing(found), pytest.raises(StoreAway, match="not a database"), found.read():
        pass


def test_who_reads_sees_one_state(database: Database) -> None:
    with database.read() as reading:
        count = sa.select(sa.func.count()).select_from(meta)
        assert reading.execute(count).scalar_one() == 0
        with database.write() as writing:
            writing.execute(sa.insert(meta).values(name="a", value="b"))
        assert reading.execute(count).scalar_one() == 0
    with database.read() as reading:
        assert reading.execute(count).scalar_one() == 1


def test_an_error_takes_back_what_was_written(database: Database) -> None:
    row = {"name": "a", "value": "b"}
    with pytest.raises(exc.IntegrityError), database.write() as connection:
        connection.execute(sa.insert(meta), [row, row])
    with database.read() as connection:
        assert connection.execute(sa.select(meta)).all() == []


def test_a_lock_that_stays_is_said_as_away(store_url: str, database: Database) -> None:
    with database.write() as holding:
        holding.execute(sa.insert(meta).values(name="a", value="b"))
        if database.dialect == "postgresql":
            holding.execute(sa.text("lock table meta in access exclusive mode"))
        with closing(open_database(store_url, lock_s=0.05)) as other:
            found: list[BaseException] = []

            def write() -> None:
                try:
                    with other.write() as connection:
                        connection.execute(sa.insert(meta).values(name="b", value="c"))
                except StoreAway as error:
                    found.append(error)

            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
    assert len(found) == 1
    assert "lock" in str(found[0])
