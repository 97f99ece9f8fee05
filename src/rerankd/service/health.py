"""Can every model really score a pair? Asked at most once a second, on the way that requests take.

The probe is tokenised where small requests are and goes through the model's queue, first in line.
Whoever asks gets an answer at once: the last verdict, while a probe is under way. A probe that
does not come back is a verdict too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from rerankd.core.request import Content, RerankRequest
from rerankd.service.base import NOT_LOADED, HealthVerdict
from rerankd.service.pool import LoadedModel, Pool

_EVERY_S: Final = 1.0
_MOMENT_S: Final = 0.1  # how long an answer waits for a probe that has just begun
_LEAST_PATIENCE_S: Final = 10.0  # one row of a slow model may be ahead of the probe
_PROBE = RerankRequest(
    query=Content(value="capital of France"), documents=(Content(value="Paris"),)
)


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one loaded model."""

    loaded: LoadedModel
    state: str = "ok"  # it scored when it was loaded
    ended_at: float = float("-inf")
    began_at: float = 0.0
    probe: asyncio.Task[None] | None = None


class Health:
    """One probe a second and model at most, whoever asks; callers that come together share it."""

    def __init__(
        self,
        pool: Pool,
        *,
        lane: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        moment_s: float = _MOMENT_S,
    ) -> None:
        """Nothing is asked yet.

        Args:
            pool: its planned models.
            lane: where small requests are tokenised; None = asyncio's own threads.
            clock: in seconds.
            moment_s: how long an answer waits for a probe.
        """
        self._pool = pool
        self._lane = lane
        self._clock = clock
        self._moment_s = moment_s
        self._known: dict[str, _Known] = {}

    @property
    def patience_s(self) -> float:
        """After so long without a score a model is not healthy; requests may wait for wait_s."""
        return max(_LEAST_PATIENCE_S, self._pool.limits.wait_s + 5.0)

    async def check(self) -> HealthVerdict:
        """What every planned model's last probe said, a new one begun when that is a second old."""
        now = self._clock()
        self._known = {name: self._of(name, s) for name, s in self._pool.loaded.items()}
        for known in self._known.values():
            if known.probe is None and now - known.ended_at >= _EVERY_S:
                known.began_at = now
                known.probe = asyncio.create_task(self._score(known))
        running = [known.probe for known in self._known.values() if known.probe is not None]
        if running:
            await asyncio.wait(running, timeout=self._moment_s)
        return HealthVerdict({name: self._state(name) for name in self._pool.names.models})

    def _of(self, name: str, loaded: LoadedModel) -> _Known:
        known = self._known.get(name)
        return known if known is not None and known.loaded is loaded else _Known(loaded)

    def _state(self, name: str) -> str:
        known = self._known.get(name)
        if known is None:
            return NOT_LOADED if name in self._pool.off else "loading"
        scheduler, now = known.loaded.scheduler, self._clock()
        if scheduler.is_broken:
            return "its queue failed"
        if scheduler.running_s > self.patience_s:
            return f"one call into the engine has been running for {scheduler.running_s:.0f} s"
        if known.probe is not None and now - known.began_at > self.patience_s:
            return f"no score within {self.patience_s:g} s"
        return known.state

    async def _score(self, known: _Known) -> None:
        """One probe; its end is a verdict, whatever it is."""
        try:
            loop, model = asyncio.get_running_loop(), known.loaded.model
            prepared = await loop.run_in_executor(self._lane, model.prepare, _PROBE)
            await known.loaded.scheduler.probe(prepared.rows)  # raises where a score is not finite
            known.state = "ok"
        except Exception:  # noqa: BLE001 - whatever is wrong, the verdict is that it does not score
            known.state = "cannot score"
        finally:
            known.ended_at = self._clock()
            known.probe = None

    def forget(self, name: str) -> None:
        """Hold a model no more that was unloaded, and end its probe."""
        known = self._known.pop(name, None)
        if known is not None and known.probe is not None:
            known.probe.cancel()

    def close(self) -> None:
        """End the probes that are under way."""
        for known in self._known.values():
            if known.probe is not None:
                known.probe.cancel()
