"""Joins rows of many requests into batches: one engine, one thread, no timer.

While the engine runs a batch, new rows pile up, and the next batch takes them. Load makes the
batches, but for their size: one call into the engine is to take about `_CALL_S`, so that whoever
comes next, leaves or is cancelled does not wait for long. Rows that are longer than that run in
slices, where the engine can (engines.base.Sliced). A whole request is admitted or refused
(service.admission); nothing here sleeps or polls.

Equal rows of one batch are scored once, whoever sent them. With a score cache, rows that it knows
are neither queued nor scored; it is asked again when a batch starts, for what others brought in
the meantime. Without one, equal rows in different batches are scored again: to wait for another
request's row would tie a request to that one's deadline, cancellation and failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from rerankd.core.batch import distinct
from rerankd.core.errors import DeadlineExceeded, EngineFailed, Overloaded, RerankError
from rerankd.core.fair import FairQueue, WaitingRows
from rerankd.core.rows import Logits, Row, SoleText
from rerankd.engines.base import AnyEngine, ListwiseEngine, Remembering
from rerankd.engines.kinds import is_a
from rerankd.service.admission import RETRY_MIN_S, WAIT_S, Admission, QueueLimits, Ticket
from rerankd.service.cache import ScoreCache
from rerankd.service.engine_calls import run
from rerankd.service.watch import watched
from rerankd.service.work import Piece, Scored, Work, checked, close_slices, cut, held_tokens, step

T = TypeVar("T")
Batch = Sequence[tuple[WaitingRows[Work], int]]

_CALL_S: Final = 0.15  # what one call into the engine is to take
_CALL_TOKENS: Final = 512  # but at least so many tokens, or one of the engine's own slices
_REMEMBERED_COST: Final = 32  # a remembered token costs this many times less than one that runs
_PROBE_KEY: Final = "\0probe"  # no key has a control character in its name


class Scheduler:
    """Admission, fairness and cancellation in front of one engine."""

    def __init__(
        self,
        engine: AnyEngine,
        *,
        request_tokens: int,
        queue_tokens: int,
        wait_s: float = WAIT_S,
        cache: ScoreCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        # a list of documents is no pair: nothing of it is known before
        self.cache = None if is_a(engine, ListwiseEngine) else cache
        self._clock = clock
        self._queue: FairQueue[Work] = FairQueue()
        limits = QueueLimits(
            request_tokens=request_tokens, queue_tokens=queue_tokens, wait_s=wait_s
        )
        self.admission = Admission(self._queue, limits, clock)
        self.reserve, self.check_room = self.admission.reserve, self.admission.check
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._held = 0  # requests between hold() and their answer
        self._running: Batch = ()
        self._running_since: float | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_broken = False
        self._loop = asyncio.get_running_loop().create_task(
            watched("scheduler", self._run, self._broke)
        )

    @property
    def waiting_tokens(self) -> int:
        """Tokens admitted whose rows have not started."""
        return self._queue.waiting_tokens

    @property
    def request_tokens(self) -> int:
        """Tokens that one request may have."""
        return self.admission.limits.request_tokens

    @property
    def is_broken(self) -> bool:
        """Whether the loop that serves the queue has ended and is not back yet."""
        return self._is_broken or self._loop.done()

    @property
    def running_s(self) -> float:
        """For how long the call into the engine that runs now has been running."""
        return 0.0 if self._running_since is None else self._clock() - self._running_since

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

    async def submit(
        self,
        rows: Sequence[Row],
        *,
        key: str = "",
        priority: int = 0,
        ticket: Ticket | None = None,
        until: float | None = None,
        scope: bytes = b"",
    ) -> Scored:
        """Score B rows. The whole request is admitted, or none of it.

        Cancelling the caller (client gone, deadline passed) drops the rows that still wait, and
        ends a long row after the slice that runs.

        Args:
            rows: B > 0.
            key: whose share it uses.
            priority: lower goes first among the requests of the key.
            ticket: a place that was reserved for it.
            until: its deadline, on the clock.
            scope: whose part of the score cache it uses.

        Raises:
            InvalidRequest, Overloaded, DeadlineExceeded: as Admission.check.
            EngineFailed: the engine could not answer.
        """
        costs = self._costs(rows)
        known = self._known_of(rows, scope)
        missing = [i for i, logits in enumerate(known) if logits is None]
        tokens = sum(costs[i] for i in missing)
        if missing or self.admission.closed:
            self.admission.check_counted(tokens, ticket, key=key, until=until)
        work = self._work(rows, known, costs)
        work.until, work.scope = until, scope
        if not missing:
            return work.scored(self._clock())
        held_bytes = held_tokens(work, missing) * self.engine.info.slice_bytes
        with self.admission.long_row(held_bytes):
            start_by = self.admission.start_by(tokens)
            return await self._queued(work, missing, key, priority, start_by)

    async def probe(self, rows: Sequence[Row]) -> Logits:
        """Score rows on the way that every request's take, first in line and without admission."""
        work = self._work(rows, [None] * len(rows), [row.tokens for row in rows])
        scored = await self._queued(work, range(len(rows)), _PROBE_KEY, 0, -1e9)
        return scored.logits

    async def finish(self) -> None:
        """Wait until every request that holds the model is answered."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop the loop and free the engine; requests in progress fail with Overloaded."""
        self.admission.closed = True
        self._loop.cancel()
        if self.cache is not None:
            self.cache.clear()
        ended = self._fail_all(Overloaded("The model was unloaded.", retry_after_s=RETRY_MIN_S))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, close_slices, ended)
        await loop.run_in_executor(self._thread, self.engine.close)
        self._thread.shutdown(wait=False)

    def _costs(self, rows: Sequence[Row]) -> list[int]:
        """What each row will cost, (B,): its tokens, those that the engine remembers almost free.

        An estimate: it may have been forgotten, or learned, when the row runs.
        """
        if not is_a(self.engine, Remembering):
            return [row.tokens for row in rows]
        remembered = self.engine.remembered_tokens(rows)
        return [
            max(1, row.tokens - known + known // _REMEMBERED_COST)
            for row, known in zip(rows, remembered, strict=True)
        ]

    def _work(self, rows: Sequence[Row], known: list[Logits | None], costs: Sequence[int]) -> Work:
        return Work(
            rows=rows,
            pieces=cut(rows, costs, self.engine),
            future=asyncio.get_running_loop().create_future(),
            admitted_at=self._clock(),
            outputs=known,
            cached_tokens=[
                0 if logits is None else row.tokens for row, logits in zip(rows, known, strict=True)
            ],
            remaining=sum(logits is None for logits in known),
        )

    async def _queued(
        self, work: Work, missing: Sequence[int], key: str, priority: int, start_by: float
    ) -> Scored:
        wanted = set(missing)
        job = self._queue.add(
            work,
            [piece.tokens for piece in work.pieces],
            key=key,
            priority=priority,
            only=[i for i, piece in enumerate(work.pieces) if piece.row in wanted],
            start_by=start_by,
        )
        self.admission.pace.begin(self._clock())
        self.admission.note_backlog()
        self._wake.set()
        try:
            with self.hold():
                return await work.future
        finally:
            self._queue.cancel(job)
            if work.slices and not self.admission.closed:
                self._thread.submit(close_slices, [work])

    async def _run(self) -> None:
        self._is_broken = False
        while await self._wake.wait():
            batch = self._queue.next_batch(self._budget(), self._clock())
            if not batch:
                self._wake.clear()
                continue
            self._running = batch
            jobs = {id(job): job for job, _ in batch}
            going = {name for name, job in jobs.items() if self._may_start(job)}
            if len(going) < len(jobs):
                batch = [(job, i) for job, i in batch if id(job) in going]
            # Slices of a row that has ended already cost nothing, and say nothing of the rate.
            tokens = sum([job.lengths[i] for job, i in batch if self._is_open(job, i)])
            full = self._queue.waiting_tokens > 0
            await self._score(batch)
            self._running = ()
            admission = self.admission
            admission.pace.ran(tokens, self._clock(), more=admission.has_work, full=full)
            admission.note_backlog()

    def _budget(self) -> int:
        """Tokens of one call into the engine: as many as take about _CALL_S.

        The first calls are small: until one has ended nobody is refused for the time it would wait.
        """
        info = self.engine.info
        at_rate = int(self.admission.pace.tokens_per_s * _CALL_S)
        return min(info.batch_tokens, max(info.slice_tokens or _CALL_TOKENS, at_rate))

    def _may_start(self, job: WaitingRows[Work]) -> bool:
        """Whether a request may begin or go on; one that cannot end in time leaves before."""
        work = job.owner
        if work.started_at is None and not work.future.done():
            if self.admission.is_hopeless(sum(job.lengths), work.until):
                self._fail(
                    job,
                    DeadlineExceeded(
                        "The request could not be answered in time (limits.deadline_s): other "
                        "work took longer than expected. Try again later."
                    ),
                )
                return False
            work.started_at = self._clock()
        return not work.future.done()

    async def _score(self, batch: Batch) -> None:
        """Run one batch; if it fails, each request's rows alone, so that one cannot fail others."""
        if not batch:
            await asyncio.sleep(0)
            return
        try:
            await self._score_rows([(j, j.owner.pieces[i]) for j, i in batch])
        except Exception as error:  # noqa: BLE001 - every waiter learns why; the loop lives on
            jobs = {id(job): job for job, _ in batch}
            if len(jobs) == 1:
                self._fail(batch[0][0], error)
                return
            for alone in jobs.values():
                left = [(job, i) for job, i in batch if job is alone and self._is_open(job, i)]
                await self._score(left)

    @staticmethod
    def _is_open(job: WaitingRows[Work], i: int) -> bool:
        """Whether a piece still has to run: what went well before a failure is kept."""
        return job.owner.outputs[job.owner.pieces[i].row] is None

    async def _score_rows(self, batch: Sequence[tuple[WaitingRows[Work], Piece]]) -> None:
        await self._score_whole([(j.owner, piece.row) for j, piece in batch if not piece.is_slice])
        for job, piece in batch:
            if piece.is_slice:
                try:
                    await self._score_slice(job, piece)
                except Exception as error:  # noqa: BLE001 - a long row fails its own request alone
                    self._fail(job, error)

    async def _score_whole(self, batch: Sequence[tuple[Work, int]]) -> None:
        rows = [work.rows[i] for work, i in batch]
        if self.cache is None:
            missing, inverse = distinct(rows)
            logits, remembered = await self._forward(missing)
            now = self._clock()
            for (work, i), place in zip(batch, inverse, strict=True):
                work.store(i, logits[place], cached_tokens=remembered[place], now=now)
            return
        known = [self._known(row, work.scope) for row, (work, _) in zip(rows, batch, strict=True)]
        missing, inverse = distinct(
            [row for row, out in zip(rows, known, strict=True) if out is None]
        )
        logits, remembered = await self._forward(missing)
        fresh = iter(inverse)
        now = self._clock()
        for (work, i), row, out in zip(batch, rows, known, strict=True):
            if out is None:
                place = next(fresh)
                self._remember(row, logits[place], work.scope)
                work.store(i, logits[place], cached_tokens=remembered[place], now=now)
            else:
                work.store(i, out, cached_tokens=row.tokens, now=now)

    async def _score_slice(self, job: WaitingRows[Work], piece: Piece) -> None:
        """The next step of a long row; its last piece takes all steps that are left."""
        work, i = job.owner, piece.row
        is_last = work.is_last_slice(piece)
        while not job.cancelled and work.outputs[i] is None:
            output = await self._on_thread(step, work, i, self.engine)
            if output is not None:
                [output] = checked([output])
                self._remember(work.rows[i], output, work.scope)
                work.store(i, output, cached_tokens=0, now=self._clock())
            if not is_last:
                return

    async def _forward(self, rows: Sequence[Row]) -> tuple[Sequence[Logits], Sequence[int]]:
        """As engine_calls.run; without rows only a turn passes."""
        if not rows:
            await asyncio.sleep(0)  # a queue full of cached rows must not hold the event loop
            return (), ()
        return await self._on_thread(run, rows, self.engine)

    async def _on_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        self._running_since = self._clock()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, work, *arguments)
        finally:
            self._running_since = None

    def _remember(self, row: Row, logits: Logits, scope: bytes) -> None:
        if self.cache is None or self.admission.closed or isinstance(row, SoleText):
            return  # vectors are not kept: one is as large as hundreds of scores
        self.cache.put(row, logits, scope)

    def _known(self, row: Row, scope: bytes) -> Logits | None:
        """The logits (K,) of a row that was scored before, if they are kept."""
        return None if self.cache is None else self.cache.get(row, scope)

    def _known_of(self, rows: Sequence[Row], scope: bytes) -> list[Logits | None]:
        """As _known(), of each row."""
        if self.cache is None:
            return [None] * len(rows)
        return [self._known(row, scope) for row in rows]

    def _fail(self, job: WaitingRows[Work], cause: Exception) -> None:
        error = cause if isinstance(cause, RerankError) else EngineFailed("The engine failed.")
        if error is not cause:
            error.__cause__ = cause
        job.owner.fail(error)
        self._queue.cancel(job)

    def _broke(self, cause: Exception) -> None:
        """The loop ended by a fault of ours: whoever waits is told; it begins again."""
        self._is_broken = True
        error = EngineFailed("The queue of the model failed.")
        error.__cause__ = cause
        self._fail_all(error)

    def _fail_all(self, error: RerankError) -> list[Work]:
        """End everything that runs or waits; what ended."""
        batches: list[Batch] = [self._running]
        self._running = ()
        while batch := self._queue.next_batch(1 << 30):
            batches.append(batch)
        ended = list({id(job.owner): job.owner for each in batches for job, _ in each}.values())
        for work in ended:
            work.fail(error)
        return ended
