"""Scores windows by asking somebody for one request after the other, many at once.

Whoever has no room now is asked again when it says, so that no row fails because others were first.
The requests run on an event loop of their own, on a thread.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from rerankd.bulk.groups import Answer
from rerankd.core.answer import Ranking
from rerankd.core.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RerankError,
    StartError,
    Unauthorized,
    UnknownModel,
    UnknownPath,
    UpstreamFailed,
)
from rerankd.core.request import RerankRequest

T = TypeVar("T")

Ask = Callable[[RerankRequest], Awaitable[Ranking]]
PATIENCE_S: Final = 600.0  # without any answer; then the job stops
_LEAST_S, _MOST_S = 0.5, 60.0  # between two tries of one request
_MOST_BROKEN: Final = 5  # tries of a request that whoever scores cannot run, or not in time
_STOPS: Final = (Unauthorized, Forbidden, QuotaExceeded, UnknownModel, UnknownPath)
_OF_THE_ROW: Final = (InvalidRequest, BodyTooLarge)
_BROKEN: Final = (EngineFailed, DeadlineExceeded)
_LATER: Final = (RateLimited, Overloaded, UpstreamFailed)


class AskingScorer:
    """A Scorer (bulk.job) that asks."""

    def __init__(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Ask]],
        *,
        in_flight: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Open whoever is asked.

        Args:
            opened: on the event loop: who is asked, until it is closed.
            in_flight: requests at once.
            patience_s: for how long nothing may be answered.

        Raises:
            StartError: it cannot be opened.
        """
        self.ahead = 4
        self.most_pairs = 100
        self._patience_s = patience_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bulk-ask")
        self._thread.start()
        self._room = asyncio.Semaphore(in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered_s = self._loop.time()
        self._who = opened()
        try:
            self._ask = self._done(self._who.__aenter__())
        except BaseException:
            self._stop_loop()
            raise

    def begin(self, requests: Sequence[RerankRequest]) -> Future[Sequence[Answer]]:
        """See Scorer."""
        found: Future[Sequence[Answer]] = Future()
        found.set_running_or_notify_cancel()  # what is sent is paid for: it is waited for
        self._loop.call_soon_threadsafe(self._spawn, requests, found)
        return found

    def close(self) -> None:
        """End what is under way, close whoever is asked."""
        try:
            self._done(self._ended())
        finally:
            self._stop_loop()

    def _spawn(self, requests: Sequence[RerankRequest], found: Future[Sequence[Answer]]) -> None:
        task = self._loop.create_task(self._window(requests, found))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _window(
        self, requests: Sequence[RerankRequest], found: Future[Sequence[Answer]]
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._answer(request)) for request in requests]
            found.set_result([each.result() for each in asked])
        except BaseExceptionGroup as failed:
            found.set_exception(failed.exceptions[0])
        except BaseException as error:
            found.set_exception(error)
            raise

    async def _answer(self, request: RerankRequest) -> Answer:
        """A ranking, or what is wrong with the request. Raises StartError."""
        tries, broken = 0, 0
        async with self._room:
            while True:
                try:
                    ranking = await self._ask(request)
                except _STOPS as error:
                    raise StartError(f"The job cannot go on: {error.message}") from error
                except _OF_THE_ROW as error:
                    self._answered_s = self._loop.time()
                    return error
                except _BROKEN as error:
                    broken += 1
                    if error.is_final or broken >= _MOST_BROKEN:
                        return error
                    failed: RerankError = error
                except _LATER as error:
                    failed = error
                else:
                    self._answered_s = self._loop.time()
                    return ranking
                tries += 1
                await self._rest(failed, tries)

    async def _rest(self, failed: RerankError, tries: int) -> None:
        """Wait as long as is asked for, or longer each time. Raises StartError."""
        asked_s = getattr(failed, "retry_after_s", 0.0)
        own_s = min(_LEAST_S * 2 ** min(tries, 8), _MOST_S)
        rest_s = max(asked_s, own_s if not asked_s else _LEAST_S)
        quiet_s = self._loop.time() - self._answered_s
        if quiet_s + rest_s > self._patience_s:
            raise StartError(
                f"Nothing was answered for {quiet_s:.0f} s: {failed.message} "
                "The same command goes on later."
            )
        await asyncio.sleep(rest_s * random.uniform(1.0, 1.1))

    async def _ended(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._who.__aexit__(None, None, None)

    def _done(self, work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
