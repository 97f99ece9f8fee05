"""Runs a request until it is done, its time is over, nobody waits for it, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from rerankd.core.errors import DeadlineExceeded
from rerankd.web.body import ClientGone
from rerankd.web.drain import Drain, shutting_down

T = TypeVar("T")


async def run_until(
    work: Coroutine[Any, Any, T],
    drain: Drain,
    *,
    receive: Receive | None = None,
    limit_s: float | None = None,
    is_final: Callable[[], bool] = lambda: False,
) -> T:
    """The work's result, unless it is cancelled before.

    Args:
        work: reading the body, which has its own time limit; or all that comes after it.
        drain: tells when the server stops.
        receive: tells when the client leaves; None = the work sees that itself.
        limit_s: from now; None = the work has its own.
        is_final: whether the same request would be too late again.

    Raises:
        DeadlineExceeded, ClientGone, Overloaded: it was cancelled; its rows left the queue.
    """
    working = asyncio.create_task(work)
    stopped = asyncio.create_task(drain.expired.wait())
    tasks: set[asyncio.Task[Any]] = {working, stopped}
    if receive is not None:
        tasks.add(asyncio.create_task(_disconnected(receive)))
    try:
        done, _ = await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            return working.result()
        if stopped in done:
            raise shutting_down()
        if done:
            raise ClientGone
        raise DeadlineExceeded(
            f"The request was not answered within {limit_s:g} s (limits.deadline_s). Send fewer or "
            "shorter documents, or try again later.",
            is_final=is_final(),
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if not working.cancelled():
            working.exception()  # seen: too late to matter, when the deadline came first


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
