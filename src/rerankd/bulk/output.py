"""The folder of a job: parts in order, what failed, and how far it is. It survives kill -9.

Lines go to `part-00000.jsonl.partial`, which is renamed when the part is full. `progress.json` says
how many bytes of it, and of errors.jsonl, belong to rows up to which place of the input: it is
replaced as one after both are on the disk. Whoever goes on cuts both files to these bytes.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from rerankd.bulk.rows import InputPlace
from rerankd.core.errors import StartError

COMMIT_S: Final = 1.0  # what is lost at most, with the windows that were at work
_PARTIAL: Final = ".partial"
MANIFEST: Final = "manifest.json"
_PROGRESS, _ERRORS, _LOCK = "progress.json", "errors.jsonl", ".lock"


class JobCounts(msgspec.Struct):
    """What a job has done."""

    rows: int = 0  # of the input, failed ones too
    pairs: int = 0
    tokens: int = 0
    failed: int = 0  # rows
    failed_early: int = 0  # of the first ones
    cost_nano: int = 0


class Progress(msgspec.Struct):
    """How far a job is; everything before `place` is on the disk."""

    place: InputPlace = InputPlace()
    part: int = 0
    part_rows: int = 0
    part_bytes: int = 0
    errors_bytes: int = 0
    counts: JobCounts = msgspec.field(default_factory=JobCounts)


class OutputFolder:
    """Where a job writes; one job at a time."""

    def __init__(self, path: Path, *, commit_s: float = COMMIT_S) -> None:
        """Raises StartError: it cannot be made or written, or another job writes to it."""
        self.path = path
        self._commit_s = commit_s
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / _LOCK).open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StartError(f"{path}: another job writes to this folder.") from None
        except OSError as error:
            raise StartError(f"{path}: {error.strerror}.") from None
        self.progress = Progress()
        self._part: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._committed_s = time.monotonic()

    def is_empty(self) -> bool:
        """Whether no job has begun in it, nor anybody else written to it."""
        left = {_LOCK, MANIFEST + _PARTIAL}  # by a job that died before it began
        return all(path.name in left for path in self.path.iterdir())

    def clear(self) -> None:
        """Remove what earlier jobs wrote, and nothing else; the manifest last."""
        found = [path for path in self.path.iterdir() if is_ours(path.name)]
        for path in sorted(found, key=lambda path: (path.name == MANIFEST, path.name)):
            if path.name != _LOCK:
                path.unlink()

    def go_on(self) -> None:
        """Open the files where the last commit left them, or at the beginning.

        Raises:
            StartError: they are not what the commit says.
        """
        with suppress(FileNotFoundError):
            try:
                raw = (self.path / _PROGRESS).read_bytes()
                self.progress = msgspec.json.decode(raw, type=Progress)
            except msgspec.MsgspecError as error:
                raise StartError(f"{self.path / _PROGRESS} cannot be read: {error}.") from None
        at = self.progress
        for number in range(at.part):
            if not self._final(number).exists():
                raise self._gone(self._final(number))
        for path in self.path.glob("part-*.jsonl*"):
            if int(path.name[5:].partition(".")[0]) > at.part:
                path.unlink()
        if self._final(at.part).exists():
            self._final(at.part).rename(self._partial(at.part))
        self._part = self._cut(self._partial(at.part), at.part_bytes)
        self._errors = self._cut(self.path / _ERRORS, at.errors_bytes)

    def add(self, lines: bytes, rows: int, errors: bytes, place: InputPlace) -> None:
        """What came of the rows up to a place; it is kept when commit() has said so."""
        if self._part is None or self._errors is None:
            raise RuntimeError("not open")
        self._part.write(lines)
        self._errors.write(errors)
        at = self.progress
        at.part_rows, at.part_bytes = at.part_rows + rows, at.part_bytes + len(lines)
        at.errors_bytes += len(errors)
        at.place = place

    def commit_now_and_then(self) -> None:
        """Commit, unless that was a moment ago."""
        if time.monotonic() - self._committed_s >= self._commit_s:
            self.commit()

    def commit(self) -> None:
        """Bring all that was added to the disk, then say so."""
        for file in (self._part, self._errors):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())
        replace_file(self.path / _PROGRESS, msgspec.json.encode(self.progress))
        self._committed_s = time.monotonic()

    def end_part(self) -> None:
        """What is added from here on goes to another part. Commits."""
        at = self.progress
        self._close_part()
        if at.part_bytes:
            self._partial(at.part).rename(self._final(at.part))
            at.part, at.part_rows, at.part_bytes = at.part + 1, 0, 0
            self._part = self._cut(self._partial(at.part), 0)
        self.commit()

    def finish(self) -> None:
        """No more is added: the last part gets its name, errors.jsonl goes if it is empty."""
        self.end_part()
        self._close_part()
        self._partial(self.progress.part).unlink(missing_ok=True)
        if self._errors is not None and self.progress.errors_bytes == 0:
            (self.path / _ERRORS).unlink(missing_ok=True)

    def parts(self) -> list[Path]:
        """Those that are full, in order."""
        return [self._final(number) for number in range(self.progress.part)]

    def write(self, name: str, write: Callable[[IO[bytes]], None]) -> None:
        """A file that is there whole or not at all."""
        partial = self.path / f"{name}{_PARTIAL}"
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self.path / name)

    def close(self) -> None:
        """Close all files; what was not committed will be cut."""
        for file in (self._part, self._errors, self._lock):
            if file is not None:
                file.close()

    def _close_part(self) -> None:
        if self._part is not None:
            self._part.flush()
            os.fsync(self._part.fileno())
            self._part.close()
            self._part = None

    def _cut(self, path: Path, size: int) -> IO[bytes]:
        file = path.open("ab")
        if file.seek(0, os.SEEK_END) < size:
            file.close()
            raise self._gone(path)
        file.truncate(size)
        return file

    def _gone(self, path: Path) -> StartError:
        return StartError(
            f"{path} is not as the job left it. --restart begins again and removes what is there."
        )

    def _final(self, number: int) -> Path:
        return self.path / f"part-{number:05}.jsonl"

    def _partial(self, number: int) -> Path:
        return self.path / f"part-{number:05}.jsonl{_PARTIAL}"


def is_ours(name: str) -> bool:
    """Whether a job writes files of that name."""
    whole = name.removesuffix(_PARTIAL)
    is_part = whole.startswith("part-") and whole.endswith(".jsonl") and whole[5:-6].isdecimal()
    return is_part or whole in (_PROGRESS, _ERRORS, _LOCK, MANIFEST, "run.trec")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that readers see as it was or as it will be, also after a power cut."""
    partial = path.with_name(path.name + _PARTIAL)
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
