"""Connections of httpcore2 that go through the gate: to a checked address, with a bounded head."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

import httpcore2

from rerankd.media.gate import Gate
from rerankd.media.refused import Refused

_HEAD_BYTES: Final = 65_536  # of an answer before its body; one read more may come


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects httpcore2 through the gate; one per connection, which it closes."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._network = cast(  # its type depends on whether anyio is there; Starlette brings it
            "httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend()
        )
        self._stream: _HeadFirst | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a checked address. Raises Refused, ConnectError, ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._gate.addresses(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        for place, each in enumerate(found):
            try:
                stream = await self._network.connect_tcp(str(each), port, timeout=timeout)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(found) - 1:
                    raise
            else:
                self._stream = _HeadFirst(stream)
                return self._stream
        raise httpcore2.ConnectError

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never. Raises Refused."""
        raise Refused("its host is no host")

    def head_came(self) -> None:
        """What comes now is the body, which has its own limit."""
        if self._stream is not None:
            self._stream.head_came()

    async def aclose(self) -> None:
        """Close what was opened, in whatever state a cancelled fetch left it."""
        if self._stream is not None:
            await self._stream.aclose()


class _HeadFirst(httpcore2.AsyncNetworkStream):
    """A connection that ends when an answer's head has no end: interim answers are not bounded."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._left_bytes: float = _HEAD_BYTES

    def head_came(self) -> None:
        """No limit any more."""
        self._left_bytes = math.inf

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Raises ReadError when the limit was reached before."""
        if self._left_bytes <= 0:
            raise httpcore2.ReadError
        found = await self._inner.read(max_bytes, timeout)
        self._left_bytes -= len(found)
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """As the stream inside."""
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the stream inside."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """This connection, encrypted: what counts is what is in it."""
        self._inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        """As the stream inside."""
        return self._inner.get_extra_info(info)
