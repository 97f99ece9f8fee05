"""A provider that speaks Jina's format and costs next to nothing: a process of its own.

    python bench/routing/upstream.py DOCUMENTS DELAY_S

Prints its port, then a line "asked N" whenever a line comes on stdin. A line `answers`, `slow`,
`hung` or `lying` says how it goes on: after the delay, after 2 s, not at all, or with an index that
nobody sent.
"""

from __future__ import annotations

import asyncio
import json
import sys

SLOW_S = 2.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def body_of(documents: int, first: int) -> bytes:
    """An answer, best first, whose first index may be wrong."""
    indices = [first, *range(1, documents)]
    results = [{"index": i, "relevance_score": 1 / (2 + n)} for n, i in enumerate(indices)]
    answer = {"model": "theirs", "usage": {"total_tokens": 9 * documents}, "results": results}
    return json.dumps(answer).encode()


class Upstream:
    """What all connections share."""

    def __init__(self, documents: int, delay_s: float) -> None:
        self.good, self.lie = body_of(documents, 0), body_of(documents, documents + 7)
        self.delay_s = delay_s
        self.mode = "answers"
        self.asked = 0


class Connection(asyncio.Protocol):
    """One client: whole requests in, answers out, in order."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._raw = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._raw += data
        while (end := self._raw.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._raw[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._raw) < end + 4 + length:
                return
            del self._raw[: end + 4 + length]
            self._asked()

    def _asked(self) -> None:
        upstream, loop = self._upstream, asyncio.get_running_loop()
        upstream.asked += 1
        if upstream.mode == "hung":
            return
        body = upstream.lie if upstream.mode == "lying" else upstream.good
        wait_s = SLOW_S if upstream.mode == "slow" else upstream.delay_s
        loop.call_later(wait_s, self._answer, body)

    def _answer(self, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            )
            self._transport.write(head % len(body) + body)


async def main(documents: int, delay_s: float) -> None:
    """Serve until stdin ends."""
    upstream, loop = Upstream(documents, delay_s), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            upstream.mode = line.strip() or upstream.mode
            print(f"asked {upstream.asked}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
