"""HTTP/1.1 to one upstream: connections that are kept, bounded answers, no redirects, no proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

import httpcore2

from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.address import Guard, Origin
from rerankd.gateway.exchange import Unanswered, exchange, request_bytes
from rerankd.gateway.failover import AttemptFailed
from rerankd.media import address
from rerankd.media.address import Address
from rerankd.media.gate import Resolve

_TRIED: Final = 4  # addresses of one host
_KEPT_S: Final = 30.0  # that a connection without a request is kept: less than most servers do


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One POST."""

    target: str  # path, percent-encoded
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """What carries requests to one upstream."""

    async def send(self, sent: Sent, *, timeout_s: float) -> WireAnswer:
        """The answer, whatever its status; the body of a redirect is not read.

        Raises:
            AttemptFailed: "unreachable", "timeout" or "bad_answer" (too large).
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Kept:
    """A Transport over connections that stay open between requests.

    How many there are is up to who sends; a connection carries one request at a time.
    """

    def __init__(
        self,
        origin: Origin,
        guard: Guard,
        resolve: Resolve,
        *,
        connect_s: float,
        answer_bytes: int,
    ) -> None:
        self._origin = origin
        self._network = _Guarded(guard, resolve)
        self._connect_s = connect_s
        self._answer_bytes = answer_bytes
        self._idle: list[tuple[httpcore2.AsyncNetworkStream, float]] = []
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False

    async def send(self, sent: Sent, *, timeout_s: float) -> WireAnswer:
        """As the protocol says.

        A connection that the other side closed while nobody used it is noticed at the latest when
        a request finds it closed: that request is sent again on a new one.
        """
        headers = {"host": self._origin.authority, **sent.headers}
        request = request_bytes(sent.target, headers, sent.body)
        try:
            async with asyncio.timeout(timeout_s):
                kept = self._take()
                if kept is not None:
                    with contextlib.suppress(Unanswered):
                        return await self._exchange(kept, request)
                return await self._exchange(await self._opened(), request)
        except Unanswered as error:
            raise AttemptFailed("unreachable") from error
        except httpcore2.ConnectTimeout as error:
            raise AttemptFailed("unreachable") from error
        except (TimeoutError, httpcore2.TimeoutException) as error:
            raise AttemptFailed("timeout") from error
        except (OSError, httpcore2.NetworkError) as error:
            raise AttemptFailed("unreachable") from error

    async def close(self) -> None:
        """Close those that nobody uses; the others close when their answer is there."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for stream, _ in idle:
            await stream.aclose()

    def _take(self) -> httpcore2.AsyncNetworkStream | None:
        """The connection used last; those that are closed or old are dropped."""
        now = time.monotonic()
        while self._idle:
            stream, since = self._idle.pop()
            # Readable without a request: it has ended, or says what nobody asked for.
            if now - since <= _KEPT_S and not stream.get_extra_info("is_readable"):
                return stream
            _drop(stream)
        return None

    async def _opened(self) -> httpcore2.AsyncNetworkStream:
        """A new connection. Raises ConnectError, ConnectTimeout."""
        origin, timeout = self._origin, self._connect_s
        stream = await self._network.connect_tcp(origin.host, origin.port, timeout=timeout)
        if origin.scheme == "http":
            return stream
        if self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            return await stream.start_tls(self._tls, server_hostname=origin.host, timeout=timeout)
        except BaseException:
            await stream.aclose()
            raise

    async def _exchange(self, stream: httpcore2.AsyncNetworkStream, request: bytes) -> WireAnswer:
        """One request and its whole answer; the connection is kept or closed.

        Raises:
            Unanswered: it was closed before an answer began.
        """
        is_kept = False
        try:
            done = await exchange(stream, request, answer_bytes=self._answer_bytes)
            is_kept = done.is_kept and not self._is_closed
            return done.answer
        finally:
            if is_kept:
                self._idle.append((stream, time.monotonic()))
            else:
                await stream.aclose()


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that the guard was shown, and to no others."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._network = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection. Raises ConnectError, ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._addresses(host)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        if self._guard.refused(found):
            raise httpcore2.ConnectError("its host stands for an address that is not allowed")
        for place, each in enumerate(found[:_TRIED]):
            try:
                return await self._network.connect_tcp(str(each), port, timeout=timeout)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(found[:_TRIED]) - 1:
                    raise
        raise httpcore2.ConnectError

    async def _addresses(self, host: str) -> list[Address]:
        try:
            return [address.parse(host)]
        except ValueError:
            pass
        try:
            return [address.parse(found) for found in await self._resolve(host)]
        except (OSError, ValueError):
            raise httpcore2.ConnectError("its host has no address") from None


def _drop(stream: httpcore2.AsyncNetworkStream) -> None:
    """Close a connection that is of no use, without waiting."""
    task = asyncio.get_running_loop().create_task(stream.aclose())
    _closing.add(task)
    task.add_done_callback(_closed)


_closing: set[asyncio.Task[None]] = set()


def _closed(task: asyncio.Task[None]) -> None:
    _closing.discard(task)
    if not task.cancelled():
        task.exception()  # seen: it is closed, however
