"""Clients that send a little gzip, are owed 31 MB of echo each, and do not read it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .client import Answer, Clients
from .figures import Memory, percentile, statuses
from .process import Server, knows, serving
from .texts import Texts

_ECHO = 31_000_000
_DOCUMENTS = 1000
_CUT_PATIENCE_S = 60.0  # the default setting cuts after 30 s
# So that none is refused for the time that its 31 MB look like.
_TIMELESS = ("wait_s", "deadline_s")
Come = Callable[[int, bytes, int, list[socket.socket]], Awaitable[None]]


def request() -> bytes:
    """One whole request: 31 MB of blanks as 31 kB of gzip, documents to be returned."""
    documents = [" " * (_ECHO // _DOCUMENTS)] * _DOCUMENTS
    body = gzip.compress(
        json.dumps({"query": "q", "documents": documents, "return_documents": True}).encode()
    )
    head = (
        "POST /v1/rerank HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"content-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _stuck(port: int, whole: bytes) -> socket.socket:
    """A connection that has sent its request and reads nothing."""
    loop = asyncio.get_running_loop()
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(made, ("127.0.0.1", port))
    await loop.sock_sendall(made, whole)
    return made


def _status(connection: socket.socket) -> str:
    """What its answer begins with; it stays unread."""
    try:
        return connection.recv(12, socket.MSG_PEEK | socket.MSG_DONTWAIT)[9:].decode() or "ended"
    except OSError:
        return "nothing"


async def _answered(connection: socket.socket, patience_s: float = 20.0) -> None:
    """Until its answer begins."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end and _status(connection) == "nothing":  # noqa: ASYNC110 - a socket
        await asyncio.sleep(0.05)


async def _at_once(port: int, whole: bytes, count: int, stuck: list[socket.socket]) -> None:
    stuck += await asyncio.gather(*(_stuck(port, whole) for _ in range(count)))


async def _in_turn(port: int, whole: bytes, count: int, stuck: list[socket.socket]) -> None:
    """Each comes when the one before it has its answer before it: the server has time for all."""
    for _ in range(count):
        stuck.append(await _stuck(port, whole))
        await _answered(stuck[-1])


async def measure(command: Sequence[str], count: int) -> dict[str, Any]:
    """Memory and small requests while `count` of them are there, and when they are cut.

    All at once to the default model, and one after the other to one that is fast enough to answer
    them all.
    """
    told: dict[str, Any] = {}
    known = [name for name in _TIMELESS if knows(command, f"limits.{name}")]
    timeless = "[limits]\n" + "".join(f"{name} = 1e5\n" for name in known)
    for name, model, config, come in (
        ("at once, rerankd-mini", "rerankd-mini", "", _at_once),
        ("in turn, rerankd-lexical, no time limits", "rerankd-lexical", timeless, _in_turn),
    ):
        with serving(command, model, config=config) as server:
            told[name] = await _measure(server, count, come)
    return told


async def _measure(server: Server, count: int, come: Come) -> dict[str, Any]:
    texts, clients, whole = Texts(5), Clients(server.port), request()
    small: list[Answer] = []
    idle, idle_fds = server.usage().rss_mb, server.usage().fds

    async def ask() -> None:
        while True:
            small.append(await clients.post(texts.short(4), give_up_s=120.0))
            await asyncio.sleep(0.2)

    memory = Memory(server)
    async with memory.watching():
        started = time.monotonic()
        stuck: list[socket.socket] = []
        asking = asyncio.create_task(ask())
        await come(server.port, whole, count, stuck)
        timeline: list[dict[str, float]] = []
        all_here = time.monotonic()
        while time.monotonic() - all_here < 2 * _CUT_PATIENCE_S:
            await asyncio.sleep(5.0)
            used, now = server.usage(), time.monotonic() - started
            # Its descriptors, not our sockets: a full one may never learn that it was cut. One
            # connection is the small requests'.
            cut = count - max(0, used.fds - idle_fds - 1)
            timeline.append({"s": now, "rss_mb": used.rss_mb, "cut": cut})
            if cut == count:
                break
        answers = Counter(map(_status, stuck))
        asking.cancel()
        peak = memory.told()["peak_mb"]
    for connection in stuck:
        connection.close()
    await asyncio.sleep(5.0)
    clients.close()
    clients = Clients(server.port)
    after = await clients.post(texts.short(4), give_up_s=120.0)
    clients.close()
    return {
        "readers": count,
        "answers": dict(sorted(answers.items())),
        "idle_mb": idle,
        "peak_mb": peak,
        "after_mb": server.usage().rss_mb,
        "small": statuses(small),
        "small_p99_s": percentile([answer.taken_s for answer in small], 0.99),
        "small_most_s": max((answer.taken_s for answer in small), default=None),
        "cut": timeline[-1]["cut"],
        "all_cut_s": timeline[-1]["s"] if timeline[-1]["cut"] == count else None,
        "after": statuses([after]),
        "timeline": timeline,
    }
