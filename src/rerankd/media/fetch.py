"""Fetches one URL for a caller, within limits: GET, no cookies, no credentials, no proxy.

Every hop has its own connection through the gate, so every redirect is checked as the first URL is.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager

import httpcore2

from rerankd.media import url
from rerankd.media.gate import Gate, GuardedBackend
from rerankd.media.refused import Outcome, Refused
from rerankd.media.url import Target
from rerankd.settings.schema import MediaSettings

_REDIRECTS = {301, 302, 303, 307, 308}
# Chunks of one byte would keep the event loop busy, and so every other request waiting.
_PIECES = 1024
_PIECE_BYTES = 256  # on average, beyond that

Observe = Callable[[Outcome, int, float], None]  # how a fetch ended, bytes, seconds


class Fetcher:
    """Fetches for all requests of a server: so many at once, and so many from one host."""

    def __init__(self, gate: Gate, limits: MediaSettings, observe: Observe) -> None:
        self._gate = gate
        self._limits = limits
        self._observe = observe
        self._at_once = asyncio.Semaphore(limits.fetches)
        self._hosts: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, start: Target, limit_bytes: int, count: Callable[[int], None]) -> bytes:
        """The bytes behind a URL.

        Args:
            start: the caller's URL.
            limit_bytes: how many there may be.
            count: told of bytes as they come; what it raises ends the fetch.

        Raises:
            Refused: says why, and what the caller can do.
        """
        started = time.perf_counter()
        body = bytearray()
        outcome: Outcome = "cancelled"
        try:
            await self._followed(start, limit_bytes, _counted(body, count))
            outcome = "ok"
        except Refused as refused:
            outcome = refused.outcome
            raise
        finally:
            self._observe(outcome, len(body), time.perf_counter() - started)
        return bytes(body)

    async def _followed(
        self, target: Target, limit_bytes: int, take: Callable[[bytes], None]
    ) -> None:
        """Take redirects until there is a body. Raises Refused."""
        limits = self._limits
        left_s = limits.fetch_s  # of all hops together; waiting for a turn does not count
        for hops in range(limits.redirects + 1):
            async with self._turn(target.host):
                started = time.perf_counter()
                try:
                    with _explained(limits):
                        async with asyncio.timeout(left_s):
                            location = await self._hop(target, limit_bytes, take)
                except Refused as refused:
                    raise Refused(
                        f"after {hops} redirects: {refused}" if hops else str(refused),
                        refused.outcome,
                    ) from None
                left_s -= time.perf_counter() - started
            if location is None:
                return
            target = url.redirected(target, location)
        raise Refused(
            f"its host redirects more than {limits.redirects} times (media.redirects)", "http"
        )

    async def _hop(
        self, target: Target, limit_bytes: int, take: Callable[[bytes], None]
    ) -> bytes | None:
        """One request; the redirect's location, or None when the body was taken."""
        backend = GuardedBackend(self._gate)
        connection = httpcore2.AsyncHTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._context() if target.scheme == "https" else None,
            network_backend=backend,
        )
        async with aclosing(backend), aclosing(connection):
            response = await connection.handle_async_request(_request(target, self._limits))
            location = _location(response, limit_bytes)
            if location is not None:
                return location
            backend.head_came()
            received = pieces = 0
            async with aclosing(response.aiter_stream()) as chunks:
                async for chunk in chunks:
                    received += len(chunk)
                    pieces += 1
                    if pieces > _PIECES + received // _PIECE_BYTES:
                        raise Refused("its host sent it in absurdly small pieces", "http")
                    if received > limit_bytes:
                        raise _too_large(limit_bytes)
                    take(chunk)
            if not received:
                raise Refused("its host answered with an empty body", "http")
        return None

    @asynccontextmanager
    async def _turn(self, host: str):  # noqa: ANN202 - an asynchronous context manager of nothing
        """A place among the fetches of a host, then of the server; never two hosts' at once."""
        turns, users = self._hosts.get(host, (asyncio.Semaphore(self._limits.fetches_per_host), 0))
        self._hosts[host] = turns, users + 1
        try:
            async with turns, self._at_once:
                yield
        finally:
            turns, users = self._hosts[host]
            if users == 1:
                del self._hosts[host]
            else:
                self._hosts[host] = turns, users - 1

    def _context(self) -> ssl.SSLContext:
        """The system's certificates; SSL_CERT_FILE names others. Made at the first https URL."""
        if self._tls is None:
            self._tls = httpcore2.default_ssl_context()
        return self._tls


def _counted(body: bytearray, count: Callable[[int], None]) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        count(len(chunk))
        body.extend(chunk)

    return take


def _request(target: Target, limits: MediaSettings) -> httpcore2.Request:
    return httpcore2.Request(
        "GET",
        httpcore2.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode("ascii"),
        ),
        headers={
            "host": target.authority,
            "user-agent": "rerankd",
            "accept": "image/*, video/*",
            "accept-encoding": "identity",
            "connection": "close",
        },
        extensions={
            "timeout": {
                "connect": limits.connect_s,
                "read": limits.read_s,
                "write": limits.read_s,
            }
        },
    )


def _location(response: httpcore2.Response, limit_bytes: int) -> bytes | None:
    """Where an answer redirects to; None when its body can be read. Raises Refused."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in response.headers:
        headers.setdefault(name.lower(), []).append(value.strip())
    if response.status in _REDIRECTS:
        locations = headers.get(b"location", [])
        if len(locations) != 1:
            raise Refused("its host redirects to nowhere", "http")
        return locations[0]
    if response.status != 200:
        raise Refused(f"its host answered with HTTP status {response.status}", "http")
    for coding in headers.get(b"content-encoding", []):
        if coding.lower() not in (b"", b"identity"):
            raise Refused(
                "its host sent a compressed body (Content-Encoding), which nobody asked for", "http"
            )
    lengths = headers.get(b"content-length", [])
    if lengths and int(lengths[0]) > limit_bytes:  # h11 let only equal whole numbers through
        raise _too_large(limit_bytes)
    return None


def _too_large(limit_bytes: int) -> Refused:
    return Refused(
        f"it has more than {limit_bytes} bytes (media.image_bytes, media.video_bytes); send a "
        "smaller one",
        "too_large",
    )


@contextmanager
def _explained(limits: MediaSettings) -> Generator[None]:
    """What goes wrong on the network, as a sentence without addresses. Raises Refused."""
    try:
        yield
    except TimeoutError:
        raise Refused(
            f"its host did not send it within {limits.fetch_s:g} s (media.fetch_s)", "timeout"
        ) from None
    except httpcore2.ConnectTimeout:
        raise Refused(
            f"its host could not be reached within {limits.connect_s:g} s (media.connect_s)",
            "timeout",
        ) from None
    except httpcore2.TimeoutException:
        raise Refused(
            f"its host sent nothing for {limits.read_s:g} s (media.read_s)", "timeout"
        ) from None
    except httpcore2.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise Refused("its host has no valid certificate for its name", "unreachable") from None
        raise Refused("its host could not be reached", "unreachable") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        raise Refused("its host broke off, or does not speak HTTP", "http") from None
