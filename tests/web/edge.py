"""A small app behind the HTTP protocol of the server, on a loop of its own, for raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from rerankd.dialects.registry import SERVED
from rerankd.settings.schema import Limits
from rerankd.web.protocol import BoundedProtocol, bounded
from tests.kit.processes import PATIENCE_S

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class App:
    """Answers /size with the body's, /wait when told to, /refuse unread, /big with 32 MB."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started: list[str] = []
        self.left: list[str] = []  # paths whose client was seen to leave
        self.sent: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.started.append(path)
        answer = path.encode()
        self.headers = scope["headers"]
        if path == "/size":
            size = await _read(receive)
            if size is None:
                self.left.append(path)
                return
            answer = b"%d bytes" % size
        elif path == "/wait":
            gone = asyncio.create_task(_gone(receive))
            going = asyncio.create_task(self.go.wait())
            await asyncio.wait({gone, going}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                self.left.append(path)
                going.cancel()
                return
            gone.cancel()
        elif path == "/big":
            answer = b"x" * 32_000_000
        headers = [(b"content-length", b"%d" % len(answer))]
        status = 401 if path == "/refuse" else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        self.sent.append(path)


async def _read(receive: Receive) -> int | None:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        size += len(message["body"])
        if not message["more_body"]:
            return size


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Edge:
    """The app's port, and the loop that serves it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bounds: Limits) -> None:
        self.app = App()
        self.loop = loop
        self.protocols: list[BoundedProtocol] = []
        self.state = ServerState()
        config: Any = uvicorn.Config(self.app, lifespan="off", log_config=None)
        config.load()
        kind = bounded(bounds, SERVED.root)

        def made() -> BoundedProtocol:
            self.protocols.append(kind(config, self.state, {}, loop))
            return self.protocols[-1]

        server = loop.run_until_complete(loop.create_server(made, "127.0.0.1", 0))
        self.port: int = server.sockets[0].getsockname()[1]
        self._server = server

    def run(self) -> None:
        """Serve until stopped."""
        self.loop.run_forever()
        self._server.close()
        for protocol in self.protocols:
            protocol.out.raw.abort()
        self.loop.run_until_complete(asyncio.sleep(0.05))
        self.loop.close()

    def call(self, function: Callable[[], Any]) -> None:
        """Run it on the loop."""
        self.loop.call_soon_threadsafe(function)

    def connect(self, *, receive_bytes: int | None = None) -> socket.socket:
        """A client's connection."""
        client = socket.socket()
        client.settimeout(PATIENCE_S)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.connect(("127.0.0.1", self.port))
        return client


@contextlib.contextmanager
def edge(loop: str, bounds: Limits) -> Generator[Edge]:
    """An app that is served while the test runs."""
    made = Edge(LOOPS[loop](), bounds)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.call(made.loop.stop)
        thread.join(PATIENCE_S)


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    """A request's bytes, with a length."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(path: str, *headers: str) -> bytes:
    """The headers of a request whose body comes in chunks."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def read_all(client: socket.socket) -> bytes:
    """What comes until the server ends its side; a reset ends it too."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(1_048_576):
            found += part
    return found


def read_until(client: socket.socket, mark: bytes, times: int = 1) -> bytes:
    """What comes until it holds the mark so often."""
    found = b""
    while found.count(mark) < times:
        part = client.recv(65_536)
        assert part, found[-300:]
        found += part
    return found


def send_until_closed(client: socket.socket, part: bytes, limit_bytes: int) -> int:
    """Bytes that the other side took before it closed, up to the limit."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < limit_bytes:
            sent += client.send(part)
    return sent
