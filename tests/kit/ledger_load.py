"""A program: rows into the ledger of a store as fast as they go; it says what is acknowledged.

`python -m tests.kit.ledger_load URL JOURNAL [BYTES]`: a line `ok ID` when a row is on disk, `no`
when one was refused; ends on SIGTERM as a server does.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time

from rerankd.settings.schema_accounts import StoreSettings
from rerankd.store.accounts import open_store
from rerankd.store.journal import JournalFull
from rerankd.store.ledger import Ledger
from rerankd.store.rows import UsageRow

_TASKS = 8
_PAUSE_S = 0.002


async def main(url: str, journal: str, limit_bytes: int) -> None:
    store = open_store(StoreSettings(url=url, journal=journal, journal_bytes=limit_bytes))
    store.ledger.start()
    os.write(1, b"ready\n")
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    tasks = [asyncio.create_task(load(store.ledger, ending)) for _ in range(_TASKS)]
    await asyncio.gather(*tasks)
    store.ledger.close()


async def load(ledger: Ledger, ending: asyncio.Event) -> None:
    while not ending.is_set():
        now = time.time_ns() // 1000
        name = secrets.token_hex(8)
        row = UsageRow(request_id=name, at_us=now, done_us=now, status=200, model_answered="m")
        try:
            ledger.append(row)
            await ledger.synced()
        except JournalFull:
            os.write(1, b"no\n")
        else:
            os.write(1, f"ok {name}\n".encode())
        await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else 1 << 30))
