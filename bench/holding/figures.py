"""Small sums that several parts share."""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from .client import NAMES_OF_STATUS, Answer
from .process import Server


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; nan of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def statuses(answers: Iterable[Answer]) -> dict[str, int]:
    """How many of each, by status or by what happened instead."""
    counted = Counter(NAMES_OF_STATUS.get(answer.status, str(answer.status)) for answer in answers)
    return dict(sorted(counted.items()))


def own_cpu_s() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: change of the second by one of the first."""
    n = len(points)
    if n < 2:
        return math.nan
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / (sum((x - mean_x) ** 2 for x, _ in points) or math.nan)


class Memory:
    """Resident MiB while a part runs: every half second, and the kernel's own peak."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seen: list[float] = []

    async def _watch(self) -> None:
        while True:
            self.seen.append(self._server.usage().rss_mb)
            await asyncio.sleep(0.5)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncGenerator[Memory]:
        """Watch while the block runs."""
        self._server.forget_peak()
        task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            task.cancel()

    def told(self) -> dict[str, float]:
        """Now and the peak since watching began, MiB."""
        used = self._server.usage()
        return {"rss_mb": used.rss_mb, "peak_mb": max([used.peak_mb, *self.seen])}


def rounded(value: Any) -> Any:
    """Floats to four significant digits, everywhere below."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
