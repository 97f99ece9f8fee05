"""What breaks a ledger: its process, its disk, its database. For tests and bench/ledger.py."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import sqlalchemy as sa

from rerankd.store.database import open_database
from rerankd.store.tables import usage
from rerankd.store.verify import verify

PATIENCE_S = 120
ROOT = Path(__file__).parents[2]


class Load:
    """A process that writes rows, and what it acknowledged."""

    def __init__(self, url: str, journal: Path, *, limit_bytes: int = 1 << 30) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0
        words = ["-m", "tests.kit.ledger_load", url, str(journal), str(limit_bytes)]
        self._process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
        )
        self.is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                break  # torn: nobody was told
            word, _, name = line.decode().strip().partition(" ")
            if word == "ok":
                self.acknowledged.append(name)
            elif word == "no":
                self.refused += 1
            else:
                self.is_ready.set()

    def wait(self, until: Callable[[Load], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not until(self):
            assert time.monotonic() < end, "the load did not come so far"
            assert self._process.poll() is None, "the load ended by itself"
            time.sleep(0.005)

    def wait_for_more(self, count: int) -> None:
        """Until so many more rows are acknowledged."""
        wanted = len(self.acknowledged) + count
        self.wait(lambda load: len(load.acknowledged) >= wanted)

    def largest_file(self, size: int) -> None:
        """From here on its disk is full where a file would be larger; -1: no limit."""
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        soft = hard if size < 0 else size
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def end(self, number: int) -> None:
        self._process.send_signal(number)
        self._process.wait(PATIENCE_S)
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextlib.contextmanager
def loading(url: str, journal: Path, *, limit_bytes: int = 1 << 30) -> Generator[Load]:
    """A load that is ready, killed at the end if the test did not end it."""
    load = Load(url, journal, limit_bytes=limit_bytes)
    try:
        load.wait(lambda load: load.is_ready.is_set())
        yield load
    finally:
        load.end(signal.SIGKILL)


def missing_and_doubled(url: str, acknowledged: list[str]) -> tuple[int, int]:
    """How many acknowledged rows are not recorded, and how many are more than once."""
    database = open_database(url)
    with database.read() as connection:
        found = list(connection.execute(sa.select(usage.c.request_id)).scalars())
    database.close()
    return len(set(acknowledged) - set(found)), len(found) - len(set(found))


def problems(url: str, journal: Path) -> list[str]:
    """What does not add up."""
    database = open_database(url)
    try:
        return verify(database, journal).problems
    finally:
        database.close()


class Wire:
    """A way to a server that can be cut: connections end, new ones are refused."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._pairs: list[socket.socket] = []
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._pairs += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(one, other), daemon=True).start()

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._pairs:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._pairs.clear()

    def mend(self) -> None:
        self._listener = self._listen(self.port)


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def database_away(url: str) -> Generator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A URL of the same store, how to take it away, and how to bring it back.

    SQLite is locked by another process' transaction; PostgreSQL's connections are cut.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        wire = Wire(parsed.port or 5432)
        through = parsed.set(port=wire.port).render_as_string(hide_password=False)
        try:
            yield through, wire.cut, wire.mend
        finally:
            wire.cut()
        return
    database = open_database(url)
    held: list[sa.Connection] = []

    def lock() -> None:
        connection = database.engine.connect()
        connection.execution_options(rerankd_writes=True)
        connection.begin()
        held.append(connection)

    def unlock() -> None:
        while held:
            held.pop().close()

    try:
        yield url, lock, unlock
    finally:
        unlock()
        database.close()
