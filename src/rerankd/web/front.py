"""The door: few requests at a time are read, parsed and tokenised; the others wait in one place.

A model's own queue says nothing where the model is fast: then it is the event loop and the
interpreter that everybody waits for, a little at each of many steps, where nobody can be refused.
Here requests wait before all of these steps, fair between keys, and who would wait for too long is
refused, at the rate at which requests pass (service.admission; bytes take the place of tokens).

Only small requests of texts wait here: large ones have threads of their own and may take seconds
there, and an image is waited for, not worked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rerankd.core.fair import FairQueue
from rerankd.service.admission import Admission, QueueLimits

SMALL_BYTES: Final = 65_536  # of a body
SLOTS: Final = 32  # requests between the door and the models' queues
_OWN_BYTES: Final = 1_000  # what a request costs beside its body, in bytes of one
_UNKNOWN_BYTES: Final = 8_192  # of a body whose length is not told
_NO_LIMIT: Final = 1 << 60


class Front:
    """What is between the socket and the models' queues."""

    def __init__(self, wait_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait_s is limits.wait_s."""
        self._clock = clock
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        limits = QueueLimits(request_tokens=_NO_LIMIT, queue_tokens=_NO_LIMIT, wait_s=wait_s)
        self.admission = Admission(self._queue, limits, clock)
        self._inside = 0

    def check(self, key: str, body_bytes: int | None) -> None:
        """Refuse a request before its body is read.

        Args:
            key: whose share it would use.
            body_bytes: as its headers tell; None = they do not.

        Raises:
            Overloaded: it would wait for too long.
        """
        size = _UNKNOWN_BYTES if body_bytes is None else body_bytes
        if size <= SMALL_BYTES:
            self.admission.check(size + _OWN_BYTES, key=key)

    async def turn(self, key: str, body_bytes: int) -> Callable[[], None]:
        """Wait for a place inside; what is returned is called when the request is queued or ended.

        It may be called again, then it does nothing.

        Raises:
            Overloaded: as check(), now that the body is there.
        """
        if body_bytes > SMALL_BYTES:
            return _nothing
        size = body_bytes + _OWN_BYTES
        if self._inside < SLOTS and not self._queue.waiting_tokens:
            self._inside += 1
        else:
            self.admission.check(size, key=key)
            await self._wait(key, size)
        self.admission.pace.begin(self._clock())
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._leave(size)

        return leave

    async def _wait(self, key: str, size: int) -> None:
        """In the queue; whoever leaves gives the place to this request."""
        place = asyncio.get_running_loop().create_future()
        job = self._queue.add(place, [size], key=key, start_by=self.admission.start_by(size))
        self.admission.note_backlog()
        try:
            await place
        except asyncio.CancelledError:
            self._queue.cancel(job)
            if not place.cancelled():  # given at the same moment
                self._leave(0)
            raise

    def _leave(self, size: int) -> None:
        self._inside -= 1
        while self._inside < SLOTS and (batch := self._queue.next_batch(1, self._clock())):
            for job, _ in batch:
                if not job.owner.done():
                    job.owner.set_result(None)
                    self._inside += 1
        more = self._inside > 0
        self.admission.pace.ran(size, self._clock(), more=more)
        self.admission.note_backlog()


def _nothing() -> None:
    """A large request does not count."""
