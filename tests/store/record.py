"""Records a store of this version, for versions to come: tests/store/test_upgrade.py brings it up.

Run once per revision of the tables, before the next one is written: python tests/store/record.py
makes recorded/REVISION.json of a store with keys, a team, prices, budgets, a payment and requests.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root: this is run by its path

from rerankd.store.migrate import newest
from tests.kit.processes import PATIENCE_S, serving

HERE = Path(__file__).parent / "recorded"
SETTINGS = """
models = ["rerankd-lexical"]

[[price]]
model = "rerankd-lexical"
per_1m_input_tokens = "0.10"
minimum = "0.000002"
"""
COMMANDS = (
    ("teams", "create", "search", "--rpm", "1000"),
    ("keys", "create", "site", "--team", "search", "--tpm", "100000", "--tags", "a,b"),
    ("keys", "create", "operator", "--admin", "--networks", "127.0.0.0/8"),
    ("keys", "create", "gone", "--expires", "2099-01-01"),
    ("budgets", "set", "20 USD/month", "--key", "site", "--tz", "Europe/Berlin"),
    ("budgets", "set", "1000000 tokens/day", "--team", "search"),
    ("budgets", "top-up", "5", "--key", "site", "--id", "invoice-1"),
    ("keys", "revoke", "gone"),
)


def run(store: str, *command: str) -> str:
    """What `rerankd` prints as JSON."""
    program = [sys.executable, "-m", "rerankd", *command, "--store", store]
    with_json = [] if command[1] == "revoke" else ["--json"]
    done = subprocess.run([*program, *with_json], check=True, capture_output=True, text=True)
    return done.stdout


def requests(store: str, folder: Path, secrets: dict[str, str]) -> None:
    """Some that are answered, one that is refused, in a server that ends by itself."""
    (folder / "rerankd.toml").write_text(SETTINGS)
    command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(folder / "rerankd.toml")]
    with serving(command, env={"RERANKD_STORE_URL": store}) as server:
        for key, documents in (("site", 3), ("site", 120), ("operator", 1), ("gone", 1)):
            httpx2.post(
                f"{server.url}/v1/rerank",
                json={"query": "capital of France", "documents": ["Paris"] * documents},
                headers={"authorization": f"Bearer {secrets[key]}"},
                timeout=PATIENCE_S,
            )
        time.sleep(1)  # two seconds of the clock have rows
        if server.stop() != 0:
            raise SystemExit("the server did not end well")


def dumped(file: Path) -> dict[str, Any]:
    """Schema and rows, as JSON can hold them: bytes as {"hex": …}."""
    with closing(sqlite3.connect(file)) as connection:
        asked = "select name, sql from sqlite_master where sql is not null order by rootpage, name"
        schema = dict(connection.execute(asked).fetchall())
        tables: dict[str, Any] = {}
        asked = "select name from sqlite_master where type = 'table' order by rootpage"
        for (name,) in connection.execute(asked).fetchall():
            if name.startswith("sqlite_"):
                continue
            found = connection.execute(f'select * from "{name}"')  # noqa: S608 - its own name
            columns = [column[0] for column in found.description]
            rows = [[{"hex": v.hex()} if isinstance(v, bytes) else v for v in row] for row in found]
            tables[name] = {"columns": columns, "rows": rows}
    schema = {name: sql for name, sql in schema.items() if not name.startswith("sqlite_")}
    return {"schema": schema, "tables": tables}


def main() -> None:
    """Write the recording of the newest revision."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = folder / "rerankd.db"
        store = f"sqlite:///{file}"
        secrets: dict[str, str] = {}
        for command in COMMANDS:
            printed = run(store, *command)
            if command[:2] == ("keys", "create"):
                secrets[command[2]] = json.loads(printed)["key"]
        requests(store, folder, secrets)
        recorded = {"revision": newest(), "keys": secrets, **dumped(file)}
    HERE.mkdir(exist_ok=True)
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    text = text.replace(f"-{socket.gethostname()}-", "-server-")  # in the names of journals
    (HERE / f"{newest()}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
