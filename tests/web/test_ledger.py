"""With a store, what became of every request with a good key is on disk before it is answered."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from rerankd.core.errors import StartError
from rerankd.store.accounts import AccountStore
from rerankd.store.database import Database, open_database
from rerankd.store.journal import JournalFull
from rerankd.store.ledger import Ledger
from rerankd.store.rows import UsageRow
from rerankd.store.tables import unauthorized_minute, usage, usage_hour
from rerankd.web.state import State
from tests.kit.support import body, running, settings

KEY = "a-key-of-the-tests"
GOOD = {"authorization": f"Bearer {KEY}"}


def stored(url: str, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {
        "store": {"url": url, "journal": str(tmp_path / "journal"), **more},
        "keys": [{"name": "search", "key": KEY, "rpm": 1000}],
    }


def journalled(state: State) -> list[UsageRow]:
    """The lines that are on disk, in the files of this process."""
    assert state.accounts is not None
    return [
        msgspec.json.decode(line, type=UsageRow)
        for file in state.accounts.ledger.journal.files
        for line in file.path.read_bytes().splitlines()
    ]


def rows(url: str) -> list[dict[str, Any]]:
    database = open_database(url)
    with database.read() as connection:
        found = connection.execute(sa.select(usage).order_by(usage.c.entry)).mappings().all()
    database.close()
    return [dict(row) for row in found]


async def test_an_answer_is_a_row(store_url: str, tmp_path: Path) -> None:
    async with running(stored(store_url, tmp_path)) as (client, state):
        response = await client.post("/v1/rerank", json=body("q", ["a", "bbb"]), headers=GOOD)
        assert response.status_code == 200
        (line,) = journalled(state)
    (row,) = rows(store_url)
    said = {name: row[name] for name in UsageRow.__struct_fields__ if name in row}
    assert said == {name: getattr(line, name) for name in said}
    assert line.request_id == response.headers["x-siliconcloud-trace-id"]
    assert (line.status, line.error, line.key_name, line.key_id) == (200, "", "search", None)
    assert (line.dialect, line.path) == ("superset", "/v1/rerank")
    assert (line.model_asked, line.model_answered) == ("", "fake-model")
    assert (line.documents, line.pairs, line.input_tokens) == (2, 2, 8)
    assert (line.searches, line.tokens_from, line.price_id, line.charge_nano) == (
        1,
        "exact",
        None,
        0,
    )
    assert 0 < line.at_us <= line.done_us
    assert 0 < line.engine_us < line.total_us


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ({"json": {"query": "q"}}, 400, "invalid_request"),
        ({"json": body(model="no-such-model")}, 400, "unknown_model"),
        ({"content": b"not json", "headers": {"content-type": "application/json"}}, 400, ""),
    ],
)
async def test_a_refused_request_with_a_good_key_is_a_row_that_costs_nothing(
    store_url: str, tmp_path: Path, sent: dict[str, Any], status: int, error: str
) -> None:
    sent = sent | {"headers": GOOD | sent.get("headers", {})}
    async with running(stored(store_url, tmp_path)) as (client, state):
        assert (await client.post("/v1/rerank", **sent)).status_code == status
        (line,) = journalled(state)
    assert (line.status, line.charge_nano, line.price_id) == (status, 0, None)
    assert line.error.startswith(error)
    assert [row["status"] for row in rows(store_url)] == [status]


async def test_what_is_refused_before_the_key_is_no_row_and_401s_are_summed(
    store_url: str, tmp_path: Path, database: Database
) -> None:
    async with running(stored(store_url, tmp_path)) as (client, state):
        for _ in range(3):
            bad = {"authorization": "Bearer wrong"}
            assert (await client.post("/v1/rerank", json=body(), headers=bad)).status_code == 401
        assert journalled(state) == []
    with database.read() as connection:
        found = connection.execute(sa.select(unauthorized_minute)).mappings().all()
    assert sum(row["count"] for row in found) == 3
    assert {row["minute_us"] % 60_000_000 for row in found} == {0}
    assert {row["network"] for row in found} == {"127.0.0.0/24"}
    assert rows(store_url) == []


async def test_texts_and_keys_are_nowhere(store_url: str, tmp_path: Path) -> None:
    secret = "nobody-may-read-this"
    async with running(stored(store_url, tmp_path)) as (client, state):
        await client.post("/v1/rerank", json=body(secret, [secret]), headers=GOOD)
        odd = json.dumps(body(model="x\0y\ud800")).encode()
        typed = {"content-type": "application/json"}
        await client.post("/v1/rerank", content=odd, headers=GOOD | typed)
        assert state.accounts is not None
        (file,) = state.accounts.ledger.journal.files
        kept = file.path.read_bytes()
    assert secret.encode() not in kept
    assert KEY.encode() not in kept
    assert [row["status"] for row in rows(store_url)] == [200, 400]


def full(_: object, __: UsageRow) -> int:
    raise JournalFull("no room")


async def test_a_ledger_that_cannot_take_a_row_refuses_the_request(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(stored(store_url, tmp_path)) as (client, state):
        assert state.accounts is not None
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr("rerankd.store.journal.Journal.append", full)
            for _ in range(3):
                refused = await client.post("/v1/rerank", json=body(), headers=GOOD)
                assert (refused.status_code, refused.json()["code"]) == (503, 50505)
                assert refused.headers["retry-after"] == "5"
            assert "rerankd_ledger_refused_total 3.0" in (await client.get("/metrics")).text
        said = [log["event"] for log in logs]
        assert said.count("the ledger takes no rows") == 1
        assert [log["status"] for log in logs if log["event"] == "rerank"] == [503] * 3
        assert (await client.post("/v1/rerank", json=body(), headers=GOOD)).status_code == 200
    assert [row["status"] for row in rows(store_url)] == [200]


async def test_or_serves_it_counted(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = stored(store_url, tmp_path, when_full="serve")
    async with running(values) as (client, _):
        with monkeypatch.context() as patched:
            patched.setattr("rerankd.store.journal.Journal.append", full)
            assert (await client.post("/v1/rerank", json=body(), headers=GOOD)).status_code == 200
        assert "rerankd_ledger_lost_total 1.0" in (await client.get("/metrics")).text
    assert rows(store_url) == []


async def test_power_waits_for_the_disk_together(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = Ledger.__init__.__globals__["Journal"].sync

    def counted(journal: Any) -> None:
        sync(journal)
        synced.append(journal.backlog_bytes)

    monkeypatch.setattr("rerankd.store.journal.Journal.sync", counted)
    values = stored(store_url, tmp_path, durability="power")
    async with running(values) as (client, _):
        sent = [client.post("/v1/rerank", json=body(), headers=GOOD) for _ in range(20)]
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}
    assert 1 <= len(synced) <= 20
    assert len(rows(store_url)) == 20


async def test_a_disk_that_does_not_sync_refuses(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    values = stored(store_url, tmp_path, durability="power")
    async with running(values) as (client, state):
        monkeypatch.setattr("rerankd.store.journal.os.fdatasync", broken)
        assert (await client.post("/v1/rerank", json=body(), headers=GOOD)).status_code == 503
        monkeypatch.undo()
        assert (await client.post("/v1/rerank", json=body(), headers=GOOD)).status_code == 200
        assert state.accounts is not None


def test_a_folder_of_another_store_is_refused(store_url: str, tmp_path: Path) -> None:
    from rerankd.web.assemble import store_of

    first = store_of(settings(**stored(store_url, tmp_path)))
    assert isinstance(first, AccountStore)
    first.close()
    other = stored(f"sqlite:///{tmp_path}/other.db", tmp_path)
    with pytest.raises(StartError, match="holds lines of another store"):
        store_of(settings(**other))


NEVER = """
import asyncio, sys
from tests.kit.support import body, running

async def main():
    async with running({}) as (client, state):
        assert (await client.post("/v1/rerank", json=body())).status_code == 200
        assert "ledger" not in (await client.get("/metrics")).text
        assert state.accounts is None

asyncio.run(main())
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"sqlalchemy", "alembic", "psycopg", "pyarrow", "sqlite3"}))
print([name for name in sys.modules if name.startswith("rerankd.store")])
"""


def test_without_a_store_nothing_is_loaded_and_nothing_written(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", NEVER],
        cwd=tmp_path,
        env={
            "PYTHONPATH": f"{root}:{root / 'src'}",
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines()[-2:] == ["[]", "[]"]
    assert [path for path in tmp_path.iterdir() if path.name != ".cache"] == []


@pytest.mark.parametrize("missing", ["sqlalchemy", "alembic"])
def test_a_store_without_its_libraries_says_how_to_get_them(missing: str, tmp_path: Path) -> None:
    said = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from rerankd.web.assemble import store_of\nfrom rerankd.settings.load import load\n"
        f"store_of(load(None, {{'RERANKD_STORE_URL': 'sqlite:///{tmp_path}/x.db'}}, {{}}).settings)"
    )
    ran = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=False)
    assert "pip install 'rerankd[store]'" in ran.stderr


async def test_old_rows_are_removed_once_they_are_verified(
    store_url: str, tmp_path: Path, database: Database
) -> None:
    async with running(stored(store_url, tmp_path)) as (client, _):
        assert (await client.post("/v1/rerank", json=body(), headers=GOOD)).status_code == 200
    day_us = 86_400_000_000
    with database.write() as connection:
        connection.execute(sa.update(usage).values(at_us=usage.c.at_us - 2 * day_us))
        connection.execute(sa.update(usage_hour).values(hour_us=usage_hour.c.hour_us - 2 * day_us))
    async with running(stored(store_url, tmp_path, retain_days=3)):
        await asyncio.sleep(1)
    assert len(rows(store_url)) == 1
    async with running(stored(store_url, tmp_path, retain_days=1)):
        while rows(store_url):
            await asyncio.sleep(0.05)
    with database.read() as connection:
        assert len(connection.execute(sa.select(usage_hour)).all()) == 1
