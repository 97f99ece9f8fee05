"""Long-lived tasks: none may end unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rerankd.telemetry.logs import log_failure

_AGAIN_S: Final = 0.5  # before a task that failed begins again


async def watched(
    name: str, work: Callable[[], Awaitable[None]], broke: Callable[[Exception], None]
) -> None:
    """Run work for as long as the task lives; when it fails, say so, and begin again.

    Args:
        name: for the log.
        work: what is to run; returning counts as a failure too, for it is not meant to.
        broke: told of each failure before the pause, to end what waited for the task.
    """
    while True:
        try:
            await work()
            raise RuntimeError(f"{name} ended")  # noqa: TRY301 - handled as any other failure
        except Exception as error:  # noqa: BLE001 - whatever it was, somebody has to know
            log_failure(name, error)
            broke(error)
        await asyncio.sleep(_AGAIN_S)
