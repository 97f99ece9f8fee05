"""Clients that do not read their answers: what they hold is bounded, and they are cut."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import re
import socket
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from edge import read_all

from rerankd.core.errors import Overloaded
from rerankd.core.request import Content, RerankRequest
from rerankd.web.body import InflightBytes
from rerankd.web.wire_answers import echoed_bytes
from tests.kit.processes import PATIENCE_S, Server, serving
from tests.kit.support import body, running

ECHO = str(Path(__file__).parents[1] / "kit" / "echo_server.py")
ANSWER_BYTES = 8_000_000
READERS = 60


def packed(answer_bytes: int) -> bytes:
    """A small request whose answer is large."""
    documents = [f"{n}".ljust(answer_bytes // 8) for n in range(8)]
    posted = {"query": "q", "documents": documents, "return_documents": True}
    raw = gzip.compress(json.dumps(posted).encode())
    lines = ["POST /v1/rerank HTTP/1.1", "Host: x", "Content-Encoding: gzip"]
    return "\r\n".join([*lines, f"Content-Length: {len(raw)}", "", ""]).encode() + raw


def resident_bytes(server: Server) -> int:
    """The most that the server has had in memory so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def reader(server: Server) -> socket.socket:
    """A client whose side takes little by itself."""
    client = socket.socket()
    client.settimeout(PATIENCE_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    return client


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_clients_that_do_not_read_fill_neither_memory_nor_the_server(tmp_path: Path) -> None:
    env = {"RERANKD_LIMITS_INFLIGHT_BYTES": "40000000", "RERANKD_LIMITS_WRITE_S": "8"}
    log = tmp_path / "log"
    with serving([ECHO], env=env, log=log) as server:
        before = resident_bytes(server)
        request = packed(ANSWER_BYTES)
        assert len(request) < ANSWER_BYTES // 100
        readers = [reader(server) for _ in range(READERS)]
        for client in readers:
            client.sendall(request)
        begun = [client.recv(12) for client in readers]  # and no more of it
        assert set(begun) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        small = httpx2.post(f"{server.url}/v1/rerank", json=body(), timeout=PATIENCE_S)
        assert small.status_code == 200
        assert httpx2.get(f"{server.url}/docs", timeout=PATIENCE_S).status_code in (200, 503)
        assert resident_bytes(server) - before < READERS * ANSWER_BYTES // 2
        until(lambda: log.read_text().count("reader cut") == begun.count(b"HTTP/1.1 200"))
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as good:
            good.sendall(request)
            good.shutdown(socket.SHUT_WR)
            answer = read_all(good)
        assert answer.startswith(b"HTTP/1.1 200")
        assert len(answer) > ANSWER_BYTES
        for client in readers:
            client.close()
        assert server.stop() == 0


def test_a_client_that_does_not_read_does_not_hold_up_the_exit() -> None:
    env = {"RERANKD_LIMITS_DRAIN_S": "0.5"}
    with serving([ECHO], env=env) as server, reader(server) as client:
        client.sendall(packed(ANSWER_BYTES))
        assert client.recv(12) == b"HTTP/1.1 200"
        assert server.stop() == 0


async def test_an_answer_counts_until_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body's bytes, then with them the echo's, then the answer's alone, then none."""
    seen: list[int] = []
    async with running({"limits": {"inflight_bytes": 100_000}}) as (client, state):
        real = state.router.rerank

        async def watched(*given: Any, **more: Any) -> Any:
            seen.append(state.inflight.used)
            return await real(*given, **more)

        monkeypatch.setattr(state.router, "rerank", watched)
        posted = body(documents=["x" * 5000, "y" * 5000], return_documents=True)
        answer = await client.post("/v1/rerank", json=posted)
        sent = len(answer.request.content)
        assert seen == [2 * sent]
        assert answer.status_code == 200
        posted = body(documents=["x" * 5000, "y" * 5000], return_documents=False)
        await client.post("/v1/rerank", json=posted)
        assert sent <= seen[1] < sent + 100
        assert state.inflight.used == 0
        state.inflight.take(60_000, own=0)
        posted = body(documents=["x" * 30_000], return_documents=True)
        refused = await client.post("/v1/rerank", json=posted)
        assert (refused.status_code, len(seen)) == (503, 2)  # not even begun
        assert state.inflight.used == 60_000


@pytest.mark.parametrize(
    ("documents", "top_n", "echo", "expected"),
    [
        ([10, 20, 30], None, True, 1000),
        ([10, 20, 30], 3, True, 1000),
        ([10, 20, 30], 1, True, 120),
        ([10, 20, 30], 2, True, 200),
        ([10, 20, 900], 2, True, 1000),
        ([10, 20, 30], 2, False, 0),
    ],
)
def test_an_echo_is_at_most_the_longest_documents(
    documents: list[int],
    top_n: int | None,
    echo: bool,  # noqa: FBT001 - pytest's
    expected: int,
) -> None:
    request = RerankRequest(
        query=Content(value="q"),
        documents=tuple(Content(value="x" * size) for size in documents),
        top_n=top_n,
        return_documents=echo,
    )
    assert echoed_bytes([request], 1000) == expected


def test_small_requests_find_room_beside_large_ones() -> None:
    room = InflightBytes(8_000_000)
    for _ in range(14):
        room.take(500_000, own=0)
    with pytest.raises(Overloaded):
        room.take(500_000, own=0)
    for _ in range(15):
        room.take(65_536, own=0)
    with pytest.raises(Overloaded):
        room.take(65_537, own=0)
    with pytest.raises(Overloaded):
        room.take(65_536, own=0)


@pytest.mark.parametrize(
    ("posted", "status"),
    [
        ({"query": "q" * 200_000}, 400),
        ({"documents": ["x" * 400_000] * 5, "top_n": -1}, 400),
        ({"model": "nobody"}, 400),
        ({"documents": ["x" * 4_100_000]}, 400),
    ],
    ids=["query", "field", "model", "document"],
)
async def test_what_fails_leaves_nothing_in_memory(posted: dict[str, Any], status: int) -> None:
    """Also without a garbage collector: a budget that only counts must count what is there."""
    whole = body(documents=["x" * 400_000] * 5) | posted
    raw = gzip.compress(json.dumps(whole).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    async with running({"limits": {"request_tokens": 100}}) as (client, _):

        async def fail() -> None:
            answer = await client.post("/v1/rerank", content=raw, headers=headers)
            assert answer.status_code == status

        for _ in range(3):
            await fail()
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(10):
                await fail()
            await asyncio.sleep(0.1)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert held < 4_000_000  # of 20 MB that were sent
