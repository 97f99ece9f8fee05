"""Starts a worker's process, at the other end of a socket that is in no file system."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from rerankd.core.errors import StartError
from rerankd.workers.shares import Cores

# The server says when it is time. A terminal and systemd send these to all processes of a group.
SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# -P: no module of the folder that the server happens to be started in.
PROGRAM: tuple[str, ...] = (sys.executable, "-P", "-m", "rerankd.workers")
_BUFFER_BYTES: Final = 1 << 20  # as much of it as the system gives


class Process:
    """A worker's process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self, patience_s: float) -> int:
        """Its status, when it has ended; it is killed when that takes too long."""
        try:
            return await asyncio.to_thread(self._process.wait, patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return await asyncio.to_thread(self._process.wait)


def check_possible() -> None:
    """Raises StartError where processes cannot be given a socket."""
    if os.name != "posix":
        raise StartError("server.workers: workers need a Unix system; leave it unset here.")


class WorkerProcess(Protocol):
    """A worker's process, or what stands for one."""

    @property
    def pid(self) -> int:
        """Its number in the system."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...

    async def end(self, patience_s: float) -> int:
        """Its status, when it has ended; it is killed when that takes too long."""
        ...


Launch = Callable[[Cores, str], Awaitable[tuple[WorkerProcess, socket.socket]]]


async def launched(cores: Cores, log: str) -> tuple[WorkerProcess, socket.socket]:
    """A worker's process, and our end of its socket.

    Args:
        cores: that it may use.
        log: form of its log.

    Raises:
        OSError: the system has no room for another process.
    """
    ours, theirs = socket.socketpair()
    try:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        ours.setblocking(False)
        pinned = ",".join(map(str, cores.pinned))
        command = [*PROGRAM, str(theirs.fileno()), pinned, str(cores.number), log]
        process = await asyncio.to_thread(_started, command, theirs.fileno())
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Process(process), ours


def _started(command: list[str], fd: int) -> subprocess.Popen[bytes]:
    """In a thread of its own: what it holds back, the process holds back until it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            command, pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
