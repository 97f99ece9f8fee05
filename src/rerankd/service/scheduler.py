"""Joins rows of many requests into batches: one engine, one thread, no timer.

While the engine runs a batch, new rows pile up, and the next batch takes them. Load makes the
batches. A whole request is admitted or refused; nothing here sleeps or polls.

Equal rows of one batch are scored once, whoever sent them. With a score cache, rows that it knows
are neither queued nor scored; it is asked again when a batch starts, for what others brought in
the meantime. Without one, equal rows in different batches are scored again: to wait for another
request's row would tie a request to that one's deadline, cancellation and failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rerankd.core.batch import distinct
from rerankd.core.errors import EngineFailed, Overloaded, RerankError
from rerankd.core.fair import FairQueue, Job
from rerankd.core.meter import over_limit
from rerankd.core.types import Logits, Row
from rerankd.engines.base import Engine, Remembering
from rerankd.service.cache import ScoreCache

_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Scored:
    """Logits (B, K) for the B rows of one request, and where its time went."""

    logits: Logits
    cached_tokens: Sequence[int]  # (B,): all of a row from the score cache, or the engine's number
    queue_s: float  # from admission until its first row started
    engine_s: float  # from then until its last row was done


@dataclass(slots=True, eq=False)
class _Request:
    """One admitted request while its rows run."""

    rows: Sequence[Row]
    future: asyncio.Future[Scored]
    admitted_at: float
    outputs: list[Logits | None]  # (K,) per row
    cached_tokens: list[int]
    remaining: int
    started_at: float | None = None

    def store(self, index: int, logits: Logits, *, cached_tokens: int) -> None:
        self.outputs[index] = logits
        self.cached_tokens[index] = cached_tokens
        self.remaining -= 1
        if self.remaining == 0 and not self.future.done():
            self.future.set_result(self.scored())

    def scored(self) -> Scored:
        now = time.monotonic()
        started = self.started_at if self.started_at is not None else now
        stacked = np.stack([out for out in self.outputs if out is not None])
        return Scored(stacked, self.cached_tokens, started - self.admitted_at, now - started)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Scheduler:
    """Admission, fairness and cancellation in front of one engine."""

    def __init__(
        self,
        engine: Engine,
        *,
        request_tokens: int,
        queue_tokens: int,
        cache: ScoreCache | None = None,
    ) -> None:
        self.engine = engine
        self.cache = cache
        self.request_tokens = request_tokens
        self.queue_tokens = queue_tokens
        self._queue: FairQueue[_Request] = FairQueue()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._tokens_per_s = 0.0  # moving average, for Retry-After
        self._held = 0  # requests between hold() and their answer
        self._reserved_tokens = 0  # estimates of requests that are being prepared
        self._closed = False
        self._running: Sequence[tuple[Job[_Request], int]] = ()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop().create_task(self._run())

    @property
    def waiting_tokens(self) -> int:
        """Tokens admitted whose rows have not started."""
        return self._queue.waiting_tokens

    def check_room(self, tokens: int = 0) -> None:
        """Refuse what cannot be taken, before any work is done for it.

        A request that alone exceeds the queue is admitted when the queue is empty.

        Raises:
            InvalidRequest: the request is over limits.request_tokens, whatever the load.
            Overloaded: the queue has no room for it now.
        """
        if tokens > self.request_tokens:
            raise over_limit(tokens, self.request_tokens)
        if self._closed:
            raise Overloaded("The model was unloaded.", retry_after_s=_RETRY_MIN_S)
        waiting = self.waiting_tokens + self._reserved_tokens
        if waiting and waiting + max(tokens, 1) > self.queue_tokens:
            raise Overloaded(
                f"The queue holds {waiting} of {self.queue_tokens} tokens and has no room for "
                f"{tokens} more.",
                retry_after_s=self._retry_after_s(waiting),
            )

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Keep the model loaded while a request is prepared and scored."""
        self._held += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._held -= 1
            if self._held == 0:
                self._idle.set()

    @contextlib.contextmanager
    def reserve(self, estimate_tokens: int) -> Generator[None]:
        """Room in the queue for a request whose tokens are not counted yet.

        A full queue is then refused before the tokenizer works, not after. The exact count is
        checked by submit().

        Raises:
            Overloaded: there is no room even for the estimate.
        """
        self.check_room(min(estimate_tokens, self.request_tokens))
        self._reserved_tokens += estimate_tokens
        try:
            yield
        finally:
            self._reserved_tokens -= estimate_tokens

    async def submit(self, rows: Sequence[Row], *, key: str = "", priority: int = 0) -> Scored:
        """Score B rows. The whole request is admitted, or none of it.

        Cancelling the caller (client gone, deadline passed) drops the rows that still wait.

        Raises:
            InvalidRequest, Overloaded: as check_room.
            EngineFailed: the engine could not answer.
        """
        known = [self._known(row) for row in rows]
        missing = [i for i, logits in enumerate(known) if logits is None]
        if missing or self._closed:
            self.check_room(sum(rows[i].tokens for i in missing))
        request = _Request(
            rows=rows,
            future=asyncio.get_running_loop().create_future(),
            admitted_at=time.monotonic(),
            outputs=known,
            cached_tokens=[
                0 if logits is None else row.tokens for row, logits in zip(rows, known, strict=True)
            ],
            remaining=len(missing),
        )
        if not missing:
            return request.scored()
        lengths = [row.tokens for row in rows]
        job = self._queue.add(request, lengths, key=key, priority=priority, only=missing)
        self._wake.set()
        try:
            with self.hold():
                return await request.future
        finally:
            self._queue.cancel(job)

    async def probe(self, rows: Sequence[Row]) -> Logits:
        """Score rows at the next batch boundary, outside the queue: for health checks only."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.engine.forward, rows)

    async def finish(self) -> None:
        """Wait until every request that holds the model is answered."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop the loop and free the engine; requests in progress fail with Overloaded."""
        self._closed = True
        self._loop.cancel()
        if self.cache is not None:
            self.cache.clear()
        gone = Overloaded("The model was unloaded.", retry_after_s=_RETRY_MIN_S)
        for job, _ in self._running:
            job.owner.fail(gone)
        while batch := self._queue.next_batch(1 << 30):
            for job, _ in batch:
                job.owner.fail(gone)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self.engine.close)
        self._thread.shutdown(wait=False)

    def _retry_after_s(self, waiting_tokens: int) -> float:
        estimate = waiting_tokens / self._tokens_per_s if self._tokens_per_s else _RETRY_MIN_S
        return min(max(estimate, _RETRY_MIN_S), _RETRY_MAX_S)

    async def _run(self) -> None:
        while await self._wake.wait():
            batch = self._queue.next_batch(self.engine.info.batch_tokens)
            if not batch:
                self._wake.clear()
                continue
            started = time.monotonic()
            self._running = batch
            for job, _ in batch:
                if job.owner.started_at is None:
                    job.owner.started_at = started
            await self._score(batch)

    async def _score(self, batch: Sequence[tuple[Job[_Request], int]]) -> None:
        """Run one batch; if it fails, each request's rows alone, so that one cannot fail others."""
        rows = [job.owner.rows[i] for job, i in batch]
        known = [self._known(row) for row in rows]
        missing, inverse = distinct(
            [row for row, out in zip(rows, known, strict=True) if out is None]
        )
        try:
            logits, remembered = await self._forward(missing)
        except Exception as error:  # noqa: BLE001 - every waiter learns why; the loop lives on
            requests = {id(job.owner): job.owner for job, _ in batch}
            if len(requests) == 1:
                self._fail(batch, error)
                return
            for owner in requests:
                await self._score([(job, i) for job, i in batch if id(job.owner) == owner])
            return
        fresh = iter(inverse)
        for (job, i), row, out in zip(batch, rows, known, strict=True):
            if out is None:
                place = next(fresh)
                job.owner.store(i, logits[place], cached_tokens=remembered[place])
            else:
                job.owner.store(i, out, cached_tokens=row.tokens)

    def _fail(self, batch: Sequence[tuple[Job[_Request], int]], cause: Exception) -> None:
        job = batch[0][0]
        error = cause if isinstance(cause, RerankError) else EngineFailed("The engine failed.")
        if error is not cause:
            error.__cause__ = cause
        job.owner.fail(error)
        self._queue.cancel(job)

    async def _forward(self, rows: Sequence[Row]) -> tuple[Logits, Sequence[int]]:
        """Logits (B, K) of B rows, checked, timed and cached, and what the engine remembered, (B,).

        Without rows only a turn passes.

        Raises:
            EngineFailed, or whatever the engine raised.
        """
        if not rows:
            await asyncio.sleep(0)  # a queue full of cached rows must not hold the event loop
            return np.empty((0, 0), dtype=np.float32), ()
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        logits, remembered = await loop.run_in_executor(self._thread, self._run_engine, rows)
        if logits.ndim != 2 or logits.shape[0] != len(rows):
            raise EngineFailed(f"The engine gave shape {logits.shape} for {len(rows)} rows.")
        if not np.isfinite(logits).all():
            raise EngineFailed("The engine gave a logit that is not finite.")
        self._learn_speed(sum(row.tokens for row in rows), time.monotonic() - started)
        if self.cache is not None and not self._closed:
            for row, out in zip(rows, logits, strict=True):
                self.cache.put(row, out)
        return logits, remembered

    def _run_engine(self, rows: Sequence[Row]) -> tuple[Logits, Sequence[int]]:
        """On the engine's thread: nothing changes between the question and the batch."""
        engine = self.engine
        remembering = isinstance(engine, Remembering)
        remembered = engine.remembered_tokens(rows) if remembering else [0] * len(rows)
        return engine.forward(rows), remembered

    def _learn_speed(self, tokens: int, spent_s: float) -> None:
        speed, known = tokens / max(spent_s, 1e-6), self._tokens_per_s
        self._tokens_per_s = 0.8 * known + 0.2 * speed if known else speed

    def _known(self, row: Row) -> Logits | None:
        """The logits (K,) of a row that was scored before, if they are kept."""
        return None if self.cache is None else self.cache.get(row)
