"""A compiled graph that several threads run at once, each on an infer request of its own.

Threads that block in infer(), not AsyncInferQueue: its callbacks need the GIL; a queue that is
dropped with work in flight waits for them while holding it (2026.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, TypeVar

from rerankd.core.errors import EngineFailed

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Streams:
    """One-thread streams of one graph."""

    def __init__(self, compiled: Any, count: int) -> None:
        """Take a graph that was compiled for `count` calls at once."""
        self._compiled: Any = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(count):
            self._idle.put(compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="openvino")

    def run(
        self,
        jobs: Sequence[Job],
        inputs: Callable[[Job], dict[str, Any]],
        take: Callable[[Any], Answer],
    ) -> list[Answer]:
        """What comes of each job, in their order.

        Args:
            jobs: as many run at once as there are streams.
            inputs: the graph's inputs by name, of a job.
            take: reads an infer request that ran; what it returns must be a copy.

        Raises:
            EngineFailed: it is closed, or a job could not run.
        """
        if self._compiled is None:
            raise EngineFailed("the engine is closed")

        def one(job: Job) -> Answer:
            request = self._idle.get()
            try:
                request.infer(inputs(job))
                return take(request)
            finally:
                self._idle.put(request)

        runs = [self._pool.submit(one, job) for job in jobs]
        wait(runs)  # nothing is in flight any more, whatever happened
        try:
            return [run.result() for run in runs]
        except Exception as error:
            raise EngineFailed(f"OpenVINO could not run the batch: {error}") from error

    def close(self) -> None:
        """Drop the graph and its weights."""
        self._pool.shutdown()
        self._idle = SimpleQueue()
        self._compiled = None
