"""Bodies in process, through the whole app on the fake engine; nearly-HTTP bytes over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .edges import Case, case
from .process import Server, serving

EDGE_SHARE = 0.1  # of all cases
AT_ONCE = 16
_PATIENCE_S = 60.0
_SILENCE_S = 0.05  # what is not whole gets no answer; then we leave
_GOOD_5XX = ("501", "505")  # a method or a version that HTTP lets a server not know
_MOST = 20  # findings that are kept


class Findings:
    """Answers by status, and what should not have happened."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.bad: list[str] = []

    def note(self, status: str, what: object) -> None:
        """Count an answer; a 5xx or no HTTP at all is kept with its input."""
        self.statuses[status] += 1
        if status == "not HTTP" or (status.startswith("5") and status not in _GOOD_5XX):
            self.blame(f"{status}: {what!r}")

    def blame(self, what: str) -> None:
        """Keep what should not have happened."""
        if len(self.bad) < _MOST:
            self.bad.append(what[:2000])

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"statuses": dict(sorted(self.statuses.items())), "bad": self.bad}


async def edges(server: Server, cases: int, seed: int) -> Findings:
    """Send that many odd connections, 16 at once."""
    found, left = Findings(), iter(range(cases))

    async def worker() -> None:
        for number in left:
            made = case(random.Random(f"{seed} {number}"))
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    received = await _sent(server.port, made)
            except TimeoutError:
                found.blame(f"no end within {_PATIENCE_S:g} s: {made!r}")
                continue
            except OSError:
                found.statuses["connection reset"] += 1
                continue
            _judge(found, made, received)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return found


async def _sent(port: int, made: Case) -> bytes:
    """All that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in made.pieces:
            writer.write(piece)
            await writer.drain()
            if len(made.pieces) > 1:
                await asyncio.sleep(0)
        if made.half_closes:
            writer.write_eof()
            return await reader.read(-1)
        received = b""
        with contextlib.suppress(TimeoutError):
            while part := await asyncio.wait_for(reader.read(65536), _SILENCE_S):
                received += part
        return received
    finally:
        writer.close()


def _judge(found: Findings, made: Case, received: bytes) -> None:
    if not received:
        found.statuses["closed without an answer"] += 1
    elif not received.startswith(b"HTTP/1."):
        found.note("not HTTP", (made, received[:200]))
    else:
        found.note(received[9:12].decode("latin-1"), made)


def _bodies_here(cases: int, seed: int) -> tuple[dict[int, int], list[str]]:
    """In a process of its own: the generator and the app are the tests' own.

    Returns:
        How many answers by status, and every 5xx.
    """
    root = Path(__file__).parents[2]
    sys.path.insert(0, str(root))
    fuzz: Any = importlib.import_module("tests.hold.fuzz_bodies").fuzz
    found = asyncio.run(fuzz(cases, seed))
    bad = [f"{status} {path} {body[:1000]!r}" for status, path, body in found.failures]
    return dict(found.statuses), bad


async def _bodies(cases: int, seed: int) -> Findings:
    """The cases in equal parts on all cores, each part with a seed of its own."""
    found, loop = Findings(), asyncio.get_running_loop()
    parts = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(parts, mp_context=get_context("spawn")) as pool:
        shares = [cases // parts + (part < cases % parts) for part in range(parts)]
        runs = [
            loop.run_in_executor(pool, _bodies_here, share, 1000 * seed + part)
            for part, share in enumerate(shares)
        ]
        for statuses, bad in await asyncio.gather(*runs):
            found.statuses.update({str(status): count for status, count in statuses.items()})
            for what in bad:
                found.blame(what)
    return found


async def measure(command: Sequence[str], cases: int, seed: int) -> dict[str, Any]:
    """Nine tenths are bodies, one tenth odd connections to a server process."""
    odd = max(1, int(cases * EDGE_SHARE))
    started = time.monotonic()
    bodies = await _bodies(cases - odd, seed)
    took = time.monotonic() - started
    with serving(command, "rerankd-lexical") as server:
        before = server.usage().rss_mb
        found = await edges(server, odd, seed)
        alive = server.launcher.poll() is None
        used = server.usage() if alive else None
    if not alive:
        found.blame("the server process ended")
    return {
        "cases": cases,
        "seed": seed,
        "bodies": bodies.told() | {"cases": cases - odd, "took_s": took},
        "edges": found.told()
        | {
            "cases": odd,
            "took_s": time.monotonic() - started - took,
            "before_mb": before,
            "after_mb": used.rss_mb if used else None,
            "fds": used.fds if used else None,
        },
        "failed": bool(bodies.bad or found.bad),
    }
