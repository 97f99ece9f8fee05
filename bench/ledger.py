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

import httpx2
import sqlalchemy as sa
import structlog

from rerankd.access.fields import KeyFields, TeamFields
from rerankd.accounts.budget import Owner
from rerankd.accounts.written import checked_budget
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database, open_database
from rerankd.store.export import ROW_COLUMNS, write
from rerankd.store.keys import KeyRepo
from rerankd.store.migrate import migrate
from rerankd.store.tables import HOUR_KEY, HOUR_SUMS, TOOK, usage, usage_hour
from rerankd.store.teams import TeamRepo
from rerankd.store.transfer import HOUR_US
from rerankd.store.usage import UsageQuery, all_rows, rows, summary, sums
from tests.kit.support import body, running

KEY = "a-key-of-the-benchmark"
HOURS = 24 * 90
FILLED_HOURS = 72  # by one statement
TEAMS = 20


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


def fill(database: Database, count: int, keys: int) -> None:
    """Rows of the 90 days before now, of 20 teams and five models, with their hours: by SQL alone.

    Args:
        database: with empty tables.
        count: rows in all, in steps of equal length.
        keys: that take turns.
    """
    begin_us = (time.time_ns() // 1000 // HOUR_US + 1 - HOURS) * HOUR_US
    row = _row(count, keys, begin_us)
    for first in range(0, HOURS, FILLED_HOURS):
        begin, end = (-(-count * hour // HOURS) for hour in (first, first + FILLED_HOURS))
        if begin == end:
            continue
        each = {c.name: row.get(c.name, _default(c)) for c in usage.columns}
        sums = {name: row.get(name, "0") for name in HOUR_SUMS} | {
            "requests": "1",
            TOOK[0]: f"case when {row['total_us']} <= 10000 then 1 else 0 end",
            TOOK[1]: f"case when {row['total_us']} between 10001 and 30000 then 1 else 0 end",
            TOOK[2]: f"case when {row['total_us']} between 30001 and 100000 then 1 else 0 end",
        }
        of = {
            "hour_us": f"{row['at_us']} / {HOUR_US} * {HOUR_US}",
            "model": row["model_answered"],
            "status_class": f"{row['status']} / 100",
        }
        of = {name: of.get(name) or row.get(name, "''") for name in HOUR_KEY}
        grouped = " group by " + ", ".join(str(n) for n in range(1, len(of) + 1))
        added = ", ".join(f"sum({term})" for term in sums.values())
        with database.write() as connection:
            for table, names, asked, tail in (
                (usage, each, ", ".join(each.values()), ""),
                (usage_hour, {**of, **sums}, f"{', '.join(of.values())}, {added}", grouped),
            ):
                connection.exec_driver_sql(
                    f"with recursive counted(n) as (select cast({begin} as bigint) union all "  # noqa: S608 - ours
                    f"select n + 1 from counted where n < {end - 1}) "
                    f"insert into {table.name} ({', '.join(names)}) select {asked} from counted"
                    f"{tail}"
                )


def _row(count: int, keys: int, begin_us: int) -> dict[str, str]:
    """Row `n` as SQL, by column; those that are not here have their default."""
    at = f"({begin_us} + n * {HOURS * HOUR_US // count})"
    return {
        "entry": "'bench-000000:' || substr(cast(1000000000 + n as text), 2)",
        "request_id": "'r' || cast(n as text)",
        "at_us": at,
        "done_us": f"({at} + 1000)",
        "status": "(case when n % 53 = 0 then 429 else 200 end)",
        "key_id": f"(1 + n % {keys})",
        "key_name": f"'key-' || cast(n % {keys} as text)",
        "team_id": f"(1 + n % {TEAMS})",
        "model_answered": f"'model-' || cast(n / {keys} % 5 as text)",
        "dialect": "'superset'",
        "documents": "50",
        "pairs": "50",
        "input_tokens": "10000",
        "charge_nano": "(n % 1000)",
        "total_us": "(n % 100000)",
    }


def _default(column: sa.Column[Any]) -> str:
    if column.nullable:
        return "null"
    return "''" if isinstance(column.type, sa.Text) else "0"


def fill_owners(database: Database, keys: int) -> None:
    """The keys and teams of the rows, with a monthly budget each that is nearly used up."""
    key_repo, team_repo, budgets = KeyRepo(database), TeamRepo(database), BudgetRepo(database)
    for n in range(TEAMS):
        team_repo.create(TeamFields(name=f"team-{n}"))
    for n in range(keys):
        row, _ = key_repo.create(KeyFields(name=f"key-{n}", team=f"team-{n % TEAMS}"))
        budgets.set(Owner("key", row.id), checked_budget("requests", "10", "month", "UTC"))


async def page(database: Database, url: str) -> dict[str, float]:
    """Milliseconds of the console's first page over a filled store; the slowest of ten.

    The answer of /admin/v1/overview alone, and /ui as a browser is sent it. `start` is until the
    server answers at all.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    made = KeyFields(name=f"operator-{time.time_ns()}", role="admin")
    _, key = KeyRepo(database).create(made)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        store = {"url": url, "journal": f"{folder}/journal"}
        async with running({"store": store, "admin": {"hosts": ["test"]}}) as (client, _):
            found = {"start": 1000 * (time.perf_counter() - begin)}
            headers = {"authorization": f"Bearer {key}"}
            found["/admin/v1/overview"] = await _slowest(client, "/admin/v1/overview", headers)
            sent = await client.post("/ui/sign-in", data={"key": key})
            if sent.status_code != 303:
                raise SystemExit(sent.text)
            found["/ui"] = await _slowest(client, "/ui", {})
    return found


async def _slowest(client: httpx2.AsyncClient, path: str, headers: dict[str, str]) -> float:
    times: list[float] = []
    for _ in range(10):
        begin = time.perf_counter()
        answer = await client.get(path, headers=headers)
        times.append(time.perf_counter() - begin)
        if answer.status_code != 200:
            raise SystemExit(answer.text)
    return 1000 * max(times)


def large(database: Database) -> dict[str, float]:
    """Milliseconds of what a console asks, the slowest of three."""
    begin, end = _filled(database)
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
    until = _filled(database)[0] + HOURS // 10 * HOUR_US
    before, started = _peak_mb(), time.perf_counter()
    with Path(os.devnull).open("wb") as out:
        count = write(out, "csv", ROW_COLUMNS, all_rows(database, UsageQuery(until_us=until)))
    return {
        "rows": count,
        "s": time.perf_counter() - started,
        "peak before, MB": before,
        "peak after, MB": _peak_mb(),
    }


def _filled(database: Database) -> tuple[int, int]:
    """The hours that a store was filled with: the first, and the one behind the last."""
    with database.read() as connection:
        last = connection.execute(sa.select(sa.func.max(usage_hour.c.hour_us))).scalar_one()
    return last - (HOURS - 1) * HOUR_US, last + HOUR_US


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
    much.add_argument("--keys", type=int, default=200)
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
        started = time.perf_counter()
        fill(database, given.rows, given.keys)
        fill_owners(database, given.keys)
        print(f"filled in {time.perf_counter() - started:.0f} s")
    shown = asyncio.run(page(database, given.store))
    print(json.dumps({"page": shown, "ms": large(database), "export": export(database)}, indent=1))


if __name__ == "__main__":
    main()
