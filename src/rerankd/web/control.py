"""Where `rerankd config` asks a running server which settings it has: a socket in a closed folder.

Only the server's own user (and root) can connect: the folder is 0700 and theirs, or it is not used.
There is one socket per process, made at the start and removed at the end; who connects is sent one
JSON object and nothing is read from him. A server that cannot make it says so and serves all the
same. Not on Windows.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from rerankd import __version__
from rerankd.core.errors import StartError
from rerankd.settings import Effective, Settings, dotted

_STALE_S: Final = 60.0  # a socket that is older and refuses belongs to a process that was killed
_ANSWER_S: Final = 5.0
_ANSWER_BYTES: Final = 16_777_216


class Report(msgspec.Struct, frozen=True):
    """What one running server says of itself."""

    pid: int
    url: str
    version: str
    started: str  # ISO 8601, UTC
    file: str | None  # the configuration file that it reads
    settings: list[tuple[str, Any]]  # dotted name, value; never a key


def folder_of(settings: Settings) -> Path:
    """Where the sockets are: as set, or one folder per user."""
    if settings.server.control:
        return Path(settings.server.control).expanduser()
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    return Path(tempfile.gettempdir()) / f"rerankd-{user}"


class Control:
    """The server's end."""

    def __init__(self, folder: Path, report: Callable[[], Report]) -> None:
        self._folder = folder
        self._report = report
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Answer from here on.

        Raises:
            OSError: the folder cannot be made, is somebody else's or open to others, or its path is
                too long for a socket.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(self._folder)
        _sweep(self._folder)
        self._server = await asyncio.start_unix_server(self._answer, path=self._path)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                writer.write(msgspec.json.encode(self._report(), enc_hook=str))
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # nobody waits for it
        finally:
            writer.close()


def control_of(started: Effective, url: str, settings: Callable[[], Settings]) -> Control:
    """The control of one server; `settings` says what is in force whenever it is asked."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    file = None if started.file is None else str(started.file.absolute())

    def report() -> Report:
        shown = [(name, value) for name, value in dotted(settings())]
        return Report(os.getpid(), url, __version__, since, file, shown)

    return Control(folder_of(started.settings), report)


def check_folder(folder: Path) -> None:
    """Raises OSError unless it is a real folder of this user's that nobody else may enter."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{folder} is not this user's alone (chmod 700)")


def running(folder: Path) -> Iterator[Report]:
    """The servers of this user that answer now.

    Raises:
        StartError: the folder is there, but somebody else could have put a socket into it.
    """
    if not hasattr(socket, "AF_UNIX") or not folder.exists():
        return
    try:
        check_folder(folder)
    except OSError as error:
        raise StartError(f"Cannot ask running servers: {error}.") from None
    for path in sorted(folder.glob("*.sock")):
        report = _asked(path)
        if report is not None:
            yield report


def _asked(path: Path) -> Report | None:
    """What the process behind a socket answers; None when it is gone, or does not answer."""
    received = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
            while len(received) < _ANSWER_BYTES and (part := connection.recv(65_536)):
                received += part
        return msgspec.json.decode(received, type=Report)
    except (OSError, msgspec.MsgspecError):
        return None


def _sweep(folder: Path) -> None:
    """Remove what killed processes left."""
    for path in folder.glob("*.sock"):
        try:
            if time.time() - path.lstat().st_mtime < _STALE_S:
                continue
            with socket.socket(socket.AF_UNIX) as connection:
                connection.setblocking(False)
                connection.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            continue
