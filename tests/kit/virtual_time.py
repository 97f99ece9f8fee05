"""Time that passes only when nothing is left to do: whole schedules run in no time, exactly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.service.cache import ScoreCache
from rerankd.service.scheduler import Scheduler

T = TypeVar("T")


class _Impatient(selectors.DefaultSelector):  # pyright: ignore[reportUntypedBaseClass, reportGeneralTypeIssues] - chosen by platform
    """Does not wait, but says how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.waited_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with its own clock, in seconds from 0."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.waited_s


class TimedEngine(FakeEngine):
    """A batch takes `batch_s` plus its tokens at `tokens_per_s`; remembers what started when."""

    def __init__(
        self, *, batch_tokens: int, batch_s: float = 0.01, tokens_per_s: float = 1000
    ) -> None:
        super().__init__(max_length=None, batch_tokens=batch_tokens)
        self._batch_s = batch_s
        self._tokens_per_s = tokens_per_s
        self.started: list[tuple[float, list[Row]]] = []

    def seconds(self, tokens: int) -> float:
        """What a batch of so many tokens takes."""
        return self._batch_s + tokens / self._tokens_per_s

    @property
    def rows(self) -> list[Row]:
        """All rows that ran."""
        return [row for _, batch in self.started for row in batch]


class _VirtualThread:
    """An executor that answers when the engine's time has passed on the loop's clock."""

    def __init__(self, engine: TimedEngine) -> None:
        self._engine = engine

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        loop, future = asyncio.get_running_loop(), Future[Any]()
        spent_s = 0.0
        if arguments and all(isinstance(each, Row) for each in arguments[0]):
            batch: Sequence[Row] = arguments[0]
            self._engine.started.append((loop.time(), list(batch)))
            spent_s = self._engine.seconds(sum(row.tokens for row in batch))

        def done() -> None:
            try:
                future.set_result(work(*arguments))
            except Exception as error:  # noqa: BLE001 - handed to whoever waits, as executors do
                future.set_exception(error)

        loop.call_later(spent_s, done)
        return future

    def shutdown(self, *, wait: bool = True) -> None:
        """Nothing to stop."""


def schedule(
    engine: TimedEngine,
    story: Callable[[Scheduler], Coroutine[Any, Any, T]],
    *,
    request_tokens: int = 1_000_000,
    queue_tokens: int = 4_000_000,
    wait_s: float = 1e9,
    cache: ScoreCache | None = None,
) -> T:
    """Run a story in front of the real scheduler, in virtual time."""

    async def run() -> T:
        scheduler = Scheduler(
            engine,
            request_tokens=request_tokens,
            queue_tokens=queue_tokens,
            wait_s=wait_s,
            cache=cache,
            clock=asyncio.get_running_loop().time,
        )
        scheduler._thread = _VirtualThread(engine)  # type: ignore[assignment] # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        try:
            return await story(scheduler)
        finally:
            await scheduler.close()

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def alone(rows: Sequence[Row]) -> Logits:
    """What each row scores, whatever its company."""
    return FakeEngine(max_length=None).forward(rows)
