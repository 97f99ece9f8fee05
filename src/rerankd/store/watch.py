"""Sees what other processes change in the store, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from rerankd.store.bumped import last_change
from rerankd.store.database import Database, StoreAway
from rerankd.telemetry.logs import log_event, log_failed_task, log_refusal

Apply = Callable[[], None]  # takes over what was read; runs on the event loop
_LEAVE_S: Final = 2.0

Reader = Callable[
    [int], Iterable[Apply]
]  # given a number: what changed after it; may raise StoreAway


class Watch:
    """Looks at the number of the last change, and has it read when there is a newer one.

    While the store is away, what was read last stays in force.
    """

    def __init__(
        self, database: Database, readers: Iterable[Reader] = (), *, poll_s: float
    ) -> None:
        """Nothing is read yet.

        Args:
            database: open for as long as the watch runs.
            readers: each for a part of the store; more may be added before it starts.
            poll_s: between two looks.
        """
        self._database = database
        self.readers = list(readers)
        self._poll_s = poll_s
        self._seen = 0
        self._over = threading.Event()
        self._wake = threading.Event()  # look now
        self._thread: threading.Thread | None = None
        self.failures = 0  # looks that failed, since the start
        self.is_away = False  # whether the last one did

    def read(self) -> list[Apply]:
        """All that changed since the last time. Raises StoreAway."""
        with self._database.read() as connection:
            number = last_change(connection)
        if number == self._seen:
            return []
        found = [apply for reader in self.readers for apply in reader(self._seen)]
        self._seen = number  # readers may have seen later ones: they are read again
        return found

    def start(self, deliver: Callable[[Apply], object]) -> None:
        """Look from here on; `deliver` hands over to the event loop."""
        self._thread = threading.Thread(
            target=self._run, args=(deliver,), name="store-watch", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Look now: something was changed here."""
        self._wake.set()

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)  # a look at a database that is away takes longer

    def _run(self, deliver: Callable[[Apply], object]) -> None:
        while True:
            self._wake.wait(self._poll_s)
            self._wake.clear()
            if self._over.is_set():
                return
            try:
                found = self.read()
            except StoreAway as error:
                self._failed(str(error))
                continue
            except Exception as error:  # noqa: BLE001 - the thread goes on: keys must be revocable
                self.failures += 1
                log_failed_task("store-watch", error)
                continue
            if self.is_away:
                self.is_away = False
                log_event("store is back")
            for apply in found:
                try:
                    deliver(apply)
                except RuntimeError:  # the loop has ended
                    return

    def _failed(self, reason: str) -> None:
        self.failures += 1
        if not self.is_away:
            self.is_away = True
            log_refusal("store away", reason, note="what was read last stays in force")
