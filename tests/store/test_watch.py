"""What another process writes is in force in two seconds; a store that is away changes nothing."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from rerankd.access.fields import KeyFields
from rerankd.access.ring import KeyRing
from rerankd.core.errors import Unauthorized
from rerankd.store.database import Database, StoreAway, open_database
from rerankd.store.key_feed import KeyFeed
from rerankd.store.keys import KeyRepo
from rerankd.store.watch import Apply, Watch

SOON_S = 0.05
_REVOKE = """
import sys
from rerankd.store.database import open_database
from rerankd.store.keys import KeyRepo
KeyRepo(open_database(sys.argv[1])).revoke("a")
"""


def until(is_so: Callable[[], bool]) -> None:
    """Wait, patiently; pytest's own limit ends what never comes."""
    while not is_so():
        time.sleep(0.01)


class Server:
    """A ring that follows a store; what arrives is applied by the test, as an event loop would."""

    def __init__(self, database: Database, poll_s: float = SOON_S) -> None:
        self.ring = KeyRing()
        self.watch = Watch(
            database, [KeyFeed(KeyRepo(database), self.ring.put).read], poll_s=poll_s
        )
        for apply in self.watch.read():
            apply()
        self._arrived: queue.SimpleQueue[Apply] = queue.SimpleQueue()
        self.watch.start(self._arrived.put)

    def lets_in(self, text: str) -> bool:
        while not self._arrived.empty():
            self._arrived.get()()
        try:
            self.ring.authenticate(text.encode())
        except Unauthorized:
            return False
        return True


def test_a_key_that_another_process_revokes_is_refused(database: Database, store_url: str) -> None:
    _, text = KeyRepo(database).create(KeyFields(name="a"))
    other = open_database(store_url)
    servers = [Server(database), Server(other)]
    assert all(server.lets_in(text) for server in servers)
    subprocess.run([sys.executable, "-c", _REVOKE, store_url], check=True)
    for server in servers:
        until(lambda server=server: not server.lets_in(text))
        server.watch.close()
    other.close()


def test_a_revoked_key_is_refused_within_two_seconds(database: Database, store_url: str) -> None:
    """At the default pause, by the time that passes between the commit and the refusal."""
    _, text = KeyRepo(database).create(KeyFields(name="a"))
    other = open_database(store_url)
    server = Server(other, poll_s=1.0)
    KeyRepo(database).revoke("a")
    started = time.monotonic()
    until(lambda: not server.lets_in(text))
    assert time.monotonic() - started < 2
    server.watch.close()
    other.close()


def test_a_store_that_is_away_leaves_the_keys_in_force(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = KeyRepo(database)
    _, text = repo.create(KeyFields(name="a"))
    server = Server(database)
    read = Database.read

    def away(_: Database) -> None:
        raise StoreAway("gone")

    with capture_logs() as said:
        monkeypatch.setattr(Database, "read", away)
        until(lambda: server.watch.failures > 2)
        assert server.watch.is_away
        assert server.lets_in(text)
        monkeypatch.setattr(Database, "read", read)
        until(lambda: not server.watch.is_away)
        until(lambda: len(said) > 1)
    assert [each["event"] for each in said] == ["store away", "store is back"]
    repo.revoke("a")
    until(lambda: not server.lets_in(text))
    server.watch.close()


def test_a_reader_that_fails_does_not_end_the_watch(database: Database) -> None:
    calls: list[int] = []

    def fails(since: int) -> list[Apply]:
        calls.append(since)
        raise LookupError("x")

    watch = Watch(database, [fails], poll_s=SOON_S)
    KeyRepo(database).create(KeyFields(name="a"))
    watch.start(lambda _: None)
    until(lambda: len(calls) > 2)
    assert watch.failures >= 2
    watch.close()
