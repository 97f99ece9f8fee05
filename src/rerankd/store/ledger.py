"""The usage ledger of a running server: a line before the answer, rows a moment later."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rerankd.core.errors import StartError
from rerankd.store.database import Database, StoreAway
from rerankd.store.drain import Drainer
from rerankd.store.journal import Journal
from rerankd.store.retention import remove_before
from rerankd.store.rows import UsageRow
from rerankd.store.sync import GroupSync
from rerankd.store.tables import unauthorized_minute
from rerankd.store.transfer import insert_of
from rerankd.telemetry.logs import log_refusal

_MINUTE_US: Final = 60_000_000
_NETWORKS: Final = 1000  # of one minute that are told apart
_OTHERS: Final = "other"
_FLUSH_S: Final = 10.0
_DAY_US: Final = 86_400_000_000
_REMOVE_S: Final = 3600.0  # how often old rows are looked for
_SOON_S: Final = 2.0


class LedgerFacts(NamedTuple):
    """How the ledger does."""

    backlog_bytes: int  # of lines that are not in the database yet
    away_s: float  # how long the database has been away; 0 = it is there


class Ledger:
    """Takes rows for the journal, and brings them into the database behind the requests."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        limit_bytes: int,
        durability: Literal["process", "power"] = "process",
        retain_days: int | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            database: with all tables.
            folder: of the journal.
            limit_bytes: of lines that may wait for the database.
            durability: what a line outlives.
            retain_days: rows that are older are removed, once they are verified; None = never.

        Raises:
            StartError: the folder will not do.
        """
        self.journal = Journal(folder, limit_bytes=limit_bytes)
        self._sync = GroupSync(self.journal) if durability == "power" else None
        self._database = database
        self._retain_days = retain_days
        self._remove_at = 0.0
        self._refused: dict[tuple[int, str], int] = {}  # minute and network -> 401s
        self._refused_lock = threading.Lock()
        self._flush_at = time.monotonic() + _FLUSH_S
        self._drainer = Drainer(database, self.journal, self._beside)

    def start(self) -> None:
        """Drain what dead processes left, then go on in the background.

        Raises:
            StartError: the database is away: how much is spent would not be known.
        """
        try:
            self._drainer.adopt()
        except (StoreAway, OSError) as error:
            raise StartError(
                f"[store]: what earlier servers left in {self.journal.folder} cannot be brought "
                f"into {self._database.shown}: {error}"
            ) from None
        self._drainer.start()

    def append(self, row: UsageRow) -> int:
        """Keep a row: it is on disk when this returns, and will be in the database.

        Returns:
            How many bytes of lines this process wrote; see `transfer.drained_position`.

        Raises:
            JournalFull: it is not, and no part of it.
        """
        return self.journal.append(row)

    async def synced(self) -> None:
        """Until what was appended outlives what the settings ask for.

        Raises:
            JournalFull: the disk does not write; see `GroupSync.wait`.
        """
        if self._sync is not None:
            await self._sync.wait()

    def unauthorized(self, network: str) -> None:
        """Count one request without a good key."""
        minute = time.time_ns() // 1000 // _MINUTE_US * _MINUTE_US
        with self._refused_lock:
            key = (minute, network)
            if key not in self._refused and len(self._refused) >= _NETWORKS:
                key = (minute, _OTHERS)
            self._refused[key] = self._refused.get(key, 0) + 1

    def facts(self) -> LedgerFacts:
        """How it does."""
        away = self._drainer.away_since
        return LedgerFacts(
            self.journal.backlog_bytes, 0.0 if away is None else time.monotonic() - away
        )

    def close(self) -> None:
        """Bring what is left into the database, for some seconds; the rest stays on disk."""
        self._flush_at = 0.0
        if self._sync is not None:
            self._sync.close()
        if self._drainer.close():
            self.journal.close()

    def _beside(self) -> None:
        """Remove old rows, add the 401s of late. Raises StoreAway."""
        if self._retain_days is not None and time.monotonic() >= self._remove_at:
            self._remove_old(self._retain_days)
        if time.monotonic() < self._flush_at:
            return
        with self._refused_lock:
            counts = dict(self._refused)
        add_unauthorized(self._database, counts)
        with self._refused_lock:  # more may have come meanwhile
            left = {key: n - counts.get(key, 0) for key, n in self._refused.items()}
            self._refused = {key: n for key, n in left.items() if n}
        self._flush_at = time.monotonic() + _FLUSH_S

    def _remove_old(self, days: int) -> None:
        """Remove rows for about a second; goes on soon while there are more. Raises StoreAway."""
        verdict = remove_before(self._database, time.time_ns() // 1000 - days * _DAY_US)
        if verdict.problems:
            log_refusal("old rows stay", verdict.problems[0], problems=len(verdict.problems))
        more = verdict.ok and verdict.hours > 0
        self._remove_at = time.monotonic() + (_SOON_S if more else _REMOVE_S)


def add_unauthorized(database: Database, counts: dict[tuple[int, str], int]) -> None:
    """Add 401s by minute and network. Raises StoreAway."""
    if not counts:
        return
    insert = insert_of(database, unauthorized_minute)
    added = unauthorized_minute.c["count"] + insert.excluded["count"]
    with database.write() as connection:
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["minute_us", "network"], set_={"count": added}
            ),
            [
                {"minute_us": minute, "network": network, "count": count}
                for (minute, network), count in sorted(counts.items())
            ],
        )
