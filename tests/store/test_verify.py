"""A ledger that adds up is said to, and one that does not is found wherever it was changed."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from rerankd.store.database import Database
from rerankd.store.journal import Journal
from rerankd.store.retention import remove_before
from rerankd.store.rows import AttemptRow, UsageRow
from rerankd.store.tables import attempt, journal_offset, price, usage, usage_hour
from rerankd.store.transfer import HOUR_US, drain
from rerankd.store.usage import UsageQuery, Width, all_rows, rows, summary, sums
from rerankd.store.verify import verify

# 2 per 1 M tokens, 3 per 1000 searches: in 10^-9
PRICE: dict[str, Any] = {
    "id": 1,
    "kind": "price",
    "model": "m",
    "currency": "USD",
    "starts_us": 0,
    "added_us": 0,
    "per_1m_input_nano": 2_000_000_000,
    "per_1k_search_nano": 3_000_000_000,
}
COST = PRICE | {"id": 2, "kind": "cost", "upstream": "u", "per_1k_search_nano": 0}
ROW = UsageRow(
    request_id="r",
    at_us=HOUR_US,
    done_us=HOUR_US,
    status=200,
    key_name="a",
    model_answered="m",
    dialect="jina",
    documents=7,
    input_tokens=100,
    searches=1,
    price_id=1,
    charge_nano=100 * 2000 + 3_000_000,
)
ROUTED = msgspec.structs.replace(
    ROW,
    key_name="b",
    upstream="u",
    cost_nano=40 * 2000,
    maybe_billed_nano=50 * 2000,
    attempts=2,
    tries=(
        AttemptRow(target="u/x", upstream="u", error="timeout", input_tokens=50, cost_id=2,
                   maybe_billed_nano=50 * 2000),
        AttemptRow(target="u/m", upstream="u", status=200, input_tokens=40, cost_id=2,
                   cost_nano=40 * 2000),
    ),
)  # fmt: skip
FAILED = msgspec.structs.replace(ROW, status=503, charge_nano=0, price_id=None, searches=0)


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal]:
    opened = Journal(tmp_path / "journal", limit_bytes=1 << 30)
    yield opened
    opened.close()


@pytest.fixture
def filled(database: Database, journal: Journal) -> Database:
    """Ten hours of three rows each."""
    with database.write() as connection:
        connection.execute(sa.insert(price), [PRICE | {"upstream": ""}, COST])
    for hour in range(1, 11):
        for n, row in enumerate((ROW, ROUTED, FAILED)):
            at = {"at_us": hour * HOUR_US + n, "request_id": f"r{hour}-{n}"}
            journal.append(msgspec.structs.replace(row, **at))
    while drain(database, journal.files[0]):
        pass
    return database


def test_a_ledger_that_was_left_alone_adds_up(filled: Database, journal: Journal) -> None:
    journal.append(ROW)  # not drained yet: no fault
    verdict = verify(filled, journal.folder)
    assert verdict.problems == []
    assert (verdict.rows, verdict.hours, verdict.journals) == (30, 10, 1)
    assert verdict.charge_nano == 20 * ROW.charge_nano
    assert verdict.cost_nano == 10 * ROUTED.cost_nano


OF_ROUTED = usage.c.request_id == "r3-1"
CHANGES = {
    "a charge": sa.update(usage).where(OF_ROUTED).values(charge_nano=1),
    "a count of tokens": sa.update(usage).where(OF_ROUTED).values(input_tokens=101),
    "a count of searches": sa.update(usage).where(OF_ROUTED).values(searches=2),
    "a charge of what failed": sa.update(usage)
    .where(usage.c.request_id == "r3-2")
    .values(charge_nano=5),
    "a cost": sa.update(usage).where(OF_ROUTED).values(cost_nano=1),
    "the cost of an attempt": sa.update(attempt).where(attempt.c.n == 2).values(cost_nano=1),
    "what may be billed": sa.update(attempt).where(attempt.c.n == 1).values(maybe_billed_nano=3),
    "attempts": sa.delete(attempt).where(attempt.c.n == 2),
    "a price": sa.update(price).where(price.c.id == 1).values(per_1m_input_nano=1),
    "all prices": sa.delete(price),
    "a row": sa.delete(usage).where(OF_ROUTED),
    "the time of a row": sa.update(usage).where(OF_ROUTED).values(at_us=5 * HOUR_US),
    "a row's hour": sa.update(usage).where(OF_ROUTED).values(at_us=77 * HOUR_US),
    "an hour": sa.update(usage_hour).where(usage_hour.c.hour_us == HOUR_US).values(requests=9),
    "all hours": sa.delete(usage_hour),
    "how far a journal is": sa.delete(journal_offset),
    "lines of a journal": sa.update(journal_offset).values(lines=29),
    "the money of a journal": sa.update(journal_offset).values(charge_nano=29),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_is_found(
    filled: Database, journal: Journal, change: sa.Update | sa.Delete
) -> None:
    with filled.write() as connection:
        connection.execute(change)
    verdict = verify(filled, journal.folder)
    assert not verdict.ok
    assert all(verdict.problems)


def test_lines_that_became_no_rows_are_told(filled: Database, journal: Journal) -> None:
    (journal.folder / "x-000000.unread").write_text("{}\n")
    (problem,) = verify(filled, journal.folder).problems
    assert "holds lines that became no rows" in problem


def test_a_journal_that_was_read_and_not_recorded_is_told(
    filled: Database, journal: Journal
) -> None:
    with filled.write() as connection:
        connection.execute(sa.delete(usage))
        connection.execute(sa.delete(usage_hour))
        connection.execute(sa.update(journal_offset).values(lines=0, charge_nano=0))
    (problem,) = verify(filled, journal.folder).problems
    assert "0 lines were read of the 30" in problem


def test_rows_go_when_they_are_old_and_verified_and_hours_stay(
    filled: Database, journal: Journal
) -> None:
    assert remove_before(filled, 4 * HOUR_US + 17).hours == 3
    verdict = verify(filled, journal.folder)
    assert verdict.problems == []
    assert (verdict.rows, verdict.hours) == (21, 7)
    with filled.read() as connection:
        (total,) = sums(connection, UsageQuery(), ())
        assert total["requests"] == 30
        assert connection.execute(sa.select(sa.func.count()).select_from(attempt)).scalar() == 14
    assert remove_before(filled, 4 * HOUR_US + 17).hours == 0


def test_an_hour_that_does_not_add_up_is_never_removed(filled: Database, journal: Journal) -> None:
    with filled.write() as connection:
        connection.execute(
            sa.update(usage).where(usage.c.request_id == "r2-0").values(charge_nano=1)
        )
    verdict = remove_before(filled, 9 * HOUR_US)
    assert not verdict.ok
    with filled.read() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(usage)).scalar()
    assert count == 27
    assert not verify(filled, journal.folder).ok


def test_pages_of_rows_are_all_rows_once(filled: Database) -> None:
    seen: list[str] = []
    after = None
    with filled.read() as connection:
        while page := rows(connection, UsageQuery(), limit=7, after=after):
            seen += [row["request_id"] for row in page]
            after = (page[-1]["at_us"], page[-1]["entry"])
        assert len(rows(connection, UsageQuery(key_name="b"), limit=100)) == 10
        assert len(rows(connection, UsageQuery(request_id="r3-1"), limit=100)) == 1
        assert (
            len(rows(connection, UsageQuery(since_us=2 * HOUR_US, until_us=3 * HOUR_US), limit=9))
            == 3
        )
    assert seen == sorted(seen, key=lambda r: [-int(part) for part in r[1:].split("-")])
    assert len(seen) == 30
    assert [row["request_id"] for row in all_rows(filled, UsageQuery())] == seen[::-1]


@pytest.mark.parametrize("since", [0, 1])
def test_sums_are_those_of_the_rows_from_hours_and_from_rows(filled: Database, since: int) -> None:
    with filled.read() as connection:
        found = sums(connection, UsageQuery(since_us=since), ["key", "model", "status"])
        assert [
            (row["key_name"], row["model"], row["status_class"], row["requests"]) for row in found
        ] == [("a", "m", 2, 10), ("a", "m", 5, 10), ("b", "m", 2, 10)]
        assert [row["charge_nano"] for row in found] == [
            10 * ROW.charge_nano,
            0,
            10 * ROW.charge_nano,
        ]
        by_time = sums(
            connection, UsageQuery(since_us=since), ["hour", "team", "route", "upstream"]
        )
        assert sum(row["requests"] for row in by_time) == 30
        assert {row["team"] for row in by_time} == {""}
        (day,) = sums(connection, UsageQuery(since_us=since), ["day", "dialect"])
        assert (day["day_us"], day["documents"], day["input_tokens"]) == (0, 210, 3000)


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
def test_a_summary_has_the_form_of_openai_and_pages(filled: Database, width: Width) -> None:
    asked = UsageQuery(since_us=HOUR_US, until_us=11 * HOUR_US)
    requests, page, pages = 0, None, 0
    with filled.read() as connection:
        while True:
            limit = 30 if width == "1m" else 3
            found = summary(
                connection, asked, now_us=0, width=width, by=["model"], limit=limit, page=page
            )
            pages += 1
            for bucket in found.data:
                assert bucket["start_time"] < bucket["end_time"]
                requests += sum(each["requests"] for each in bucket["results"])
            page = found.next_page
            assert (page is None) == (not found.has_more)
            if page is None:
                break
    assert requests == 30
    assert pages == {"1m": 20, "1h": 4, "1d": 1}[width]
