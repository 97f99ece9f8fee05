"""One request for a caller's URL: GET, no cookies, no credentials, no proxy.

Every hop has its own connection through the gate, so every redirect is checked as the first URL is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager

import httpcore2

from rerankd.media.gate import Gate
from rerankd.media.guarded import GuardedBackend
from rerankd.media.refused import Refused
from rerankd.media.url import Target
from rerankd.settings.schema import MediaSettings

_REDIRECTS = {301, 302, 303, 307, 308}
# Chunks of one byte would keep the event loop busy, and so every other request waiting.
_PIECES = 1024
_PIECE_BYTES = 256  # on average, beyond that


class Hop:
    """Makes requests, one connection each."""

    def __init__(self, gate: Gate, limits: MediaSettings) -> None:
        self._gate = gate
        self._limits = limits
        self._tls: ssl.SSLContext | None = None

    async def __call__(
        self,
        target: Target,
        limit_bytes: int,
        take: Callable[[bytes], None],
        *,
        within_s: float,
    ) -> bytes | None:
        """One request; the redirect's location, or None when the body was taken.

        Raises:
            Refused: says why, and what the caller can do.
        """
        with _explained(self._limits):
            async with asyncio.timeout(within_s):
                return await self._asked(target, limit_bytes, take)

    async def _asked(
        self, target: Target, limit_bytes: int, take: Callable[[bytes], None]
    ) -> bytes | None:
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

    def _context(self) -> ssl.SSLContext:
        """The system's certificates; SSL_CERT_FILE names others. Made at the first https URL."""
        if self._tls is None:
            self._tls = httpcore2.default_ssl_context()
        return self._tls


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
