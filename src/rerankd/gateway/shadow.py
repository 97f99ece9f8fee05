"""A target that is asked as well, beside the answer: do they agree, how fast, at what count?

Never on the way of a request: what it says is compared and dropped, and when it is slow, requests
are left out of the comparison.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, NamedTuple

from rerankd.core.agreement import spearman
from rerankd.core.answer import Ranking
from rerankd.core.request import RerankRequest
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.targets import RoutedName
from rerankd.telemetry.logs import log_failed_task

_AT_ONCE: Final = 4  # comparisons of one server; more are left out
_MOST_BYTES: Final = 1_048_576  # of texts that wait for a comparison, each


class Compared(NamedTuple):
    """One comparison; for /metrics."""

    route: str
    outcome: str  # "ok", how the shadow failed, or "left_out"
    order: float | None = None  # Spearman of the scores; None: not known, or one is constant
    # Of the shadow, and of who answered.
    seconds: tuple[float, float] = (0.0, 0.0)
    tokens: tuple[int | None, int | None] = (None, None)


class Shadows:
    """The comparisons of one server."""

    def __init__(self, tell: Callable[[Compared], None], random: Random) -> None:
        self._tell = tell
        self._random = random
        self._running: set[asyncio.Task[None]] = set()

    def watch(
        self,
        route: RoutedName,
        request: RerankRequest,
        answer: Ranking,
        seconds: float,
        ask: Callable[[RerankRequest], Awaitable[Ranking]],
    ) -> None:
        """Compare an answer, if it is its turn; returns at once.

        Args:
            route: with a shadow.
            request: what was asked.
            answer: what the caller got.
            seconds: how long that took.
            ask: asks the shadow for all scores.
        """
        if self._random.random() >= route.shadow_share:
            return
        size = sum(len(content.value) for _, content in request.contents())
        if len(self._running) >= _AT_ONCE or size > _MOST_BYTES:
            self._tell(Compared(route.name, "left_out"))
            return
        task = asyncio.get_running_loop().create_task(
            self._compare(route.name, request, answer, seconds, ask), name="shadow"
        )
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End what runs."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _compare(
        self,
        route: str,
        request: RerankRequest,
        answer: Ranking,
        seconds: float,
        ask: Callable[[RerankRequest], Awaitable[Ranking]],
    ) -> None:
        started = time.perf_counter()
        try:
            shadow = await ask(request)
        except AttemptFailed as failed:
            self._tell(Compared(route, failed.outcome))
            return
        self._tell(
            Compared(
                route,
                "ok",
                order=agreement(answer, shadow),
                seconds=(time.perf_counter() - started, seconds),
                tokens=(shadow.input_tokens, answer.input_tokens),
            )
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_failed_task("shadow", error)


def agreement(answer: Ranking, shadow: Ranking) -> float | None:
    """Spearman of the scores of the documents that both have; None where it says nothing."""
    theirs = {hit.index: hit.score for hit in shadow.hits}
    both = [(hit.score, theirs[hit.index]) for hit in answer.hits if hit.index in theirs]
    if len(both) < 2:
        return None
    found = spearman([a for a, _ in both], [b for _, b in both])
    return None if math.isnan(found) else found
