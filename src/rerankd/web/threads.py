"""Where bodies become requests and rankings become bodies: at once, or on a thread when large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_INLINE_BYTES = 65_536  # read in a millisecond or two
_LARGE_BYTES = 1_048_576


class BodyThreads:
    """Two threads: the decoder holds the interpreter's lock, so that more would gain nothing.

    Bodies up to 1 MiB have their own, so that a row of large ones does not hold them up. Who is
    cancelled while it waits for its turn costs nothing.
    """

    def __init__(self) -> None:
        self._middle = ThreadPoolExecutor(1, thread_name_prefix="body-middle")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="body-large")

    async def run(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work for a body of `size` bytes; raises what it raises."""
        if size <= _INLINE_BYTES:
            return work(*args, **kwargs)
        lane = self._middle if size <= _LARGE_BYTES else self._large
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(lane, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Stop the threads; what waits is not done."""
        for lane in (self._middle, self._large):
            lane.shutdown(wait=False, cancel_futures=True)
