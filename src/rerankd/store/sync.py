"""Lines that outlive a loss of power: one fdatasync for all who wait at the same time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from rerankd.store.journal import Journal, JournalFull


class GroupSync:
    """Whoever waits is told when what it wrote is on the disk itself."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, "journal-sync")
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Until every line that was written before is on the disk.

        Raises:
            JournalFull: the disk does not write; the lines may be lost.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(done)
        if self._task is None:
            self._task = loop.create_task(self._run(), name="journal sync")
        await done

    def close(self) -> None:
        """Nobody waits any more."""
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                error = None
                try:
                    await loop.run_in_executor(self._thread, self._journal.sync)
                except OSError as failed:
                    error = failed
                for done in waiting:
                    if done.done():  # whoever waited is gone
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(JournalFull(f"The disk does not write: {error}."))
        finally:
            self._task = None
