"""Real servers that share a store: limits hold for all of them, also when one is killed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rerankd.access.fields import KeyFields
from rerankd.accounts.budget import Owner
from rerankd.accounts.written import WrittenBudget
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database
from rerankd.store.keys import KeyRepo
from tests.kit.live import SLOW, in_flight, metric, not_at_midnight, rank, until
from tests.kit.processes import PATIENCE_S, Server, serving, starting

SHARED = "[store]\nshared = true\n[limits]\nwait_s = 60\n"


@contextlib.contextmanager
def server(url: str, folder: Path, name: str) -> Generator[Server]:
    """A server whose model is slow, on a store that others share."""
    config = folder / f"{name}.toml"
    config.write_text(SHARED)
    env = {"RERANKD_STORE_URL": url, "RERANKD_STORE_JOURNAL": str(folder / name)}
    with serving([SLOW, str(config)], env=env, log=folder / f"{name}.log") as running:
        yield running


def test_limits_hold_over_two_servers_and_what_a_killed_one_answered_is_free_again(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    not_at_midnight()
    _, daily = KeyRepo(database).create(KeyFields(name="daily", rpd=30))
    row, paid = KeyRepo(database).create(KeyFields(name="paid"))
    budget = WrittenBudget(unit="requests", amount=20, window="total")
    BudgetRepo(database).set(Owner("key", row.id), budget)
    _, slow = KeyRepo(database).create(KeyFields(name="slow", in_flight=3))
    with (
        server(store_url, tmp_path, "a") as a,
        server(store_url, tmp_path, "b") as b,
        ThreadPoolExecutor(20) as pool,
    ):
        until(lambda: metric(a.url, "rerankd_shared_servers") == 2)
        urls = [a.url, b.url] * 30
        asked = [pool.submit(rank, url, 1, key=daily) for url in urls]
        answers = [each.result() for each in asked]
        found = Counter((r.status_code, r.headers.get("x-rerankd-reason")) for r in answers)
        assert found == {(200, None): 30, (429, "rpd"): 30}
        left = [r.headers["x-ratelimit-remaining-requests"] for r in answers]
        assert left.count("0") >= 31

        asked = [pool.submit(rank, url, 1, key=paid) for url in urls]
        found = Counter(each.result().status_code for each in asked)
        while found[200] < 20:  # all of it was held, by requests that were then answered
            assert rank(a.url, 1, key=paid).status_code == 200
            found[200] += 1
        assert found[200] == 20
        assert [rank(url, 1, key=paid).status_code for url in (a.url, b.url)] == [402, 402]

        held = [pool.submit(rank, b.url, 1500, key=slow) for _ in range(3)]
        until(lambda: in_flight(b.url) == 3)
        refused = rank(a.url, 1, key=slow)
        assert (refused.status_code, refused.headers["x-rerankd-reason"]) == (429, "in_flight")
        os.killpg(b.process.pid, signal.SIGKILL)
        assert all(each.exception(PATIENCE_S) is not None for each in held)
        until(lambda: rank(a.url, 1, key=slow).status_code == 200)
        until(lambda: metric(a.url, "rerankd_shared_servers") == 1)
        assert a.stop() == 0


def test_a_server_that_does_not_share_is_refused_beside_those_that_do(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    del database
    env = {"RERANKD_STORE_URL": store_url, "RERANKD_STORE_JOURNAL": str(tmp_path / "alone")}
    log = tmp_path / "alone.log"
    with server(store_url, tmp_path, "a") as a:
        until(lambda: metric(a.url, "rerankd_shared_servers") == 1)
        with starting([SLOW], env=env, log=log) as process:
            assert process.wait(PATIENCE_S) == 1
        assert "[store] shared" in log.read_text()
        assert a.stop() == 0
    with serving([SLOW], env=env, log=log) as again:
        assert again.stop() == 0
