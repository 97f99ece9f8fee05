"""Limits and budgets are the server's: exact whichever worker does the work, or ends with it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from rerankd.access.fields import KeyFields
from rerankd.accounts.budget import Owner, Unit
from rerankd.accounts.written import WrittenBudget
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database
from rerankd.store.keys import KeyRepo
from tests.kit.live import not_at_midnight, until
from tests.kit.processes import PATIENCE_S, Server, serving

MOST = 8  # requests that each limit lets through
ASKED = 40
TOKENS = 484  # of one request
LETTERS = "abcdefghijk"
SERVE = ["-m", "rerankd", "serve", "--model", "rerankd-mini", "--port", "0", "--workers", "2"]


def ask(server: Server, key: str, number: int) -> httpx2.Response:
    """A request of the same number of tokens whatever its number; no two have a text in common."""
    first, second = LETTERS[number // 10], LETTERS[number % 10]
    documents = [f"{first} {second} {third} " + "river bank " * 20 for third in LETTERS]
    return httpx2.post(
        f"{server.url}/v1/rerank",
        json={"query": "money", "documents": documents},
        headers={"authorization": f"Bearer {key}"},
        timeout=PATIENCE_S,
    )


def workers(server: Server, key: str) -> list[dict[str, Any]]:
    """What /v1/workers lists."""
    headers = {"authorization": f"Bearer {key}"}
    found = httpx2.get(f"{server.url}/v1/workers", headers=headers, timeout=PATIENCE_S)
    return json.loads(found.content)["data"]


def outcomes(answers: list[httpx2.Response]) -> Counter[tuple[int, str | None]]:
    """How many had which status and reason."""
    return Counter((r.status_code, r.headers.get("x-rerankd-reason")) for r in answers)


def test_limits_of_keys_and_budgets_are_exact_over_two_workers_of_which_one_is_killed(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    not_at_midnight()
    keys, budgets = KeyRepo(database), BudgetRepo(database)
    limits = {"rpm": MOST, "tpm": MOST * TOKENS, "rpd": MOST, "tpd": MOST * TOKENS}
    secrets = {
        n: keys.create(msgspec.convert({"name": n, n: limits[n]}, KeyFields))[1] for n in limits
    }
    held: dict[Unit, int] = {"requests": MOST, "tokens": MOST * TOKENS}
    for unit, amount in held.items():
        row, secrets[unit] = keys.create(KeyFields(name=unit))
        budgets.set(Owner("key", row.id), WrittenBudget(unit=unit, amount=amount, window="total"))
    _, reader = keys.create(KeyFields(name="reader", role="read"))
    _, free = keys.create(KeyFields(name="free"))
    env = {"RERANKD_STORE_URL": store_url, "RERANKD_STORE_JOURNAL": str(tmp_path / "journal")}
    with (
        serving(SERVE, env=env, log=tmp_path / "log") as server,
        ThreadPoolExecutor(12) as pool,
    ):
        took = {ask(server, free, n).json()["usage"]["total_tokens"] for n in range(0, ASKED, 9)}
        assert took == {TOKENS}

        def asked(name: str) -> list[httpx2.Response]:
            sent = [pool.submit(ask, server, secrets[name], n) for n in range(ASKED)]
            return [each.result() for each in sent]

        for name in limits:
            began = time.monotonic()
            found = outcomes(asked(name))
            refilled = (time.monotonic() - began) * MOST / 60 if name.endswith("m") else 0
            assert MOST <= found[200, None] <= MOST + refilled, (name, found)
            assert found[200, None] + found[429, name] == ASKED, (name, found)
        assert all(each["answered"] > 1 for each in workers(server, reader))

        for kills, name in enumerate(held, 1):
            sent = [pool.submit(ask, server, secrets[name], n) for n in range(ASKED)]
            until(lambda last=sent[-1]: last.done() or any(_running(server, reader)))
            os.kill(workers(server, reader)[0]["pid"], signal.SIGKILL)
            found = outcomes([each.result() for each in sent])
            assert found[200, None] + found[402, "quota"] == ASKED, (name, found)
            for _ in range(MOST - found[200, None]):  # held by requests that were then refused
                assert ask(server, secrets[name], 0).status_code == 200
            assert ask(server, secrets[name], 0).status_code == 402
            until(lambda kills=kills: workers(server, reader)[0]["restarts"] == kills)
        assert server.stop() == 0


def _running(server: Server, key: str) -> list[int]:
    """Requests at each worker."""
    return [each["running"] for each in workers(server, key)]
