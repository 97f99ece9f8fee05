"""Clients that keep their connection and send the next request when the answer is there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from routing.processes import KEY

WORDS = ("ridge", "valley", "copper", "lantern", "harbour", "signal", "orchard", "meadow")


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was answered, how long it took, its status (0: no answer)."""

    at_s: float  # time.perf_counter
    took_s: float
    status: int


def body(documents: int, model: str = "reranker") -> bytes:
    """A rerank request of short texts."""
    texts = [" ".join(WORDS[(i + n) % len(WORDS)] for n in range(8)) for i in range(documents)]
    return json.dumps({"model": model, "query": "granite ridge", "documents": texts}).encode()


def request(path: str, raw: bytes) -> bytes:
    """The bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, sent: bytes) -> Sample:
        """Send, and read the whole answer."""
        started = time.perf_counter()
        try:
            status = await self._exchange(sent)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            status = 0
        ended = time.perf_counter()
        return Sample(ended, ended - started, status)

    async def _exchange(self, sent: bytes) -> int:
        if self._pair is None:
            self._pair = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._pair
        writer.write(sent)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
        else:
            await self._chunks(reader)
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    async def _chunks(self, reader: asyncio.StreamReader) -> None:
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")

    def close(self) -> None:
        """Hang up."""
        if self._pair is not None:
            self._pair[1].close()
        self._pair = None


async def several(port: int, sent: bytes, *, clients: int, seconds: float) -> list[Sample]:
    """All requests of so many clients for so long."""
    ends = time.perf_counter() + seconds

    async def one() -> list[Sample]:
        client, samples = Client(port), list[Sample]()
        while time.perf_counter() < ends:
            samples.append(await client.ask(sent))
        client.close()
        return samples

    return [s for found in await asyncio.gather(*(one() for _ in range(clients))) for s in found]


def in_turn(targets: Sequence[tuple[int, bytes]], rounds: int) -> list[list[Sample]]:
    """One client that asks each target once, and again: all meet the same machine."""

    async def run() -> list[list[Sample]]:
        clients = [Client(port) for port, _ in targets]
        samples: list[list[Sample]] = [[] for _ in targets]
        for _ in range(rounds):
            for n, (_, sent) in enumerate(targets):
                samples[n].append(await clients[n].ask(sent))
        for client in clients:
            client.close()
        return samples

    return asyncio.run(run())
