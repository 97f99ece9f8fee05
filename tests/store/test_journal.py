"""A line is on disk whole or not at all, and it is known whose a file is."""

from __future__ import annotations

import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from rerankd.core.errors import StartError
from rerankd.store import journal as module
from rerankd.store.journal import Journal, JournalFile, JournalFull, orphans, whole_bytes
from rerankd.store.rows import UsageRow

PLENTY = 1 << 30


def row(request_id: str = "r", **given: object) -> UsageRow:
    said = {"request_id": request_id, "at_us": 1, "done_us": 2, "status": 200}
    return msgspec.convert(said | given, UsageRow)


def lines(file: Path) -> list[str]:
    assert file.read_bytes()[-1:] in (b"", b"\n")
    decode = msgspec.json.Decoder(UsageRow).decode
    return [decode(line).request_id for line in file.read_bytes().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal]:
    opened = Journal(tmp_path / "journal", limit_bytes=PLENTY)
    yield opened
    opened.close()


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """The disk is full where a file would be larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_is_on_disk_when_append_returns(journal: Journal) -> None:
    assert journal.append(row("a")) == journal.files[0].path.stat().st_size
    end = journal.append(row("b"))
    assert end == journal.backlog_bytes == journal.files[0].path.stat().st_size
    assert lines(journal.files[0].path) == ["a", "b"]


def test_files_are_their_owners_alone(journal: Journal) -> None:
    assert journal.folder.stat().st_mode & 0o777 == 0o700
    assert journal.files[0].path.stat().st_mode & 0o777 == 0o600


def test_the_bound_is_held_before_anything_is_written(tmp_path: Path) -> None:
    size = len(msgspec.json.encode(row("a"))) + 1
    journal = Journal(tmp_path, limit_bytes=2 * size)
    journal.append(row("a"))
    journal.append(row("b"))
    with pytest.raises(JournalFull, match="wait for the database"):
        journal.append(row("c"))
    journal.files[0].drained = size
    journal.append(row("d"))
    assert lines(journal.files[0].path) == ["a", "b", "d"]
    journal.close()


def test_a_disk_that_is_full_leaves_no_part_of_a_line(journal: Journal) -> None:
    journal.append(row("a"))
    whole = journal.backlog_bytes
    with largest_file(whole + 10), pytest.raises(JournalFull, match="no room for a whole line"):
        journal.append(row("b"))
    with largest_file(whole), pytest.raises(JournalFull, match="File too large"):
        journal.append(row("c"))
    assert journal.backlog_bytes == whole
    journal.append(row("d"))
    assert lines(journal.files[0].path) == ["a", "d"]


def test_a_part_that_cannot_be_taken_back_is_never_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(_: int, __: int) -> None:
        raise OSError("the disk is read-only")

    journal.append(row("a"))
    first = journal.files[0]
    monkeypatch.setattr(module.os, "ftruncate", stuck)
    with largest_file(first.size + 10), pytest.raises(JournalFull):
        journal.append(row("b"))
    assert first.path.stat().st_size == first.size + 10
    assert first.read(0, 1000).count(b"\n") == 1
    journal.append(row("c"))
    assert lines(journal.files[1].path) == ["c"]
    assert whole_bytes(first.fd) == first.size


def test_a_file_is_followed_by_the_next_and_positions_go_on(tmp_path: Path) -> None:
    size = len(msgspec.json.encode(row("a"))) + 1
    journal = Journal(tmp_path, limit_bytes=PLENTY, rotate_bytes=2 * size)
    assert [journal.append(row(c)) for c in "abcde"] == [size * n for n in range(1, 6)]
    assert [lines(file.path) for file in journal.files] == [["a", "b"], ["c", "d"], ["e"]]
    assert [file.is_sealed for file in journal.files] == [True, True, False]
    assert journal.position_of(journal.files[1].name, size) == 3 * size
    assert sorted(journal.files, key=lambda file: file.name) == journal.files
    journal.close()


def test_lines_are_read_whole_however_long_they_are(journal: Journal) -> None:
    for name in ("a", "b" * 1000, "c"):
        journal.append(row(name))
    file = journal.files[0]
    first = file.read(0, 100)
    assert first.count(b"\n") == 1
    second = file.read(len(first), 100)
    assert len(second) > 1000
    assert first + second == file.path.read_bytes()
    assert file.read(file.size, 100) == b""


def test_the_file_of_a_living_process_is_nobody_elses(tmp_path: Path) -> None:
    one = Journal(tmp_path, limit_bytes=PLENTY)
    one.append(row("a"))
    other = Journal(tmp_path, limit_bytes=PLENTY)
    assert list(orphans(tmp_path, lambda: {file.path for file in other.files})) == []
    path = one.files[0].path
    one.close()
    (found,) = orphans(tmp_path, lambda: {file.path for file in other.files})
    assert found.path == path
    assert found.is_sealed
    # it is locked by us now
    assert list(orphans(tmp_path, lambda: {file.path for file in other.files})) == []
    found.delete()
    other.close()
    assert names(tmp_path) == []


@pytest.mark.parametrize("torn", [b"", b"x", b'{"request_id":"c"', b"z" * 200_000])
def test_the_torn_end_of_a_dead_process_is_not_read(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "20260101T000000-host-1-00000000-000000.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":2}\n' + torn)
    (found,) = orphans(tmp_path, set)
    assert found.size == 16
    assert found.read(0, 1000) == b'{"a":1}\n{"b":2}\n'
    found.delete()


def test_a_file_that_is_not_locked_yet_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[JournalFile]] = []
    flock = module.fcntl.flock

    def looked(fd: int, how: int) -> None:
        seen.append(list(orphans(tmp_path, set)) if not seen else [])
        flock(fd, how)

    monkeypatch.setattr(module.fcntl, "flock", looked)
    Journal(tmp_path, limit_bytes=PLENTY).close()
    assert seen[0] == []


def test_a_journal_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remote(_: Path) -> str:
        return "cifs"

    monkeypatch.setattr(module, "network_type", remote)
    with pytest.raises(StartError, match=r"network file system \(cifs\).*each server has its own"):
        Journal(tmp_path / "journal", limit_bytes=PLENTY)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot make"):
        Journal(tmp_path / "file" / "journal", limit_bytes=PLENTY)


def test_an_empty_file_goes_with_its_process(tmp_path: Path) -> None:
    Journal(tmp_path, limit_bytes=PLENTY).close()
    assert names(tmp_path) == []
