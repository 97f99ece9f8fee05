"""`rerankd usage` and `rerankd store`, as an operator runs them."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from rerankd.cli.commands import app
from rerankd.extras import library
from rerankd.store.database import Database
from rerankd.store.export import safe_cell
from rerankd.store.journal import Journal
from rerankd.store.rows import AttemptRow, UsageRow
from rerankd.store.tables import price, usage
from rerankd.store.transfer import HOUR_US, drain

ROW = UsageRow(
    request_id="r1",
    at_us=480_000 * HOUR_US,
    done_us=480_000 * HOUR_US,
    status=200,
    key_name="=cmd()",
    model_answered="m",
    documents=7,
    input_tokens=1000,
    price_id=1,
    charge_nano=250_000_000,
    upstream="acme",
    cost_nano=100_000_000,
    maybe_billed_nano=50_000_000,
    attempts=2,
    tries=(
        AttemptRow(target="acme/m", upstream="acme", error="timeout", cost_id=2,
                   input_tokens=500, maybe_billed_nano=50_000_000),
        AttemptRow(target="acme/m", upstream="acme", status=200, cost_id=2,
                   input_tokens=1000, cost_nano=100_000_000),
    ),
)  # fmt: skip
PRICE: dict[str, Any] = {
    "id": 1,
    "kind": "price",
    "model": "m",
    "currency": "USD",
    "starts_us": 0,
    "added_us": 0,
    "per_1m_input_nano": 250_000_000_000,
}
COST = PRICE | {"id": 2, "kind": "cost", "per_1m_input_nano": 100_000_000_000}
DAY = "2024-10-04"


@pytest.fixture
def where(
    store_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("RERANKD_STORE_URL", store_url)
    monkeypatch.setenv("RERANKD_STORE_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setenv("COLUMNS", "200")
    journal = Journal(tmp_path / "journal", limit_bytes=1 << 30)
    with database.write() as connection:
        connection.execute(sa.insert(price), [PRICE, COST])
    journal.append(ROW)
    journal.append(msgspec.structs.replace(ROW, request_id="r2", status=400, price_id=None,
                                           charge_nano=0, cost_nano=0, maybe_billed_nano=0,
                                           upstream="", tries=(), attempts=0))  # fmt: skip
    drain(database, journal.files[0])
    journal.close()
    return tmp_path


def run(*words: str) -> int:
    """The exit status of a command."""
    try:
        app(list(words), result_action="return_value")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_sums_are_a_table(where: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("usage", "--by", "model,status", "--since", DAY) == 0
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split()[:3] == ["model", "status", "class"]
    assert [line.split() for line in lines] == [
        ["m", "2", "1", "7", "1000", "0", "0", "0.25", "0.1", "0.05"],
        ["m", "4", "1", "7", "1000", "0", "0", "0", "0", "0"],
    ]
    assert run("usage", "--until", DAY) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_rows_are_exported_and_a_spreadsheet_runs_nothing(
    where: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("usage", "--rows", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode())))
    assert [row["request_id"] for row in rows] == ["r1", "r2"]
    assert rows[0]["key_name"] == "'=cmd()"
    assert (rows[0]["charge"], rows[0]["at"]) == ("0.25", "2024-10-04T00:00:00+00:00")
    assert run("usage", "--rows", "--format", "jsonl", "--key", "=cmd()") == 0
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["charge_nano"] for line in lines] == [250_000_000, 0]
    assert lines[0]["key_name"] == "=cmd()"


@pytest.mark.parametrize("rows", [True, False])
def test_parquet_has_types(where: Path, rows: bool) -> None:  # noqa: FBT001 - both
    file = where / "usage.parquet"
    words = ["--rows"] if rows else ["--by", "model,day"]
    assert run("usage", *words, "--format", "parquet", "--output", str(file)) == 0
    found = library("pyarrow.parquet").read_table(file)
    assert found.column("charge_nano").to_pylist() in ([250_000_000, 0], [250_000_000])
    assert str(found.schema.field("charge_nano").type) == "int64"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=x"])
def test_a_cell_that_begins_a_formula_is_text(cell: str) -> None:
    assert safe_cell(cell) == f"'{cell}"
    assert safe_cell(f"x{cell}") == f"x{cell}"
    assert safe_cell(-1) == -1


def test_verify_says_whether_it_adds_up(
    where: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("usage", "verify") == 0
    said = capsys.readouterr().out
    assert "2 rows in 1 hours of 1 journals, charged 0.25, cost 0.1." in said
    with database.write() as connection:
        connection.execute(sa.update(usage).where(usage.c.request_id == "r1").values(charge_nano=3))
    assert run("usage", "verify", "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    assert any("by its price it is 250000000" in problem for problem in verdict["problems"])


@pytest.mark.parametrize(("theirs", "status"), [("0.10", 0), ("0.15", 0), ("0.16", 1), ("0.09", 1)])
def test_an_invoice_is_explained_by_what_was_answered_and_what_may_be_billed(
    where: Path, theirs: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    invoice = where / "invoice.csv"
    invoice.write_text(f"date,upstream,amount\n{DAY},acme,{theirs}\n")
    assert run("usage", "reconcile", str(invoice)) == status
    assert ("not explained" in capsys.readouterr().out) == bool(status)


@pytest.mark.parametrize("text", ["", "date,amount\n", f"date,upstream,amount\n{DAY},acme,1e3\n"])
def test_an_invoice_of_another_form_is_refused(where: Path, text: str) -> None:
    invoice = where / "invoice.csv"
    invoice.write_text(text)
    with pytest.raises(Exception, match="invoice"):
        run("usage", "reconcile", str(invoice))


def test_what_is_asked_wrongly_is_said(where: Path) -> None:
    with pytest.raises(Exception, match="there are key, team"):
        run("usage", "--by", "colour")
    with pytest.raises(Exception, match="--rows is for"):
        run("usage", "--rows")


def test_a_store_is_checked_migrated_and_backed_up(
    where: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("store", "check") == 0
    assert run("store", "migrate") == 0
    assert "has the tables of this version" in capsys.readouterr().out
    to = where / "copy.db"
    if database.file is None:
        with pytest.raises(Exception, match="pg_dump"):
            run("store", "backup", str(to))
        return
    assert run("store", "backup", str(to)) == 0
    with closing(sqlite3.connect(to)) as copy:
        assert copy.execute("select count(*) from usage").fetchone() == (2,)
