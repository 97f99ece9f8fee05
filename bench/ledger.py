"""What the usage ledger costs a reply, and how a large one is asked.

    uv run --group dev python bench/ledger.py reply                     # some seconds
    uv run --group dev python bench/ledger.py large --rows 10000000 --store sqlite:////tmp/large.db

`reply` sends requests in turn to an app with and without a store, in one process, on a model that
costs nothing. `large` fills an empty store, then asks what consoles ask and exports a million rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import sqlalchemy as sa
import structlog

from rerankd.store.database import Database, open_database
from rerankd.store.export import ROW_COLUMNS, write
from rerankd.store.migrate import migrate
from rerankd.store.rows import COLUMNS, UsageRow
from rerankd.store.tables import usage
from rerankd.store.transfer import HOUR_US, add_hours, hour_sums
from rerankd.store.usage import UsageQuery, all_rows, rows, summary, sums
from tests.kit.support import body, running

KEY = "a-key-of-the-benchmark"
HOURS = 24 * 90
BATCH = 5000


async def reply(requests: int, durability: str) -> dict[str, float]:
    """Medians of the time of a reply, in ms, without and with a store."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    keys = {"keys": [{"name": "bench", "key": KEY}]}
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("RERANKD_TEST_POSTGRESQL") or f"sqlite:///{folder}/x.db"
        store = {"url": url, "journal": f"{folder}/journal", "durability": durability}
        async with running(keys) as (plain, _), running(keys | {"store": store}) as (kept, _):
            times: dict[str, list[float]] = {"without": [], "with": []}
            for n in range(requests):
                pair = [("without", plain), ("with", kept)]
                for name, client in pair if n % 2 else pair[::-1]:
                    begin = time.perf_counter()
                    headers = {"authorization": f"Bearer {KEY}"}
                    answer = await client.post("/v1/rerank", json=body(), headers=headers)
                    times[name].append(time.perf_counter() - begin)
                    answer.raise_for_status()
    found = {name: 1000 * statistics.median(each[50:]) for name, each in times.items()}
    return found | {"cost": found["with"] - found["without"]}


def fill(database: Database, count: int) -> None:
    """Rows of 90 days, 200 keys and five models, with their hours."""
    for first in range(0, count, BATCH):
        made = [_row(n, count) for n in range(first, min(first + BATCH, count))]
        with database.write() as connection:
            connection.execute(
                sa.insert(usage),
                [
                    {"entry": f"bench-000000:{first + i:09}"}
                    | {name: getattr(row, name) for name in COLUMNS}
                    for i, row in enumerate(made)
                ],
            )
            add_hours(database, connection, hour_sums(made))


def _row(n: int, count: int) -> UsageRow:
    at = (480_000 + HOURS * n // count) * HOUR_US + n % HOUR_US
    return UsageRow(
        request_id=f"r{n}",
        at_us=at,
        done_us=at + 1000,
        status=200 if n % 50 else 429,
        key_id=1 + n % 200,
        key_name=f"key-{n % 200}",
        team_id=1 + n % 20,
        model_answered=f"model-{n % 5}",
        dialect="superset",
        documents=50,
        input_tokens=10_000,
        charge_nano=n % 1000,
        total_us=n % 100_000,
    )


def large(database: Database) -> dict[str, float]:
    """Milliseconds of what a console asks, the slowest of three."""
    begin, end = 480_000 * HOUR_US, (480_000 + HOURS) * HOUR_US
    month = UsageQuery(since_us=end - 30 * 24 * HOUR_US, until_us=end)
    day = UsageQuery(since_us=end - 24 * HOUR_US)
    middle = (begin + (end - begin) // 2, "")
    asked: dict[str, Callable[[sa.Connection], Any]] = {
        "newest rows": lambda c: rows(c, UsageQuery(), limit=100),
        "rows in the middle": lambda c: rows(c, UsageQuery(), limit=100, after=middle),
        "rows of a key": lambda c: rows(c, UsageQuery(key_id=7), limit=100),
        "rows of a team": lambda c: rows(c, UsageQuery(team_id=7), limit=100),
        "rows of a model": lambda c: rows(c, UsageQuery(model="model-3"), limit=100),
        "one request": lambda c: rows(c, UsageQuery(request_id="r77"), limit=100),
        "24 hours by hour": lambda c: sums(c, day, (), width_us=HOUR_US),  # the overview's
        "30 days by day and model": lambda c: summary(c, month, now_us=end, by=["model"], limit=30),
        "30 days by key": lambda c: sums(c, month, ["key"]),
        "30 days by team": lambda c: sums(c, month, ["team"]),
        "a key's 90 days by day": lambda c: sums(c, UsageQuery(key_id=7), ["day"]),
    }
    found: dict[str, float] = {}
    for name, ask in asked.items():
        worst = 0.0
        for _ in range(3):
            started = time.perf_counter()
            with database.read() as connection:
                ask(connection)
            worst = max(worst, time.perf_counter() - started)
        found[name] = 1000 * worst
    return found


def export(database: Database) -> dict[str, float]:
    """Seconds and peak memory of exporting a tenth of a large ledger."""
    until = (480_000 + HOURS // 10) * HOUR_US
    before, started = _peak_mb(), time.perf_counter()
    with Path(os.devnull).open("wb") as out:
        count = write(out, "csv", ROW_COLUMNS, all_rows(database, UsageQuery(until_us=until)))
    return {
        "rows": count,
        "s": time.perf_counter() - started,
        "peak before, MB": before,
        "peak after, MB": _peak_mb(),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    cost = commands.add_parser("reply")
    cost.add_argument("--requests", type=int, default=2000)
    cost.add_argument("--durability", choices=["process", "power"], default="process")
    much = commands.add_parser("large")
    much.add_argument("--rows", type=int, default=10_000_000)
    much.add_argument("--store", required=True)
    given = parser.parse_args()
    if given.command == "reply":
        print(json.dumps(asyncio.run(reply(given.requests, given.durability)), indent=1))
        return
    database = open_database(given.store)
    migrate(database)
    with database.read() as connection:
        is_empty = connection.execute(sa.select(usage.c.entry).limit(1)).first() is None
    if is_empty:
        fill(database, given.rows)
    print(json.dumps({"ms": large(database), "export": export(database)}, indent=1))


if __name__ == "__main__":
    main()
