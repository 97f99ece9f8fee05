"""What one running server holds; made by the app factory, used by the endpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import msgspec

from rerankd.access.keys import KeyRing, key_of
from rerankd.access.rates import RateLimits
from rerankd.core.errors import Overloaded, StartError
from rerankd.dialects.wire import Options
from rerankd.service.health import Health
from rerankd.service.lag import LoopLag
from rerankd.service.pipeline import Pipeline
from rerankd.settings.schema import Limits, Settings
from rerankd.telemetry.metrics import Metrics
from rerankd.web.body import InflightBytes
from rerankd.web.client import Network
from rerankd.web.front import Front
from rerankd.web.threads import BodyThreads

_LAST_WORDS_S = 2.0  # for the 503s to be sent; a client that does not read must not stop the exit


class Drain:
    """From SIGTERM to exit: no new work, running requests get their time, the rest a 503."""

    def __init__(self) -> None:
        self.draining = False
        self.expired = asyncio.Event()  # running requests must end now
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Rerank requests in progress."""
        return self._running

    def __enter__(self) -> Self:
        if self.draining:
            raise shutting_down()
        self._running += 1
        self._idle.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._running -= 1
        if self._running == 0:
            self._idle.set()

    async def wait(self, patience_s: float) -> None:
        """Refuse new requests, give running ones `patience_s`, then end them with a 503."""
        self.draining = True
        try:
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        except TimeoutError:
            self.expired.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._idle.wait()


def shutting_down() -> Overloaded:
    """The error of a request that came, or still ran, when the server had to stop."""
    return Overloaded("The server is shutting down.", retry_after_s=5.0)


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that the endpoints share."""

    limits: Limits
    options: Options
    keys: KeyRing
    rates: RateLimits
    pipeline: Pipeline
    health: Health
    metrics: Metrics
    inflight: InflightBytes
    lag: LoopLag
    front: Front
    trusted: tuple[Network, ...] = ()  # proxies whose X-Forwarded-For is believed
    docs_need_key: bool = False  # /docs and /openapi.json, when keys are on
    threads: BodyThreads = field(default_factory=BodyThreads)
    drain: Drain = field(default_factory=Drain)
    failure: StartError | None = None  # why the server gave up, if it did

    def use_keys(self, settings: Settings) -> None:
        """Take over a new set of keys; a key that stays keeps the level of its limits."""
        keys = [key_of(**msgspec.structs.asdict(key)) for key in settings.keys]
        self.keys = KeyRing(keys)
        self.rates.keep(keys)
        self.pipeline.is_shared = len(keys) < 2 or self.limits.share_caches

    def waiting_tokens(self) -> Mapping[str, int]:
        """Tokens that wait, by model."""
        served = self.pipeline.pool.served
        return {name: model.scheduler.waiting_tokens for name, model in served.items()}

    def tokens_per_s(self) -> Mapping[str, float]:
        """How fast each model works, measured while there was work; 0 = not known yet."""
        served = self.pipeline.pool.served
        return {n: model.scheduler.admission.pace.tokens_per_s for n, model in served.items()}

    def backlog_s(self) -> Mapping[str, float]:
        """Seconds of work that wait, by model."""
        served = self.pipeline.pool.served
        return {name: model.scheduler.admission.backlog_s for name, model in served.items()}

    def cache_bytes(self) -> Mapping[str, int]:
        """Memory of the score caches, by model; a model without one is not in it."""
        caches = {n: m.scheduler.cache for n, m in self.pipeline.pool.served.items()}
        return {name: cache.used_bytes for name, cache in caches.items() if cache is not None}

    def media_bytes(self) -> Mapping[str, int]:
        """Bytes of images and videos in memory, by form."""
        media = self.pipeline.media
        if media is None:
            return {}
        return {"encoded": media.encoded.used_bytes, "decoded": media.decoded.used_bytes}
