"""One connection to an upstream: bytes out, bytes in as they come, no layer in between."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, Protocol, cast

_AHEAD_BYTES: Final = 65_536  # that came and nobody has read yet


class Line(Protocol):
    """What carries the bytes of requests and answers."""

    @property
    def is_fresh(self) -> bool:
        """Whether it is open and nothing came that nobody asked for."""
        ...

    def write(self, data: bytes) -> None:
        """Send, in the background; whether it arrives shows in what comes."""
        ...

    async def read(self) -> bytes:
        """What came since, at least a byte; b"" = it has ended, however."""
        ...

    def close(self) -> None:
        """End it; nobody reads any more."""
        ...


async def dial(host: str, port: int, tls: ssl.SSLContext | None, name: str) -> Line:
    """A connection to an address.

    Args:
        host: an address, not a name.
        port: there.
        tls: None = without.
        name: whose certificate it must show.

    Raises:
        OSError: there is none, or TLS failed.
    """
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(
        _TcpLine, host, port, ssl=tls, server_hostname=None if tls is None else name
    )
    return line


class _TcpLine(asyncio.Protocol):
    """A Line over a socket; one reader at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came: list[bytes] = []
        self._ahead = 0  # bytes of them
        self._has_ended = False
        self._is_paused = False
        self._reader: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self._came.append(data)
        self._ahead += len(data)
        if self._ahead > _AHEAD_BYTES and self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._has_ended = True
        self._wake()

    @property
    def is_fresh(self) -> bool:
        """As the protocol says."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and not self._has_ended and not self._came

    def write(self, data: bytes) -> None:
        """As the protocol says."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def read(self) -> bytes:
        """As the protocol says."""
        if not self._came and not self._has_ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._came[0] if len(self._came) == 1 else b"".join(self._came)
        self._came.clear()
        self._ahead = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        """As the protocol says; at once, for a peer that does not read would hold up what waits."""
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
