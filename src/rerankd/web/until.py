"""Runs a request until it is done, its time is over, nobody waits for it, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from rerankd.core.errors import DeadlineExceeded
from rerankd.web.body import ClientGone
from rerankd.web.drain import Drain, end_now, shutting_down

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
    leaving: asyncio.Task[None] | None = None
    scope = asyncio.timeout(limit_s)
    try:
        async with scope:
            with drain.ends(scope):
                if receive is not None:
                    leaving = asyncio.create_task(_disconnected(receive, scope))
                return await work
    except TimeoutError:
        if not scope.expired():  # the work's own
            raise
        if drain.has_expired:
            raise shutting_down() from None
        if leaving is not None and leaving.done():
            raise ClientGone from None
        raise DeadlineExceeded(
            f"The request was not answered within {limit_s:g} s (limits.deadline_s). Send fewer or "
            "shorter documents, or try again later.",
            is_final=is_final(),
        ) from None
    finally:
        if leaving is not None:
            leaving.cancel()


async def _disconnected(receive: Receive, scope: asyncio.Timeout) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    end_now(scope)
