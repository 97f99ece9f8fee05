"""Every line becomes one row, once, whatever happens on the way; and the hours are their sums."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerankd.store import transfer
from rerankd.store.database import Database, StoreAway
from rerankd.store.journal import Journal
from rerankd.store.rows import COLUMNS, AttemptRow, UsageRow
from rerankd.store.tables import HOUR_KEY, HOUR_SUMS, attempt, journal_offset, usage, usage_hour
from rerankd.store.transfer import HOUR_US, drain, drained_position, hour_sums

ROW = UsageRow(
    request_id="r",
    at_us=5 * HOUR_US + 17,
    done_us=5 * HOUR_US + 2_000_017,
    status=200,
    key_id=3,
    key_name="search",
    team_id=4,
    team="web",
    model_answered="m",
    route="x",
    upstream="u",
    dialect="jina",
    documents=7,
    input_tokens=100,
    charge_nano=50,
    cost_nano=20,
    total_us=2_000_000,
    attempts=2,
    tries=(
        AttemptRow(target="t/m", upstream="t", error="timeout", took_us=5, maybe_billed_nano=1),
        AttemptRow(target="u/m", upstream="u", status=200, tokens=100, cost_nano=20),
    ),
)


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal]:
    opened = Journal(tmp_path / "journal", limit_bytes=1 << 30)
    yield opened
    opened.close()


def drain_all(database: Database, journal: Journal) -> None:
    while any(drain(database, file) for file in journal.files):
        pass


def ids(database: Database) -> list[str]:
    with database.read() as connection:
        return list(
            connection.execute(sa.select(usage.c.request_id).order_by(usage.c.entry)).scalars()
        )


def same_hours(database: Database) -> bool:
    """Whether usage_hour is what the rows of usage add up to."""
    with database.read() as connection:
        found = connection.execute(sa.select(usage)).mappings().all()
        hours = connection.execute(sa.select(usage_hour)).mappings().all()
    rows = [msgspec.convert({name: row[name] for name in COLUMNS}, UsageRow) for row in found]
    kept = [dict(hour) for hour in hours]
    return sorted(kept, key=str) == sorted(hour_sums(rows), key=str)


def test_a_line_becomes_a_row_its_attempts_and_a_part_of_its_hour(
    database: Database, journal: Journal
) -> None:
    end = journal.append(ROW)
    assert drain(database, journal.files[0]) == end
    assert drain(database, journal.files[0]) == 0
    with database.read() as connection:
        (row,) = connection.execute(sa.select(usage)).mappings()
        tries = connection.execute(sa.select(attempt).order_by(attempt.c.n)).mappings().all()
        (hour,) = connection.execute(sa.select(usage_hour)).mappings()
        (offset,) = connection.execute(sa.select(journal_offset)).mappings()
    assert row["entry"] == f"{journal.files[0].name}:000000000"
    assert {name: row[name] for name in COLUMNS} == {name: getattr(ROW, name) for name in COLUMNS}
    assert [(each["n"], each["upstream"], each["maybe_billed_nano"]) for each in tries] == [
        (1, "t", 1),
        (2, "u", 0),
    ]
    assert {name: hour[name] for name in HOUR_KEY} == {
        "hour_us": 5 * HOUR_US,
        "key_id": 3,
        "key_name": "search",
        "team_id": 4,
        "model": "m",
        "route": "x",
        "upstream": "u",
        "dialect": "jina",
        "status_class": 2,
    }
    said = {"requests": 1, "documents": 7, "input_tokens": 100, "charge_nano": 50, "cost_nano": 20}
    said |= {"total_us": 2_000_000, "took_3000ms": 1}
    assert {name: hour[name] for name in HOUR_SUMS if hour[name]} == said
    assert (offset["offset"], offset["lines"], offset["charge_nano"]) == (end, 1, 50)
    assert journal.backlog_bytes == 0


def test_many_lines_and_many_files_come_in_order(database: Database, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "small", limit_bytes=1 << 30, rotate_bytes=20_000)
    said = [f"r{n}" for n in range(1234)]
    positions = [journal.append(msgspec.structs.replace(ROW, request_id=each)) for each in said]
    assert len(journal.files) > 3
    drain(database, journal.files[0])
    with database.read() as connection:
        reached = drained_position(connection, journal)
    assert ids(database) == said[: positions.index(reached) + 1]
    drain_all(database, journal)
    assert ids(database) == said
    with database.read() as connection:
        assert drained_position(connection, journal) == positions[-1]
    assert same_hours(database)
    journal.close()


def test_nothing_is_drained_of_a_process_that_wrote_nothing(
    database: Database, journal: Journal
) -> None:
    with database.read() as connection:
        assert drained_position(connection, journal) == 0


@pytest.mark.parametrize("broken", ["_write", "_advance"])
def test_what_fails_in_the_middle_leaves_nothing_and_goes_on_exactly(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    for n in range(3):
        journal.append(msgspec.structs.replace(ROW, request_id=f"r{n}"))

    real = getattr(transfer, broken)

    def away(*given: object) -> None:
        real(*given)
        raise StoreAway("the server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(transfer, broken, away)
        with pytest.raises(StoreAway):
            drain(database, journal.files[0])
    assert ids(database) == []
    drain_all(database, journal)
    assert ids(database) == ["r0", "r1", "r2"]
    assert same_hours(database)


def test_a_commit_that_nobody_learned_of_is_not_done_twice(
    database: Database, journal: Journal
) -> None:
    journal.append(ROW)
    drain(database, journal.files[0])
    journal.files[0].drained = 0  # as if the answer of the database had been lost
    journal.append(msgspec.structs.replace(ROW, request_id="s"))
    drain_all(database, journal)
    assert ids(database) == ["r", "s"]
    assert same_hours(database)


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b'{"request_id":"x"}\n',
        b'{"request_id":"x","at_us":"soon","done_us":1,"status":200}\n',
        b'{"request_id":"\xff","at_us":1,"done_us":1,"status":200}\n',
        b'{"request_id":"x","at_us":99999999999999999999,"done_us":1,"status":200}\n',
    ],
)
def test_a_line_that_is_no_row_is_put_aside_and_the_others_go_on(
    database: Database, journal: Journal, line: bytes
) -> None:
    journal.append(ROW)
    file = journal.files[0]
    with file.path.open("ab") as out:
        out.write(line)
    file.size += len(line)
    journal.append(msgspec.structs.replace(ROW, request_id="s"))
    drain_all(database, journal)
    assert ids(database) == ["r", "s"]
    (aside,) = journal.folder.glob("*.unread")
    assert msgspec.json.decode(aside.read_bytes())["line"].encode("latin-1") + b"\n" == line
    assert aside.stat().st_mode & 0o777 == 0o600
    assert same_hours(database)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
NUMBER = st.integers(0, 2**40)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(
            UsageRow,
            request_id=TEXT,
            at_us=st.integers(0, 3 * HOUR_US),
            done_us=NUMBER,
            status=st.sampled_from([200, 400, 429, 499, 503]),
            key_id=st.none() | st.integers(1, 2),
            key_name=st.sampled_from(["", "a"]),
            model_answered=st.sampled_from(["", "m", "ü"]),
            end_user=TEXT,
            input_tokens=st.none() | NUMBER,
            charge_nano=NUMBER,
            total_us=st.integers(0, 2 * 10**7),
        ),
        max_size=12,
    ),
    most=st.integers(1, 5),
)
def test_hours_are_the_sums_of_any_rows_in_any_batches(
    database: Database, journal: Journal, rows: list[UsageRow], most: int
) -> None:
    for each in rows:
        journal.append(each)
    before = transfer.LINES
    transfer.LINES = most  # type: ignore[misc]
    try:
        drain_all(database, journal)
    finally:
        transfer.LINES = before  # type: ignore[misc]
    assert same_hours(database)
    with database.read() as connection:
        lines = connection.execute(sa.select(sa.func.sum(journal_offset.c.lines))).scalar() or 0
        assert connection.execute(sa.select(sa.func.count()).select_from(usage)).scalar() == lines
