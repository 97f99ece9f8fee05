"""HTTP to an upstream over real sockets: kept connections, bounds, how each end is told apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from rerankd.gateway.address import Guard, origin_of
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.transport import Kept, Sent

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SENT = Sent(target="/v1/rerank", headers={"x-one": "1"}, body=b'{"a": 1}')
PATIENCE_S = 60.0


@dataclass
class Server:
    """A server on loopback: how many connections came, and what was read of them."""

    port: int = 0
    connections: int = 0
    heads: list[bytes] = field(default_factory=list[bytes])
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def head(self, reader: asyncio.StreamReader) -> None:
        """One request, with its body."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.heads.append(head + await reader.readexactly(length))


@contextlib.asynccontextmanager
async def serving(
    serve: Callable[[Server, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    **limits: Any,
) -> AsyncGenerator[tuple[Server, Kept]]:
    found = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, RuntimeError):
            await serve(found, reader, writer)
            await writer.drain()
        writer.close()
        found.gone.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    kept = transport(f"http://127.0.0.1:{found.port}", **limits)
    try:
        yield found, kept
    finally:
        await kept.close()
        server.close()


def transport(url: str, *, connect_s: float = PATIENCE_S, answer_bytes: int = 1000) -> Kept:
    origin = origin_of(url)

    async def resolve(host: str) -> list[str]:
        if host == "nowhere.test":
            raise OSError
        return ["127.0.0.1"]

    return Kept(origin, Guard(origin, ()), resolve, connect_s=connect_s, answer_bytes=answer_bytes)


def answered(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


async def forever(server: Server, reader: Any, writer: Any) -> None:
    while True:
        await server.head(reader)
        writer.write(answered(b"{}"))


async def outcome(kept: Kept, *, timeout_s: float = PATIENCE_S) -> str:
    with pytest.raises(AttemptFailed) as failed:
        await kept.send(SENT, timeout_s=timeout_s)
    return failed.value.outcome


async def test_a_request_is_what_was_said_and_connections_are_kept() -> None:
    async with serving(forever) as (server, kept):
        for _ in range(3):
            answer = await kept.send(SENT, timeout_s=PATIENCE_S)
            assert (answer.status, answer.body) == (200, b"{}")
        assert server.connections == 1
        head = server.heads[0].decode()
        assert head.startswith("POST /v1/rerank HTTP/1.1\r\n")
        assert f"host: 127.0.0.1:{server.port}\r\n" in head
        assert "x-one: 1\r\n" in head
        assert head.endswith('\r\n\r\n{"a": 1}')


async def test_a_connection_on_which_something_came_unasked_is_not_used_again() -> None:
    async def chatty(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(answered(b"{}"))
        if server.connections == 1:
            await asyncio.sleep(0.05)
            writer.write(answered(b'{"not": "asked for"}') + b"x" * 10_000_000)
            await reader.read()
        else:
            await reader.read()

    async with serving(chatty) as (server, kept):
        await kept.send(SENT, timeout_s=PATIENCE_S)
        (line, _), *_ = kept._idle  # pyright: ignore[reportPrivateUsage]
        async with asyncio.timeout(PATIENCE_S):
            while line.is_fresh:
                await asyncio.sleep(0.01)
        assert (await kept.send(SENT, timeout_s=PATIENCE_S)).body == b"{}"
        assert server.connections == 2


async def test_an_answer_larger_than_what_is_held_ahead_comes_whole() -> None:
    body = bytes(range(256)) * 40_000

    async def serve(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(answered(body))
        await writer.drain()

    async with serving(serve, answer_bytes=len(body)) as (_, kept):
        assert (await kept.send(SENT, timeout_s=PATIENCE_S)).body == body


async def test_as_many_connections_as_requests_at_once() -> None:
    async with serving(forever) as (server, kept):
        await asyncio.gather(*(kept.send(SENT, timeout_s=PATIENCE_S) for _ in range(5)))
        assert server.connections == 5
        await asyncio.gather(*(kept.send(SENT, timeout_s=PATIENCE_S) for _ in range(5)))
        assert server.connections == 5


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    async def once(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(answered(b"{}"))

    async def once_silently(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(answered(b"{}"))
        if server.connections == 1:
            await server.head(reader)  # taken, and not answered

    for serve in (once, once_silently):
        async with serving(serve) as (server, kept):
            await kept.send(SENT, timeout_s=PATIENCE_S)
            await kept.send(SENT, timeout_s=PATIENCE_S)
            assert server.connections == 2


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "unreachable"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "unreachable"),
        (b"not http at all\r\n\r\n", "unreachable"),
        (answered(b"x" * 1001), "bad_answer"),
        (answered(b"x" * 10)[:-5], "unreachable"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n0\r\n\r\n",
            "bad_answer",
        ),
        (answered(b"x", "200 OK", "content-encoding: gzip"), "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nx-big: " + b"x" * 200_000, "unreachable"),
    ],
)
async def test_how_an_answer_that_is_none_is_told(raw: bytes, expected: str) -> None:
    async def serve(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(raw)

    async with serving(serve) as (server, kept):
        assert await outcome(kept) == expected
        assert server.connections == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_never_followed(status: str) -> None:
    async def serve(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(answered(b"", status, f"location: http://127.0.0.1:{server.port}/elsewhere"))

    async with serving(serve) as (server, kept):
        answer = await kept.send(SENT, timeout_s=PATIENCE_S)
        assert (answer.status, len(server.heads)) == (int(status[:3]), 1)


async def test_whoever_says_nothing_or_drips_is_left_in_time() -> None:
    async def silent(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await reader.read()

    async def drips(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    for serve in (silent, drips):
        async with serving(serve) as (server, kept):
            assert await outcome(kept, timeout_s=0.2) == "timeout"
            async with asyncio.timeout(PATIENCE_S):
                await server.gone.wait()  # the connection was closed


async def test_a_caller_who_leaves_closes_the_connection() -> None:
    async def silent(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await reader.read()

    async with serving(silent) as (server, kept):
        task = asyncio.create_task(kept.send(SENT, timeout_s=PATIENCE_S))
        async with asyncio.timeout(PATIENCE_S):
            while not server.heads:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait({task})
            await server.gone.wait()
        assert task.cancelled()


async def test_nobody_there_and_names_that_lead_elsewhere_are_unreachable() -> None:
    async with serving(forever) as (server, _):
        port = server.port
        for url in (f"https://public.test:{port}", f"https://nowhere.test:{port}"):
            assert await outcome(transport(url)) == "unreachable"
        assert server.connections == 0  # a public name on loopback is not connected to
    assert await outcome(transport(f"http://127.0.0.1:{port}")) == "unreachable"


async def test_a_closed_transport_keeps_no_connection() -> None:
    async with serving(forever) as (server, kept):
        await kept.send(SENT, timeout_s=PATIENCE_S)
        await kept.close()
        async with asyncio.timeout(PATIENCE_S):
            await server.gone.wait()
        server.gone.clear()
        await kept.send(SENT, timeout_s=PATIENCE_S)  # one that was on its way
        async with asyncio.timeout(PATIENCE_S):
            await server.gone.wait()


async def test_an_answer_in_absurdly_small_pieces_is_none() -> None:
    async def serve(server: Server, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\nx\r\n" * 100)
            await writer.drain()

    async with serving(serve, answer_bytes=10**6) as (_, kept):
        assert await outcome(kept) == "bad_answer"
