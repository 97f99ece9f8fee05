"""A load generator that costs little: raw connections, ready bytes, answers counted, not read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass

GONE = 0  # the status of a request that its client gave up
LOST = -1  # of one whose connection ended without an answer
REFUSED_CONNECTION = -2  # of one that found nobody listening
LATE_LOSS = -3  # of one sent on a kept connection that the server closed before it read a byte
NAMES_OF_STATUS = {
    GONE: "client gave up",
    LOST: "connection lost",
    REFUSED_CONNECTION: "connection refused",
    LATE_LOSS: "lost on a kept connection",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: HTTP status or one of the above, times in seconds."""

    status: int
    sent_at: float  # time.monotonic()
    taken_s: float
    retry_after_s: float | None = None
    closes: bool = False  # the server said Connection: close


class Connection(asyncio.Protocol):
    """One kept HTTP/1.1 connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[tuple[int, float | None, bool]] | None = None
        self._head = b""
        self._left = -1  # bytes of the body still to come; -1 = in the head
        self._said: tuple[int, float | None, bool] = (0, None, False)
        self.used = 0
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Count what comes until the answer is whole."""
        if self._left < 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self._said, self._left = _read_head(head)
        self._left -= len(data)
        if self._left <= 0:
            self._left = -1
            self._settle(self._said)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns it."""
        self.open = False
        # A kept connection that ends before a byte came back: the request met a server that had
        # closed it already.
        lost = LATE_LOSS if self.used > 1 and self._left < 0 and not self._head else LOST
        self._settle((lost, None, True))

    def _settle(self, said: tuple[int, float | None, bool]) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(said)

    async def ask(self, request: bytes, give_up_s: float) -> Answer:
        """Send a whole request; hang up when `give_up_s` are over."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self.used += 1
        started = time.monotonic()
        if self._transport is None or not self.open:
            return Answer(LATE_LOSS if self.used > 1 else LOST, started, 0.0)
        self._transport.write(request)
        try:
            async with asyncio.timeout(give_up_s):
                status, retry_after_s, closes = await waiter
        except TimeoutError:
            self.hang_up()
            return Answer(GONE, started, time.monotonic() - started)
        if closes:
            self.hang_up()
        return Answer(status, started, time.monotonic() - started, retry_after_s, closes)

    def hang_up(self) -> None:
        """Leave."""
        self.open = False
        if self._transport is not None:
            self._transport.close()


def _read_head(head: bytes) -> tuple[tuple[int, float | None, bool], int]:
    """((status, Retry-After, closes), length of the body)."""
    lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
    after = fields.get(b"retry-after")
    closes = fields.get(b"connection") == b"close"
    length = int(fields.get(b"content-length", b"0"))
    return (int(lines[0][9:12]), None if after is None else float(after), closes), length


class Clients:
    """As many connections as are needed at once; an idle one is taken first."""

    def __init__(self, port: int, *, key: str = "", keep: bool = True) -> None:
        self._port, self._keep = port, keep
        authorization = f"authorization: Bearer {key}\r\n" if key else ""
        self._head = f"host: bench\r\ncontent-type: application/json\r\n{authorization}"
        self._idle: list[Connection] = []
        self.opened = 0

    async def post(
        self, body: bytes, *, path: str = "/v1/rerank", give_up_s: float = 600.0, extra: str = ""
    ) -> Answer:
        """One request."""
        head = f"POST {path} HTTP/1.1\r\n{self._head}{extra}content-length: {len(body)}\r\n\r\n"
        return await self._ask(head.encode() + body, give_up_s)

    async def get(self, path: str, *, give_up_s: float = 600.0) -> Answer:
        """One page."""
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode(), give_up_s)

    async def _ask(self, request: bytes, give_up_s: float) -> Answer:
        while self._idle and not self._idle[-1].open:
            self._idle.pop()
        started = time.monotonic()
        try:
            connection = self._idle.pop() if self._idle else await self._connect(give_up_s)
        except TimeoutError:
            return Answer(GONE, started, time.monotonic() - started)
        except OSError:
            return Answer(REFUSED_CONNECTION, started, time.monotonic() - started)
        try:
            answer = await connection.ask(request, give_up_s)
        except asyncio.CancelledError:
            connection.hang_up()
            raise
        if connection.open and self._keep:
            self._idle.append(connection)
        else:
            connection.hang_up()
        return answer

    async def _connect(self, give_up_s: float) -> Connection:
        async with asyncio.timeout(give_up_s):
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(Connection, "127.0.0.1", self._port)
        self.opened += 1
        return made

    def close(self) -> None:
        """Hang up all idle connections."""
        for connection in self._idle:
            connection.hang_up()
        self._idle.clear()


async def until_stopped(work: Awaitable[object], stop: asyncio.Event) -> None:
    """Run `work`; cancel it when `stop` is set."""
    task = asyncio.ensure_future(work)
    stopper = asyncio.ensure_future(stop.wait())
    await asyncio.wait([task, stopper], return_when=asyncio.FIRST_COMPLETED)
    for each in (task, stopper):
        each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await each
