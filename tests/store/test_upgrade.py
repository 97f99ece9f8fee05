"""Stores as older versions left them (record.py): brought up, they lose nothing and serve on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from rerankd.store import migrate as migrations
from rerankd.store.database import open_database
from rerankd.store.migrate import migrate, newest, revision
from rerankd.store.tables import METADATA
from rerankd.store.verify import verify
from tests.kit.processes import PATIENCE_S, serving

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
SETTINGS = """
models = ["rerankd-lexical"]

[[price]]
model = "rerankd-lexical"
per_1m_input_tokens = "0.10"
minimum = "0.000002"
"""


def value(found: Any) -> Any:
    """As SQLite holds it."""
    match found:
        case {"hex": str(written)}:
            return bytes.fromhex(written)
        case _:
            return found


def config_of() -> Any:
    return migrations._config()  # pyright: ignore[reportPrivateUsage]


def in_sqlite(url: str, recorded: dict[str, Any]) -> None:
    """The file itself, by the statements that made it."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        for statement in recorded["schema"].values():
            connection.execute(statement)
        for name, table in recorded["tables"].items():
            places = ", ".join("?" * len(table["columns"]))
            columns = ", ".join(f'"{column}"' for column in table["columns"])
            rows = [[value(each) for each in row] for row in table["rows"]]
            connection.executemany(f'insert into "{name}" ({columns}) values ({places})', rows)  # noqa: S608 - recorded names
        connection.commit()


def in_postgresql(url: str, recorded: dict[str, Any]) -> None:
    """Tables by the migrations of that revision, with the recorded rows."""
    opened = open_database(url)
    config = config_of()
    with opened.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, recorded["revision"])
    with opened.write() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        for table in found.sorted_tables:
            held = recorded["tables"].get(table.name, {"rows": []})
            if table.name == "alembic_version":
                continue
            for row in held["rows"]:
                said = dict(zip(held["columns"], map(value, row), strict=True))
                connection.execute(sa.insert(table), [_typed(table, said)])
            identity = [c for c in table.c if c.identity is not None or _counts(c)]
            for column in identity:
                largest = connection.execute(sa.select(sa.func.max(column))).scalar_one()
                if largest is not None:
                    sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
                    connection.execute(sa.select(sa.func.setval(sequence, largest)))
    opened.close()


def _counts(column: sa.Column[Any]) -> bool:
    return "nextval" in str(getattr(column.server_default, "arg", ""))


def _typed(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """SQLite's numbers and texts as PostgreSQL's booleans and JSON."""
    made: dict[str, Any] = {}
    for name, held in row.items():
        kind = table.c[name].type
        if held is not None and isinstance(kind, sa.Boolean):
            made[name] = bool(held)
        elif held is not None and isinstance(kind, sa.JSON):
            made[name] = json.loads(held)
        else:
            made[name] = held
    return made


Build = Callable[[str, dict[str, Any]], None]


def built(url: str, path: Path) -> dict[str, Any]:
    """The recording, which then is the store at this URL."""
    recorded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    build: Build = in_sqlite if url.startswith("sqlite") else in_postgresql
    build(url, recorded)
    return recorded


def test_every_older_revision_is_recorded() -> None:
    known = {
        script.revision for script in ScriptDirectory.from_config(config_of()).walk_revisions()
    }
    assert known - {newest()} <= {path.stem for path in RECORDED}, "run tests/store/record.py"
    assert RECORDED


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recording_is_what_its_migrations_make(path: Path, tmp_path: Path) -> None:
    """A migration that was released is never changed: stores of it exist."""
    recorded = json.loads(path.read_text("utf-8"))
    opened = open_database(f"sqlite:///{tmp_path}/made.db")
    config = config_of()
    with opened.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, recorded["revision"])
    asked = sa.text("select name, sql from sqlite_master where sql is not null")
    with opened.read() as connection:
        made = {name: sql for name, sql in connection.execute(asked) if "sqlite_" not in name}
    opened.close()
    assert made == recorded["schema"]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_store_of_an_older_version_loses_nothing_and_serves_on(
    path: Path, store_url: str, tmp_path: Path
) -> None:
    recorded = built(store_url, path)
    is_older = recorded["revision"] != newest()
    opened = open_database(store_url)
    assert revision(opened) == recorded["revision"]
    copy = migrate(opened, backed_up=True)
    assert (copy is not None) == (is_older and opened.file is not None)

    with opened.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        for table in METADATA.sorted_tables:
            count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            before = recorded["tables"].get(table.name)
            assert before is None or count == len(before["rows"]), table.name
    verdict = verify(opened, None)
    assert verdict.ok, verdict.problems
    rows = verdict.rows
    assert rows == len(recorded["tables"]["usage"]["rows"])

    (tmp_path / "rerankd.toml").write_text(SETTINGS)
    serve = ["-m", "rerankd", "serve", "--port", "0", "--config", str(tmp_path / "rerankd.toml")]
    env = {"RERANKD_STORE_URL": store_url, "RERANKD_STORE_JOURNAL": str(tmp_path / "journal")}
    with serving(serve, env=env) as server:
        statuses = {}
        for name, key in recorded["keys"].items():
            answer = httpx2.post(
                f"{server.url}/v1/rerank",
                json={"query": "capital of France", "documents": ["Paris"]},
                headers={"authorization": f"Bearer {key}"},
                timeout=PATIENCE_S,
            )
            statuses[name] = answer.status_code
        assert statuses == {"site": 200, "operator": 200, "gone": 401}
        assert server.stop() == 0
    verdict = verify(opened, None)
    assert verdict.ok, verdict.problems
    assert verdict.rows == rows + 2
    opened.close()
