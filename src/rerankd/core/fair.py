"""Who is served next: hierarchical start-time fair queueing over keys, then over requests.

Every key, and within a key every job, carries a virtual time: the tokens it was given. The one
that was given least goes first, so a job of 4 rows never waits for a job of 1000 rows to end, and
a key with one request is not drowned by a key with a hundred. Newcomers start at the current
virtual time: waiting earns nothing, and having been served costs nothing beyond its share.

Pure data structure: no clock, no thread, no asyncio.

Source: Goyal, Vin & Cheng, "Start-time Fair Queuing", SIGCOMM 1996.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

_REMEMBERED_FLOWS = 1024  # finish times of idle keys are pruned above this many


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """Rows of one request that wait. `lengths[i]` tokens for row i; `owner` is the caller's own."""

    owner: T
    key: str
    priority: int
    lengths: Sequence[int]
    order: list[int]  # row indexes still waiting, the next one last
    waiting_tokens: int
    virtual: float = 0.0
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """One key's waiting jobs."""

    key: str
    virtual: float
    now: float = 0.0  # virtual time among this flow's jobs
    jobs: list[tuple[int, float, int, Job[T]]] = field(
        default_factory=list[tuple[int, float, int, "Job[T]"]]
    )


class FairQueue(Generic[T]):
    """Jobs in, batches of rows out."""

    def __init__(self) -> None:
        self.waiting_tokens = 0
        self._flows: dict[str, _Flow[T]] = {}
        self._heap: list[tuple[float, int, _Flow[T]]] = []
        self._finished: dict[str, float] = {}  # virtual time at which idle keys left
        self._now = 0.0
        self._sequence = count()

    def add(
        self,
        owner: T,
        lengths: Sequence[int],
        *,
        key: str,
        priority: int = 0,
        only: Sequence[int] | None = None,
    ) -> Job[T]:
        """Queue a request's rows. Longest rows run first, with their like.

        Args:
            owner: handed back with each row.
            lengths: shape (B,), B > 0, tokens per row.
            key: whose share it uses.
            priority: lower goes first among the jobs of the key.
            only: indexes of the rows that are to run, at least one; None = all.
        """
        order = sorted(range(len(lengths)) if only is None else only, key=lambda i: lengths[i])
        job = Job(owner, key, priority, lengths, order, sum(lengths[i] for i in order))
        self.waiting_tokens += job.waiting_tokens
        flow = self._flows.get(key)
        if flow is None:
            start = max(self._now, self._finished.pop(key, 0.0))
            flow = self._flows[key] = _Flow(key, start)
            heapq.heappush(self._heap, (flow.virtual, next(self._sequence), flow))
        job.virtual = flow.now
        heapq.heappush(flow.jobs, (priority, job.virtual, next(self._sequence), job))
        return job

    def cancel(self, job: Job[T]) -> None:
        """Forget the rows of a job that still wait. Safe to call twice, or after the end."""
        if not job.cancelled:
            job.cancelled = True
            self.waiting_tokens -= job.waiting_tokens
            job.waiting_tokens = 0
            job.order.clear()

    def next_batch(self, budget_tokens: int) -> list[tuple[Job[T], int]]:
        """Take the next rows, (job, row index) each, up to the budget; empty when none waits.

        A row over the budget goes alone. Each turn takes up to a quarter of the budget from one
        job, so that a batch serves several requests and still holds rows of similar length.
        """
        quantum = max(1, budget_tokens // 4)
        batch: list[tuple[Job[T], int]] = []
        used = 0
        while self._heap and used < budget_tokens:
            virtual, sequence, flow = heapq.heappop(self._heap)
            job = self._first_job(flow)
            if job is None:
                self._retire(flow)
                continue
            self._now = max(self._now, virtual)
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

    def _first_job(self, flow: _Flow[T]) -> Job[T] | None:
        while flow.jobs:
            job = flow.jobs[0][3]
            if job.order:
                return job
            heapq.heappop(flow.jobs)
        return None

    def _charge(self, flow: _Flow[T], job: Job[T], tokens: int) -> None:
        self.waiting_tokens -= tokens
        job.waiting_tokens -= tokens
        flow.now = max(flow.now, job.virtual)
        job.virtual += tokens
        heapq.heappop(flow.jobs)
        if job.order:
            heapq.heappush(flow.jobs, (job.priority, job.virtual, next(self._sequence), job))
        flow.virtual += tokens
        heapq.heappush(self._heap, (flow.virtual, next(self._sequence), flow))

    def _retire(self, flow: _Flow[T]) -> None:
        del self._flows[flow.key]
        self._finished[flow.key] = flow.virtual
        if not self._flows:  # idle: whoever comes next starts level with everybody
            self._now = max(self._finished.values())
            self._finished.clear()
        if len(self._finished) > _REMEMBERED_FLOWS:
            self._finished = {k: v for k, v in self._finished.items() if v > self._now}
