"""The thread that brings journals into the database, also those of processes that died."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from rerankd.store.database import Database, StoreAway
from rerankd.store.journal import Journal, JournalFile, orphans
from rerankd.store.transfer import drain
from rerankd.telemetry.logs import log_event, log_failed_task, log_refusal

POLL_S: Final = 0.2  # a line becomes a row so late
ADOPT_S: Final = 30.0  # how often journals of dead processes are looked for
_LONGEST_WAIT_S: Final = 5.0  # for a database that is away
_CLOSE_S: Final = 3.0  # for the last lines, when the process ends


class Drainer:
    """Brings lines into the database for as long as it runs; what fails is tried again."""

    def __init__(
        self, database: Database, journal: Journal, beside: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing runs yet.

        Args:
            database: of the store.
            journal: of this process.
            beside: called now and then on the thread of the drain; may raise StoreAway.
        """
        self._database = database
        self._journal = journal
        self._beside = beside
        self._adopted: list[JournalFile] = []
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._ending = threading.Event()
        self._adopt_at = 0.0
        self.away_since: float | None = None  # time.monotonic(): nothing was written since

    def adopt(self) -> None:
        """All lines of dead processes into the database, now.

        Raises:
            StoreAway, OSError: some are left, and still locked by this process.
        """
        self._adopt()
        lines = sum(file.size for file in self._adopted)
        if lines:
            log_event("journals of ended processes", files=len(self._adopted), bytes=lines)
        self._drain_adopted()

    def start(self) -> None:
        """Go on with it in the background."""
        self._thread.start()

    def close(self) -> bool:
        """Bring the last lines, for some seconds; what is left is adopted at the next start.

        Returns:
            False: the thread still waits for the database, and needs the files.
        """
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return False
        for file in self._adopted:
            file.close()
        return True

    def _run(self) -> None:
        wait_s = POLL_S
        while not self._ending.wait(wait_s):
            wait_s = POLL_S if self._tried() else min(max(2 * wait_s, 0.5), _LONGEST_WAIT_S)
        self._tried()

    def _tried(self) -> bool:
        """Whether everything is in the database."""
        try:
            self._all()
        except StoreAway as error:
            if self.away_since is None:
                self.away_since = time.monotonic()
                log_refusal("store away", str(error), waits="in the journal")
            return False
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever it was
            if self.away_since is None:
                self.away_since = time.monotonic()
                log_failed_task("ledger", error)
            return False
        if self.away_since is not None:
            log_event("store is back", away_s=round(time.monotonic() - self.away_since, 1))
            self.away_since = None
        return True

    def _all(self) -> None:
        """Every line there is, then what is done beside. Raises StoreAway and others."""
        for file in tuple(self._journal.files):
            while file.drained < file.size:
                drain(self._database, file)
            if file.is_done:
                self._journal.forget(file)
        if time.monotonic() >= self._adopt_at:
            self._adopt()
        self._drain_adopted()
        self._beside()

    def _adopt(self) -> None:
        self._adopt_at = time.monotonic() + ADOPT_S
        held = {file.path for file in self._adopted}
        self._adopted += orphans(
            self._journal.folder, lambda: held | {file.path for file in self._journal.files}
        )

    def _drain_adopted(self) -> None:
        while self._adopted:
            file = self._adopted[0]
            while drain(self._database, file):
                pass
            file.delete()
            self._adopted.pop(0)
