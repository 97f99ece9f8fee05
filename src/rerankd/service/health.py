"""Can every model really score a pair? Asked at most once a second, outside the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rerankd.core.types import Content, RerankRequest
from rerankd.service.pool import Pool, Served

_EVERY_S = 1.0
_PATIENCE_S = 10.0  # one batch of the engine may be ahead of the probe
_PROBE = RerankRequest(
    query=Content(value="capital of France"), documents=(Content(value="Paris"),)
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Per model: "ok", or what is wrong."""

    models: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether every model scored."""
        return bool(self.models) and all(state == "ok" for state in self.models.values())


class Health:
    """Repeats its last verdict for a second; callers that come together share one probe."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._verdict = Verdict({})
        self._at = -_EVERY_S
        self._lock = asyncio.Lock()

    async def check(self) -> Verdict:
        """Score one pair with every planned model, or repeat what is less than a second old."""
        async with self._lock:
            if self._clock() - self._at >= _EVERY_S:
                states = await asyncio.gather(*(self._state(name) for name in self._pool.names))
                self._verdict = Verdict(dict(zip(self._pool.names, states, strict=True)))
                self._at = self._clock()
            return self._verdict

    async def _state(self, name: str) -> str:
        served = self._pool.served.get(name)
        if served is None:
            return "loading"
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._score(served)
        except TimeoutError:
            return f"no score within {_PATIENCE_S:g} s"
        except Exception:  # noqa: BLE001 - whatever is wrong, the verdict is that it does not score
            return "cannot score"

    async def _score(self, served: Served) -> str:
        rows = served.model.prepare(_PROBE).rows
        logits = await served.scheduler.probe(rows)
        return "ok" if np.isfinite(logits).all() else "gives scores that are not finite"
