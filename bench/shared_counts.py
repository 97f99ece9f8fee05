"""What limits cost whose counts servers share: milliseconds a request, transactions a second.

.ci/with_postgresql uv run --no-sync python bench/shared_counts.py

Each server is an event loop's share of this process with a connection of its own; requests of one
key come as fast as they are answered. A request takes two steps: its begin, and its tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from rerankd.access.keys import Key
from rerankd.access.shared_rates import SharedRates
from rerankd.store.database import open_database
from rerankd.store.migrate import migrate
from rerankd.store.shared import SharedCounts

MANY = 1_000_000_000


def key(number: int) -> Key:
    """A key with each kind of limit, none of which is used up."""
    return Key(
        name=str(number), digest=b"", id=number, rpm=MANY, tpm=MANY, rpd=MANY, in_flight=MANY
    )


async def one(rates: SharedRates, by: Key) -> float:
    """One request; the seconds that its limits took."""
    begun = time.perf_counter()
    place = rates.in_flight(by)
    await place.enter()
    await rates.charge(by).add(1000)
    took = time.perf_counter() - begun
    place.leave()
    return took


async def row(url: str, *, servers: int, callers: int, keys: int, seconds: float) -> None:
    """Measure one row of the table."""
    databases = [open_database(url) for _ in range(servers)]
    counts = [SharedCounts(database, f"s{n}") for n, database in enumerate(databases)]
    rates = [SharedRates(each) for each in counts]
    loop = asyncio.get_running_loop()
    for each in counts:
        each.start(loop.call_soon_threadsafe)
    took: list[float] = []
    for n in range(20):
        await one(rates[n % servers], key(n % keys))
    before, begun = sum(each.transactions for each in counts), time.perf_counter()

    async def caller(number: int) -> None:
        while time.perf_counter() - begun < seconds:
            took.append(await one(rates[number % servers], key(number % keys)))

    await asyncio.gather(*map(caller, range(callers)))
    elapsed = time.perf_counter() - begun
    done = sum(each.transactions for each in counts) - before
    for each, database in zip(counts, databases, strict=True):
        await asyncio.to_thread(each.close)
        database.close()
    took.sort()
    print(
        f"| {servers} | {callers} | {keys} | {statistics.median(took) * 1000:.2f} "
        f"| {took[len(took) * 99 // 100] * 1000:.2f} | {len(took) / elapsed:,.0f} "
        f"| {done / elapsed:,.0f} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("RERANKD_TEST_POSTGRESQL", f"sqlite:///{Path(folder) / 'store.db'}")
        database = open_database(url)
        migrate(database)
        print(f"{database.dialect}: two steps a request\n")
        database.close()
        print("| servers | callers | keys | p50 ms | p99 ms | requests/s | transactions/s |")
        print("|---|---|---|---|---|---|---|")
        for servers, callers, keys in ((1, 1, 1), (1, 32, 1), (1, 32, 32), (2, 32, 1), (4, 64, 1)):
            asyncio.run(row(url, servers=servers, callers=callers, keys=keys, seconds=seconds))


if __name__ == "__main__":
    main()
