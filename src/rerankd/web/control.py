"""Where `rerankd config` asks a running server which settings it has.

An abstract Unix socket per process (Linux): it is no file, so nothing is left behind by a process
that is killed, and needs no folder that both sides agree on. The kernel says who is at the other
end: the server answers its own user and root only, and `rerankd config` believes servers of its own
user only, root those of all. Who connects is sent one JSON object; nothing is read from him.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from rerankd import __version__
from rerankd.core.facts import UpstreamFacts
from rerankd.settings.load import Effective
from rerankd.settings.reference import dotted
from rerankd.settings.schema import Settings

_PREFIX: Final = "rerankd-control/"
_SOCKETS: Final = Path("/proc/net/unix")
_ANSWER_S: Final = 5.0
_ANSWER_BYTES: Final = 16_777_216
_BACKLOG: Final = 16


class ServerReport(msgspec.Struct, frozen=True):
    """What one running server says of itself."""

    pid: int
    url: str
    version: str
    started: str  # ISO 8601, UTC
    file: str | None  # the configuration file that it reads
    settings: list[tuple[str, Any]]  # dotted name, value; never a key
    upstreams: tuple[UpstreamFacts, ...] = ()


class Control:
    """The server's end; on systems without abstract sockets it does nothing."""

    def __init__(self, report: Callable[[], ServerReport]) -> None:
        self._report = report
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Answer from here on, in the running event loop.

        Raises:
            OSError: the system gives no socket.
        """
        if not is_possible():
            return
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.setblocking(False)
            listener.bind(f"\0{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Answer no more."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            asked, _ = listener.accept()
        except OSError:  # gone already
            return
        if peer_user(asked) not in (os.geteuid(), 0):
            asked.close()
            return
        answer = msgspec.json.encode(self._report(), enc_hook=str)
        # a thread: a reader that is slow, or stops, must not hold up the event loop
        threading.Thread(target=_send, args=(asked, answer), daemon=True).start()


def control_of(
    started: Effective,
    url: str,
    settings: Callable[[], Settings],
    upstreams: Callable[[], tuple[UpstreamFacts, ...]] = lambda: (),
) -> Control:
    """The control of one server.

    Args:
        started: the settings of its start, and their file.
        url: where it listens.
        settings: says what is in force, whenever it is asked.
        upstreams: says how they do.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    file = None if started.file is None else str(started.file.absolute())
    return Control(
        lambda: ServerReport(
            os.getpid(), url, __version__, since, file, list(dotted(settings())), upstreams()
        )
    )


def is_possible() -> bool:
    """Whether this system has such sockets, and says which there are."""
    return hasattr(socket, "SO_PEERCRED") and _SOCKETS.exists()


def running() -> Iterator[ServerReport]:
    """The servers of this user that answer now; for root those of every user."""
    if not is_possible():
        return
    marker = f" @{_PREFIX}"
    lines = _SOCKETS.read_text(errors="replace").splitlines()
    for name in sorted({_PREFIX + line.partition(marker)[2] for line in lines if marker in line}):
        report = _asked(name)
        if report is not None:
            yield report


def peer_user(connection: socket.socket) -> int:
    """The user id at the other end, from the kernel."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", raw)[1]


def _asked(name: str) -> ServerReport | None:
    """What the process behind a socket answers; None when it is gone or somebody else's."""
    received = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(f"\0{name}")
            if os.geteuid() not in (peer_user(connection), 0):
                return None
            while len(received) < _ANSWER_BYTES and (part := connection.recv(65_536)):
                received += part
        return msgspec.json.decode(received, type=ServerReport)
    except (OSError, msgspec.MsgspecError):
        return None


def _send(asked: socket.socket, answer: bytes) -> None:
    with asked, contextlib.suppress(OSError):
        asked.settimeout(_ANSWER_S)
        asked.sendall(answer)
