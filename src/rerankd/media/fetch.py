"""Fetches one URL for a caller, within limits of time, of redirects, and of fetches at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rerankd.media import url
from rerankd.media.gate import Gate
from rerankd.media.refused import Outcome, Refused
from rerankd.media.url import Target
from rerankd.settings.schema import MediaSettings

if TYPE_CHECKING:
    from rerankd.media.hop import Hop

Observe = Callable[[Outcome, int, float], None]  # how a fetch ended, bytes, seconds


class Fetcher:
    """Fetches for all requests of a server: so many at once, and so many from one host."""

    def __init__(self, gate: Gate, limits: MediaSettings, observe: Observe) -> None:
        self._gate = gate
        self._limits = limits
        self._observe = observe
        self._at_once = asyncio.Semaphore(limits.fetches)
        self._hosts: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._hop: Hop | None = None  # made at the first URL

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
        limits, hop = self._limits, self._hops()
        left_s = limits.fetch_s  # of all hops together; waiting for a turn does not count
        for hops in range(limits.redirects + 1):
            async with self._turn(target.host):
                started = time.perf_counter()
                try:
                    location = await hop(target, limit_bytes, take, within_s=left_s)
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

    def _hops(self) -> Hop:
        if self._hop is None:
            from rerankd.media.hop import Hop  # here: 0.05 s to import, for servers that fetch

            self._hop = Hop(self._gate, self._limits)
        return self._hop

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


def _counted(body: bytearray, count: Callable[[int], None]) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        count(len(chunk))
        body.extend(chunk)

    return take
