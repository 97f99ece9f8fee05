"""HTTP/1.1 to one upstream: connections that are kept, bounded answers, no redirects, no proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.address import Guard, Origin
from rerankd.gateway.exchange import Method, Unanswered, exchange, request_bytes
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.line import Line, dial
from rerankd.media import address
from rerankd.media.address import Address
from rerankd.media.gate import Resolve

_TRIED: Final = 4  # addresses of one host
_KEPT_S: Final = 30.0  # that a connection without a request is kept: less than most servers do


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request."""

    target: str  # path, percent-encoded
    headers: Mapping[str, str]
    body: bytes
    method: Method = "POST"


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
        keeps: bool = True,
    ) -> None:
        """No connection is open yet; `keeps`: whether one stays open behind its request."""
        self._origin = origin
        self._guard = guard
        self._resolve = resolve
        self._connect_s = connect_s
        self._answer_bytes = answer_bytes
        self._idle: list[tuple[Line, float]] = []
        self._tls: ssl.SSLContext | None = None
        self._keeps = keeps

    async def send(self, sent: Sent, *, timeout_s: float) -> WireAnswer:
        """As the protocol says.

        A connection that the other side closed while nobody used it is noticed at the latest when
        a request finds it closed: that request is sent again on a new one.
        """
        headers = {"host": self._origin.authority, **sent.headers}
        request = request_bytes(sent.target, headers, sent.body, method=sent.method)
        try:
            async with asyncio.timeout(timeout_s):
                kept = self._take()
                if kept is not None:
                    with contextlib.suppress(Unanswered):
                        return await self._exchange(kept, request)
                return await self._exchange(await self._opened(), request)
        except Unanswered as error:
            raise AttemptFailed("unreachable") from error
        except TimeoutError as error:
            raise AttemptFailed("timeout") from error

    async def close(self) -> None:
        """Close those that nobody uses; the others close when their answer is there."""
        self._keeps = False
        idle, self._idle = self._idle, []
        for line, _ in idle:
            line.close()
        await asyncio.sleep(0)  # the loop ends them in its next turn

    def _take(self) -> Line | None:
        """The connection used last; those that are closed or old are dropped."""
        now = time.monotonic()
        while self._idle:
            line, since = self._idle.pop()
            if now - since <= _KEPT_S and line.is_fresh:
                return line
            line.close()
        return None

    async def _opened(self) -> Line:
        """A new connection, to an address that the guard was shown. Raises AttemptFailed."""
        found = await self._addresses()
        if self._guard.refused(found):
            raise AttemptFailed("unreachable", was_sent=False)
        origin, tls = self._origin, None
        if origin.scheme == "https":
            tls = self._tls = self._tls or ssl.create_default_context()
        failed: OSError | None = None
        for each in found[:_TRIED]:
            try:
                async with asyncio.timeout(self._connect_s):
                    return await dial(str(each), origin.port, tls, origin.host)
            except OSError as error:  # TimeoutError is one
                failed = error
        raise AttemptFailed("unreachable", was_sent=False) from failed

    async def _addresses(self) -> list[Address]:
        """What its host stands for now. Raises AttemptFailed."""
        host = self._origin.host
        try:
            return [address.parse(host)]
        except ValueError:
            pass
        try:
            async with asyncio.timeout(self._connect_s):
                return [address.parse(found) for found in await self._resolve(host)]
        except (OSError, ValueError) as error:
            raise AttemptFailed("unreachable", was_sent=False) from error

    async def _exchange(self, line: Line, request: bytes) -> WireAnswer:
        """One request and its whole answer; the connection is kept or closed.

        Raises:
            Unanswered: it was closed before an answer began.
        """
        is_kept = False
        try:
            done = await exchange(line, request, answer_bytes=self._answer_bytes)
            is_kept = done.is_kept and self._keeps
            return done.answer
        finally:
            if is_kept:
                self._idle.append((line, time.monotonic()))
            else:
                line.close()
