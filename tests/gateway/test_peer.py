"""Another server at URLs of its choice: one request to a connection, and what no URL is."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from rerankd.core.errors import StartError
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.peer import Peer, place_of

PATIENCE_S = 60.0


async def test_a_connection_carries_one_request_whatever_the_server_offers() -> None:
    heads = list[str]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                heads.append(head + (await reader.readexactly(length)).decode())
                kept = b"connection: keep-alive\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n" + kept + b"content-length: 2\r\n\r\n{}")
        closed.append(True)
        writer.close()

    closed = list[bool]()
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peer = Peer((), user_agent="rerankd/test")
    place = place_of(f"http://127.0.0.1:{port}/a/?b=%20c")
    for _ in range(2):
        await peer.get(place, {"accept": "x"}, timeout_s=PATIENCE_S)
        await peer.post(place, {"a": "1 & 2", "ü": "="}, {}, timeout_s=PATIENCE_S)
    while len(closed) < 4:
        await asyncio.sleep(0.01)
    first, second, *_ = heads
    assert first.startswith(f"GET /a/?b=%20c HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n")
    assert "accept: x\r\n" in first
    assert "user-agent: rerankd/test\r\n" in first
    assert second.startswith("POST /a/?b=%20c HTTP/1.1\r\n")
    assert "content-type: application/x-www-form-urlencoded\r\n" in second
    assert second.endswith("\r\n\r\na=1+%26+2&%C3%BC=%3D")
    assert all("connection: close\r\n" in head for head in heads)
    server.close()
    peer.close()


async def test_however_many_places_it_has_ways_to_few_are_kept() -> None:
    peer = Peer((), user_agent="rerankd/test")
    for port in range(1, 30):
        with pytest.raises(AttemptFailed):
            await peer.get(place_of(f"https://10.0.0.1:{port}"), {}, timeout_s=PATIENCE_S)
    assert len(peer._ways) <= 8  # pyright: ignore[reportPrivateUsage]
    peer.close()


async def test_a_header_that_would_be_two_is_not_sent() -> None:
    peer = Peer((), user_agent="rerankd/test")
    place = place_of("http://127.0.0.1:1/")
    with pytest.raises(AttemptFailed, match="refused"):
        await peer.get(place, {"authorization": "Bearer x\r\ny: z"}, timeout_s=PATIENCE_S)
    peer.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "ftp://x", "http://", "http://a b", "http://x/\r\n", "http://x/é"),
        *("http://u@x/", "http://x:0", "http://x:99999", "http://x/#a", "http://x\\@y"),
        "http://x/" + "x" * 2000,
    ],
)
def test_what_is_no_url(url: Any) -> None:
    with pytest.raises(StartError):
        place_of(url)
