"""Who is served next: hierarchical start-time fair queueing over keys, then over requests.

Every key, and within a key every job, carries a virtual time: the tokens it was given. The one
that was given least goes first, so a job of 4 rows never waits for a job of 1000 rows to end, and
a key with one request is not drowned by a key with a hundred. Newcomers start at the current
virtual time: waiting earns nothing, and having been served costs nothing beyond its share.

Fair shares alone let nobody finish when work keeps coming faster than it can be done: a job above
one turn stands behind the first turn of every newcomer. So each job also says when it must start
at the latest (`start_by`): from then on it goes before all others of its key.

A key that was served a moment ago and has nothing waiting is not away: its next request is on its
way. It may come back with up to one batch less than the others (`grace`), and meanwhile the others
run ahead of it by one turn a batch only, so that two clients that send one request after another
get as much as forty that always wait.

Pure data structure: no clock, no thread, no asyncio.

Source: Goyal, Vin & Cheng, "Start-time Fair Queuing", SIGCOMM 1996.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

_REMEMBERED_FLOWS = 1024  # finish times of idle keys are pruned above this many


@dataclass(slots=True, eq=False)
class WaitingRows(Generic[T]):
    """Rows of one request that wait. `lengths[i]` tokens for row i; `owner` is the caller's own."""

    owner: T
    key: str
    priority: int
    lengths: Sequence[int]
    order: list[int]  # row indexes still waiting, the next one last
    waiting_tokens: int
    flow: _Flow[T]
    virtual: float = 0.0
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """One key's waiting jobs."""

    key: str
    virtual: float
    now: float = 0.0  # virtual time among this flow's jobs
    tokens: int = 0  # of all its jobs
    count: int = 0  # jobs with rows that wait
    jobs: list[tuple[int, float, int, WaitingRows[T]]] = field(
        default_factory=list[tuple[int, float, int, "WaitingRows[T]"]]
    )
    due: list[tuple[float, int, WaitingRows[T]]] = field(
        default_factory=list[tuple[float, int, "WaitingRows[T]"]]
    )

    def took(self, job: WaitingRows[T], tokens: int) -> None:
        """So many tokens of a job wait no more."""
        job.waiting_tokens -= tokens
        self.tokens -= tokens
        if not job.order:
            self.count -= 1


class FairQueue(Generic[T]):
    """Jobs in, batches of rows out."""

    def __init__(self) -> None:
        self.waiting_tokens = 0
        self._flows: dict[str, _Flow[T]] = {}
        self._heap: list[tuple[float, int, _Flow[T]]] = []
        # Idle keys: the virtual time that they had, and the queue's when they left.
        self._finished: dict[str, tuple[float, float]] = {}
        self._now = 0.0
        self._grace = 0.0  # tokens; one batch, as last asked for
        self._floor = math.inf  # the least virtual time of a key that left a moment ago
        self._sequence = count()

    def add(
        self,
        owner: T,
        lengths: Sequence[int],
        *,
        key: str,
        priority: int = 0,
        only: Sequence[int] | None = None,
        start_by: float = math.inf,
    ) -> WaitingRows[T]:
        """Queue a request's rows. Longest rows run first, with their like.

        Args:
            owner: handed back with each row.
            lengths: shape (B,), B > 0, tokens per row.
            key: whose share it uses.
            priority: lower goes first among the jobs of the key.
            only: indexes of the rows that are to run, at least one; None = all.
            start_by: on the clock of next_batch(); from then on it is the first of its key.
        """
        order = sorted(range(len(lengths)) if only is None else only, key=lambda i: lengths[i])
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow(key, self._start_of(key))
            heapq.heappush(self._heap, (flow.virtual, next(self._sequence), flow))
        tokens = sum(lengths[i] for i in order)
        job = WaitingRows(owner, key, priority, lengths, order, tokens, flow, flow.now)
        self.waiting_tokens += tokens
        flow.tokens += tokens
        flow.count += 1
        heapq.heappush(flow.jobs, (priority, job.virtual, next(self._sequence), job))
        if start_by < math.inf:
            heapq.heappush(flow.due, (start_by, next(self._sequence), job))
        return job

    def cancel(self, job: WaitingRows[T]) -> None:
        """Forget the rows of a job that still wait. Safe to call twice, or after the end."""
        if not job.cancelled:
            job.cancelled = True
            self.waiting_tokens -= job.waiting_tokens
            if job.order:
                job.order.clear()
                job.flow.took(job, job.waiting_tokens)

    def ahead(
        self, key: str, tokens: int, coming: Mapping[str, tuple[int, int]], now: float = 0.0
    ) -> int:
        """Tokens that will run before a newcomer of so many tokens has ended, its own not counted.

        As if shares were infinitely small: while the newcomer is given its tokens, every other job
        of its key is given as many at most, and every other key as many as its key.

        Args:
            key: of the newcomer.
            tokens: of the newcomer.
            coming: requests that will be added soon, by key: how many, and tokens of them all.
            now: on the clock of start_by.
        """
        totals = {name: (flow.count, flow.tokens) for name, flow in self._flows.items()}
        for name, (jobs, expected) in coming.items():
            known = totals.get(name, (0, 0))
            totals[name] = (known[0] + jobs, known[1] + expected)
        jobs, waiting = totals.pop(key, (0, 0))
        before = min(waiting, jobs * tokens + self._late_tokens(key, now))
        share = before + tokens
        return before + sum(min(waiting, share) for _, waiting in totals.values())

    def next_batch(self, budget_tokens: int, now: float = 0.0) -> list[tuple[WaitingRows[T], int]]:
        """Take the next rows, (job, row index) each, up to the budget; empty when none waits.

        A row over the budget goes alone. Each turn takes up to a quarter of the budget from one
        job, so that a batch serves several requests and still holds rows of similar length; a job
        that is late takes as much as it has.

        Args:
            budget_tokens: of the batch.
            now: on the clock of start_by.
        """
        self._grace = float(budget_tokens)
        batch: list[tuple[WaitingRows[T], int]] = []
        used, turn = 0, max(1, budget_tokens // 4)
        self._floor = self._last_seen()
        while self._heap and used < budget_tokens:
            virtual, sequence, flow = heapq.heappop(self._heap)
            job, is_late = self._first_job(flow, now)
            if job is None:
                self._retire(flow)
                continue
            if batch and virtual >= self._floor + turn:
                heapq.heappush(self._heap, (virtual, sequence, flow))
                break  # somebody who was served a moment ago would fall too far behind
            self._now = max(self._now, virtual)
            quantum = budget_tokens if is_late else turn
            taken = 0
            while job.order and taken < quantum:
                length = job.lengths[job.order[-1]]
                if batch and used + length > budget_tokens:
                    break
                batch.append((job, job.order.pop()))
                taken += length
                used += length
            if taken == 0:  # the next row does not fit any more: the batch is full
                heapq.heappush(self._heap, (virtual, sequence, flow))
                break
            self._charge(flow, job, taken)
        return batch

    def _late_tokens(self, key: str, now: float) -> int:
        """Tokens of a key's latest job, if it is late: they run before any newcomer's."""
        flow = self._flows.get(key)
        if flow is None or not flow.due or flow.due[0][0] > now:
            return 0
        return flow.due[0][2].waiting_tokens

    def _first_job(self, flow: _Flow[T], now: float) -> tuple[WaitingRows[T] | None, bool]:
        """Whose turn it is among a key's jobs, and whether it is late."""
        while flow.due and (flow.due[0][0] <= now or not flow.due[0][2].order):
            if flow.due[0][2].order:
                return flow.due[0][2], True
            heapq.heappop(flow.due)
        while flow.jobs:
            if flow.jobs[0][3].order:
                return flow.jobs[0][3], False
            heapq.heappop(flow.jobs)
        return None, False

    def _charge(self, flow: _Flow[T], job: WaitingRows[T], tokens: int) -> None:
        self.waiting_tokens -= tokens
        flow.took(job, tokens)
        flow.now = max(flow.now, job.virtual)
        job.virtual += tokens
        if flow.jobs[0][3] is job:  # a late job's old place is dropped when it comes up
            heapq.heappop(flow.jobs)
            if job.order:
                entry = (job.priority, job.virtual, next(self._sequence), job)
                heapq.heappush(flow.jobs, entry)
        flow.virtual += tokens
        heapq.heappush(self._heap, (flow.virtual, next(self._sequence), flow))

    def _last_seen(self) -> float:
        """The least virtual time of a key that left a moment ago; infinite without one."""
        recent = (v for v, left_at in self._finished.values() if self._now - left_at <= self._grace)
        return min(recent, default=math.inf)

    def _start_of(self, key: str) -> float:
        """The virtual time at which a key begins: its own if it is ahead of the queue's."""
        virtual, left_at = self._finished.pop(key, (0.0, -math.inf))
        was_here = self._now - left_at <= self._grace
        return max(self._now - self._grace if was_here else self._now, virtual)

    def _retire(self, flow: _Flow[T]) -> None:
        del self._flows[flow.key]
        self._finished[flow.key] = (flow.virtual, self._now)
        self._floor = min(self._floor, flow.virtual)
        if not self._flows:  # idle: whoever comes next starts level with everybody
            self._now = max(virtual for virtual, _ in self._finished.values())
            self._finished.clear()
            self._floor = math.inf
        if len(self._finished) > _REMEMBERED_FLOWS:
            self._finished = {k: v for k, v in self._finished.items() if v[0] > self._now}
