"""A worker's process, from its socket to its end: it lives as long as the server does."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from rerankd.engines.cores import use_at_most
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.base import Backend
from rerankd.service.lag import LoopLag
from rerankd.service.local import ScoringParts, local_backend
from rerankd.telemetry.logs import configure_logging
from rerankd.workers.frames import Frames, most_bytes
from rerankd.workers.launch import SIGNALS
from rerankd.workers.messages import Setup, decode_to_worker
from rerankd.workers.worker import Make, Worker

_SETUP_BYTES: Final = 1 << 20
_COLLECTED_AFTER: Final = 20_000  # as in a server: see cli.lean


def run(fd: int, cores: int, log: str, *, load: Callable[[Spec], Loaded] = load) -> None:
    """Serve the server at the other end of a socket until it is gone or says so; never returns.

    Args:
        fd: of the socket.
        cores: that it may keep busy.
        log: form of the log, as `server.log`.
        load: opens and checks a model.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    use_at_most(cores)
    configure_logging(log)
    gc.set_threshold(_COLLECTED_AFTER, *gc.get_threshold()[1:])
    gc.freeze()
    _loop().run_until_complete(served(socket.socket(fileno=fd), local(load)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread inside a library cannot be stopped, and Python would wait for it


def _loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def local(load: Callable[[Spec], Loaded]) -> Make:
    """What makes the backend of a worker: that of its own process; `load` as in run()."""

    def make(setup: Setup, lag: LoopLag, fetched: Callable[[str, int, float], None]) -> Backend:
        parts = ScoringParts(setup.limits, setup.media, setup.graphs)
        return local_backend(parts, fetched, lag, load=load)

    return make


async def served(connection: socket.socket, make: Make) -> None:
    """Do what is asked over a socket, until its other end is gone or says that it is enough."""

    def made(setup: Setup, lag: LoopLag, fetched: Callable[[str, int, float], None]) -> Backend:
        frames.allow(frame_bytes(setup))
        return make(setup, lag, fetched)

    worker = Worker(lambda frame: frames.send(frame), made)  # noqa: PLW0108 - it is made below
    frames = Frames(
        _SETUP_BYTES, lambda frame: worker.received(decode_to_worker(frame)), worker.ended.set
    )
    await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=connection)
    try:
        await worker.ended.wait()
    finally:
        worker.close()
        frames.abort()


def frame_bytes(setup: Setup) -> int:
    """The longest frame between a server and its worker.

    A request's texts are its body's, unpacked; what is answered had to find room in memory.
    """
    return most_bytes(2 * setup.limits.body_bytes, setup.limits.inflight_bytes)
