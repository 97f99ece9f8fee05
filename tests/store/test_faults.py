"""Whatever breaks, what was acknowledged is recorded, once; with real processes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from rerankd.store.database import open_database
from rerankd.store.migrate import migrate
from tests.kit.faults import database_away, loading, missing_and_doubled, problems

pytestmark = pytest.mark.timeout(1200)
KILLS = 20
AWAY_S = 3.0


def settled(url: str, journal: Path, acknowledged: list[str]) -> None:
    """Start once more, as after any end; then nothing is missing, doubled or does not add up."""
    with loading(url, journal) as last:
        last.wait_for_more(1)
        last.end(signal.SIGTERM)
        acknowledged += last.acknowledged
    assert missing_and_doubled(url, acknowledged) == (0, 0)
    assert problems(url, journal) == []
    assert sorted(path.name for path in journal.iterdir()) == ["store-id"]


def test_twenty_kills_under_load_lose_nothing(store_url: str, tmp_path: Path) -> None:
    journal, acknowledged = tmp_path / "journal", list[str]()
    for n in range(KILLS):
        with loading(store_url, journal) as load:
            load.wait_for_more(20 + 17 * n % 100)
            load.end(signal.SIGKILL)
            acknowledged += load.acknowledged
    assert len(acknowledged) > 20 * KILLS
    settled(store_url, journal, acknowledged)


def test_three_times_a_full_disk_refuses_and_loses_nothing(store_url: str, tmp_path: Path) -> None:
    journal, acknowledged = tmp_path / "journal", list[str]()
    with loading(store_url, journal) as load:
        for _ in range(3):
            load.wait_for_more(30)
            largest = max(path.stat().st_size for path in journal.glob("*.jsonl"))
            refused = load.refused
            load.largest_file(largest + 1000)
            load.wait(lambda load, before=refused: load.refused > before + 20)
            load.largest_file(-1)
            load.wait_for_more(30)
        load.end(signal.SIGKILL)
        acknowledged += load.acknowledged
    settled(store_url, journal, acknowledged)


def test_a_database_that_is_away_refuses_nothing_and_loses_nothing(
    store_url: str, tmp_path: Path
) -> None:
    journal, acknowledged = tmp_path / "journal", list[str]()
    database = open_database(store_url)
    migrate(database)
    database.close()
    with database_away(store_url) as (url, away, back), loading(url, journal) as load:
        load.wait_for_more(20)
        away()
        end = time.monotonic() + AWAY_S
        while time.monotonic() < end:
            load.wait_for_more(5)
        assert load.refused == 0
        before = len(load.acknowledged)
        assert missing_and_doubled(store_url, load.acknowledged[:before])[0] > 0
        back()
        load.wait(lambda _: missing_and_doubled(store_url, load.acknowledged[:before])[0] == 0)
        away()  # and it dies while the database is away
        load.wait_for_more(20)
        load.end(signal.SIGKILL)
        acknowledged += load.acknowledged
    settled(store_url, journal, acknowledged)


def test_a_journal_that_is_full_refuses_until_the_database_is_back(
    store_url: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    database = open_database(store_url)
    migrate(database)
    database.close()
    with (
        database_away(store_url) as (url, away, back),
        loading(url, journal, limit_bytes=20_000) as load,
    ):
        load.wait_for_more(5)
        away()
        load.wait(lambda load: load.refused > 5)
        assert sum(path.stat().st_size for path in journal.glob("*.jsonl")) < 200_000
        back()
        load.wait_for_more(50)
        load.end(signal.SIGKILL)
        acknowledged = load.acknowledged
    settled(store_url, journal, acknowledged)


def test_two_servers_share_a_folder_and_one_brings_in_what_the_other_left(
    store_url: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with loading(store_url, journal) as one, loading(store_url, journal) as other:
        one.wait_for_more(30)
        other.wait_for_more(30)
        one.end(signal.SIGKILL)
        other.wait_for_more(30)
        other.end(signal.SIGTERM)
        acknowledged = one.acknowledged + other.acknowledged
    settled(store_url, journal, acknowledged)
