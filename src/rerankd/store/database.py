"""One engine for the store: SQLite in one file, or PostgreSQL by URL.

SQLite: WAL, every commit on disk before it returns, foreign keys, a wait for the lock, file mode
0600. A transaction is a snapshot for who reads, and takes the writer's lock at once for who writes.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, cast

import sqlalchemy as sa
from sqlalchemy import event, exc

from rerankd.core.errors import StartError
from rerankd.core.shown_url import shown_url
from rerankd.extras import POSTGRESQL, library
from rerankd.store.filesystem import made_for_owner, network_type

LOCK_S: Final = 5.0  # how long a statement waits for another's lock
_HELD_LOCK_MS: Final = 2000
_CONNECT_S: Final = 5
_UNANSWERED_MS: Final = 10_000  # after which a connection counts as broken
_WRITES: Final = "rerankd_writes"  # execution option of a connection


class StoreAway(Exception):
    """The database cannot be reached, is locked or has no room; what was asked may work later."""


class Database:
    """An open store."""

    def __init__(self, engine: sa.Engine, file: Path | None) -> None:
        """Nothing is connected yet.

        Args:
            engine: of either.
            file: of SQLite; None = PostgreSQL.
        """
        self.engine = engine
        self.file = file
        self._joined = threading.local()

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which of the two it is."""
        return cast("Literal['sqlite', 'postgresql']", self.engine.dialect.name)

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return shown_url(self.engine.url.render_as_string(hide_password=False))

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A connection in a transaction that sees one state of the store.

        Raises:
            StoreAway: see there.
        """
        if (joined := self._together()) is not None:
            yield joined
            return
        with _away(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A connection in a transaction that is committed at the end, rolled back by an error.

        Raises:
            StoreAway: see there.
        """
        if (joined := self._together()) is not None:
            yield joined
            return
        with _away(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def together(self) -> Generator[sa.Connection]:
        """As `write`; what this thread reads and writes meanwhile is in the same transaction.

        An error of any part is to leave this one: all of it is rolled back.

        Raises:
            StoreAway: see there.
        """
        with self.write() as connection:
            self._joined.connection = connection
            try:
                yield connection
            finally:
                self._joined.connection = None

    def _together(self) -> sa.Connection | None:
        """The transaction that this thread is in."""
        return getattr(self._joined, "connection", None)

    def close(self) -> None:
        """End all connections."""
        self.engine.dispose()


class HeldConnection:
    """One connection that stays open, for short transactions one after the other.

    Its commits survive the process, not a loss of power: what is counted for a minute need not.
    """

    def __init__(self, database: Database) -> None:
        """Nothing is connected yet."""
        self._database = database
        self._connection: sa.Connection | None = None

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """As `Database.write`; after an error the connection is another one.

        Raises:
            StoreAway: see there.
        """
        with _away():
            connection = self._connection or self._connected()
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(exc.SQLAlchemyError):
                connection.invalidate()  # nobody else is to get its settings
                connection.close()

    def _connected(self) -> sa.Connection:
        connection = self._database.engine.connect().execution_options(**{_WRITES: True})
        self._connection = connection
        driver: Any = connection.connection.driver_connection
        if self._database.dialect == "sqlite":
            driver.execute("PRAGMA synchronous=NORMAL")
        else:
            driver.execute(f"SET synchronous_commit = off; SET lock_timeout = {_HELD_LOCK_MS}")
            driver.commit()
        return connection


def open_database(url: str, *, lock_s: float = LOCK_S) -> Database:
    """The store of a URL: sqlite:////path/to/file or postgresql://user:password@host/name.

    A SQLite file is made when it is not there; no table is, see `migrate`.

    Args:
        url: as sqlalchemy writes it.
        lock_s: how long a statement waits for another's lock.

    Raises:
        StartError: a library is missing, or the URL, its folder or its file system will not do.
    """
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise StartError(
            "[store] url: write sqlite:////path/to/rerankd.db or "
            "postgresql://user:password@host/name."
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, lock_s)
        case "postgresql" | "postgres":
            return _postgresql(parsed, lock_s)
        case other:
            raise StartError(f"[store] url: {other} is not known here; sqlite or postgresql is.")


def _sqlite(url: sa.URL, lock_s: float) -> Database:
    if not url.database or url.database == ":memory:":
        raise StartError("[store] url: name a file, as in sqlite:////var/lib/rerankd/rerankd.db.")
    file = Path(url.database).absolute()
    found = network_type(file.parent)
    if found:
        raise StartError(
            f"[store] url: {file.parent} is on a network file system ({found}), where SQLite can "
            "lose data. Put the file on a local disk, or use PostgreSQL."
        )
    try:
        made_for_owner(file)
    except OSError as error:
        raise StartError(f"[store] url: cannot open {file}: {error.strerror or error}.") from None
    engine = sa.create_engine(
        url.set(drivername="sqlite+pysqlite", database=str(file)),
        connect_args={"timeout": lock_s, "check_same_thread": False},
    )

    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, nowhere else
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begin)
    return Database(engine, file)


def _postgresql(url: sa.URL, lock_s: float) -> Database:
    library("psycopg", POSTGRESQL)
    given = url.query.get("options", "")
    options = f"-c lock_timeout={round(lock_s * 1000)} -c timezone=UTC"
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,  # a server that was started again ends old connections
        connect_args={
            "connect_timeout": _CONNECT_S,
            "tcp_user_timeout": _UNANSWERED_MS,
            "application_name": "rerankd",
            "options": f"{options} {given if isinstance(given, str) else ' '.join(given)}",
        },
    )
    return Database(engine, None)


@contextmanager
def _away() -> Generator[None]:
    """Say StoreAway for what a later try may not meet; other errors stay what they are."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreAway(_first_line(error)) from error
    except exc.DBAPIError as error:
        # Of no class of its own is what SQLite says of a file that is none of its, or broken.
        if error.connection_invalidated or type(error) is exc.DatabaseError:
            raise StoreAway(_first_line(error)) from error
        raise


def _first_line(error: exc.SQLAlchemyError) -> str:
    """What the driver says, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
