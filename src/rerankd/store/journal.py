"""What was answered, on the local disk before the answer goes out: one line and one write each.

A process writes files of its own, `RUN-NUMBER.jsonl`, and holds a lock on each until it is drained;
so the lock says whose a file is, and a file without one is of a process that died. Up to `size` the
lines of a file are whole. Behind that there may be a torn one: nobody was told that it is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.store.filesystem import network_type
from rerankd.store.rows import UsageRow

SUFFIX: Final = ".jsonl"
_NEW: Final = ".new"  # of a file that is not locked yet
ROTATE_BYTES: Final = 16_777_216
_NOT_LOCAL: Final = "Put it on a local disk that outlives the process; each server has its own."


class JournalFull(Exception):
    """A line is not on disk, nor any part of it: no room, or the disk does not write."""


class JournalFile:
    """One file, locked by this process."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.fd = fd
        self.size = size  # of its whole lines
        self.drained = 0  # bytes of them that are in the database
        self.is_sealed = False  # nothing is added any more
        self._synced = 0  # bytes of them that outlive a loss of power
        self._open = threading.Lock()  # held while `fd` must stay what it is

    @property
    def name(self) -> str:
        """What its lines are known by in the database."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def run(self) -> str:
        """What the process is known by that wrote it."""
        return self.name.rpartition("-")[0]

    @property
    def is_done(self) -> bool:
        """Whether it can be deleted."""
        return self.is_sealed and self.drained >= self.size

    def read(self, start: int, limit: int) -> bytes:
        """Whole lines from a byte on; one is read even when it is longer than the limit."""
        wanted = min(limit, self.size - start)
        found = os.pread(self.fd, wanted, start)
        end = found.rfind(b"\n") + 1
        if end == 0 and start + len(found) < self.size and len(found) == wanted:
            return self.read(start, 2 * limit)
        return found[:end]

    def sync(self) -> None:
        """Its lines outlive a loss of power. Raises OSError."""
        with self._open:
            size = self.size
            if self.fd >= 0 and self._synced < size:
                os.fdatasync(self.fd)
                self._synced = size

    def delete(self) -> None:
        """Drained: it goes, and its lock with it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the lock."""
        with self._open:
            os.close(self.fd)
            self.fd = -1


class Journal:
    """The files of this process, the last of which is written to."""

    def __init__(self, folder: Path, *, limit_bytes: int, rotate_bytes: int = ROTATE_BYTES) -> None:
        """Make the folder and the first file.

        Args:
            folder: on a local file system.
            limit_bytes: of lines that are not drained; above, nothing is taken.
            rotate_bytes: when a file is followed by the next one.

        Raises:
            StartError: it cannot be written there, or the file system is another machine's.
        """
        self.folder = folder
        self._limit = limit_bytes
        self._rotate = rotate_bytes
        self._encode = msgspec.json.Encoder().encode
        self.run = _run()
        self._bases = [0]  # of the files so far: how many bytes stand before each
        self.files: list[JournalFile] = []
        prepare_folder(folder)
        try:
            self._current = self._open(0)
        except OSError as error:
            raise StartError(f"[store] journal: cannot write in {folder}: {error}.") from None

    @property
    def backlog_bytes(self) -> int:
        """Of all lines that are not drained."""
        return sum(file.size - file.drained for file in tuple(self.files))

    def append(self, row: UsageRow) -> int:
        """Write one line, all of it or nothing.

        Returns:
            How many bytes of lines this process wrote, up to the end of this one.

        Raises:
            JournalFull: see there.
        """
        line = self._encode(row) + b"\n"
        if self.backlog_bytes + len(line) > self._limit:
            raise JournalFull(f"{self._limit:,} bytes wait for the database (journal_bytes).")
        file = self._current
        if file.is_sealed or (file.size and file.size + len(line) > self._rotate):
            file = self._next()
        try:
            written = os.write(file.fd, line)
        except OSError as error:
            raise JournalFull(f"{file.path}: {error.strerror}.") from error
        if written != len(line):
            self._undo(file)
            raise JournalFull(f"{file.path}: no room for a whole line.")
        file.size += written  # whoever drains sees it from here on
        return self._bases[-1] + file.size

    def seal(self) -> None:
        """End the file that is written to; the next line begins another."""
        self._current.is_sealed = True

    def sync(self) -> None:
        """All lines outlive a loss of power; a file that cannot be synced is followed by another.

        Raises:
            OSError: the disk does not write; what the system forgot of it is not known.
        """
        for file in tuple(self.files):
            try:
                file.sync()
            except OSError:
                file.is_sealed = True
                raise

    def position_of(self, name: str, offset: int) -> int:
        """How many bytes of all lines of this process there are up to a place in a file of it."""
        return self._bases[int(name.rpartition("-")[2])] + offset

    def forget(self, file: JournalFile) -> None:
        """Delete a file that is drained."""
        file.delete()
        self.files.remove(file)

    def close(self) -> None:
        """Give up the locks: what is not drained is adopted by whoever comes."""
        for file in self.files:
            if file.drained >= file.size:
                file.delete()
            else:
                file.close()
        self.files.clear()

    def _next(self) -> JournalFile:
        try:
            following = self._open(len(self._bases))
        except OSError as error:
            raise JournalFull(f"{self.folder}: {error.strerror}.") from error
        self._current.is_sealed = True
        self._bases.append(self._bases[-1] + self._current.size)
        self._current = following
        return following

    def _undo(self, file: JournalFile) -> None:
        """Take back the part of a line that was written."""
        try:
            os.ftruncate(file.fd, file.size)
        except OSError:
            file.is_sealed = True  # the part stays, behind `size`, where nobody reads

    def _open(self, number: int) -> JournalFile:
        """A new file, which has its name only when it is locked. Raises OSError."""
        path = self.folder / f"{self.run}-{number:06}{SUFFIX}"
        hidden = path.with_suffix(_NEW)
        fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(path)
            sync_folder(self.folder)
        except OSError:
            os.close(fd)
            hidden.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        file = JournalFile(path, fd, 0)
        self.files.append(file)
        return file


def prepare_folder(folder: Path) -> None:
    """Make the folder of journals, which only its owner may read.

    Raises:
        StartError: it cannot be made, or is on a file system of another machine.
    """
    found = network_type(folder)
    if found:
        raise StartError(
            f"[store] journal: {folder} is on a network file system ({found}), where a lock does "
            f"not say who owns a file. {_NOT_LOCAL}"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"[store] journal: cannot make {folder}: {error.strerror}.") from None


def sync_folder(folder: Path) -> None:
    """Names in a folder survive a loss of power. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def orphans(folder: Path, own: Callable[[], set[Path]]) -> Iterator[JournalFile]:
    """The files of processes that died, each locked by us from here on until it is closed.

    Args:
        folder: of journals.
        own: the files of this process; asked when the folder was read.
    """
    found = sorted(folder.glob(f"*{SUFFIX}"))
    ours = own()
    for path in found:
        if path not in ours and (file := _adopted(path)) is not None:
            yield file


def _adopted(path: Path) -> JournalFile | None:
    """A file that nobody else holds, up to its last whole line."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # whoever had it has drained it
        return None
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.stat()):
            file = JournalFile(path, fd, whole_bytes(fd))
            file.is_sealed = True
            return file
    os.close(fd)
    return None


def whole_bytes(fd: int, step: int = 65_536) -> int:
    """Up to the end of the last whole line of a file."""
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(end - step, 0)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _run() -> str:
    """A name that no other process has: when, on which machine, its number, and chance."""
    host = socket.gethostname().partition(".")[0]
    host = "".join(c if c.isascii() and c.isalnum() else "_" for c in host)[:32]
    made = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"{made}-{host}-{os.getpid()}-{secrets.token_hex(4)}"
