"""Where the admin API's work is done: on threads of its own, each change in one transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from starlette.responses import Response, StreamingResponse

from rerankd.access.keys import Key, matching
from rerankd.core.errors import Overloaded
from rerankd.store.accounts import AccountStore
from rerankd.store.budgets import BudgetRepo
from rerankd.store.idempotency import KeptAnswer, NamedCall, begin, end
from rerankd.store.keys import KeyRepo
from rerankd.store.prices import PriceRepo
from rerankd.store.teams import TeamRepo
from rerankd.store.times import now_us
from rerankd.web.admin.answers import (
    AdminAnswer,
    AdminRefusal,
    Stream,
    pieces_of,
    stream_headers,
)
from rerankd.web.state import State

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 3  # a slow export must not hold up the rest
_WAITING: Final = 64  # calls; then 503


class Desk:
    """The repositories of the store, and who may use them how."""

    def __init__(
        self, state: State, store: AccountStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Of one server.

        Args:
            state: of the server.
            store: open.
            clock: seconds since 1970.
        """
        self.state = state
        self.database = store.database
        self.keys = KeyRepo(store.database, clock=clock)
        self.teams = TeamRepo(store.database, clock=clock)
        self.books = store.books
        self.currency = store.books.currency
        self.prices = PriceRepo(store.database, self.currency, clock=lambda: self.now_us)
        self.budgets = BudgetRepo(store.database, clock=lambda: self.now_us)
        self.ledger_facts = store.ledger.facts
        self._watch = store.watch
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="admin")
        self._running = 0
        self._begun: set[asyncio.Task[None]] = set()

    @property
    def now_us(self) -> int:
        """Microseconds since 1970."""
        return now_us(self._clock)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What blocks, on a thread.

        Raises:
            Overloaded: too many calls wait.
        """
        if self._running >= _WAITING:
            raise Overloaded("Too many calls wait for the store.", retry_after_s=1.0)
        self._running += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))
        finally:
            self._running -= 1

    async def begun(self, work: Coroutine[Any, Any, None], *, wait_s: float) -> bool:
        """What goes on whether or not its caller waits for it.

        Args:
            work: is begun now.
            wait_s: how long to wait; less when the server stops.

        Returns:
            Whether it has ended.

        Raises:
            Exception: whatever `work` raises meanwhile; what it raises later it has to log.
        """
        task = asyncio.create_task(work)
        self._begun.add(task)
        task.add_done_callback(self._ended)
        stop = asyncio.create_task(self.state.drain.begun.wait())
        try:
            await asyncio.wait({task, stop}, timeout=wait_s, return_when="FIRST_COMPLETED")
        finally:
            stop.cancel()
        if task.done():
            await task
        return task.done()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # so that nothing complains that nobody waited for it

    def change(
        self, asked: NamedCall | None, by: Key, work: Callable[[], AdminAnswer]
    ) -> AdminAnswer:
        """Carry out what changes the store: all of it, or nothing. Blocks.

        Args:
            asked: the call as it was named by its idempotency key; None = it has none.
            by: whose call it is.
            work: changes the store on this thread.

        Raises:
            OtherCall: that name was used for another call.
            AdminRefusal: no administrator would be left.
            Exception: whatever `work` raises.
        """
        with self.database.together() as connection:
            if asked is not None and (kept := begin(connection, asked, clock=self._clock)):
                return AdminAnswer(status=kept.status, content=kept.response, is_replay=True)
            answer = work()
            if by.id is not None and not self.keys.administrators():  # else an issuer has some
                raise AdminRefusal(
                    409,
                    "last_administrator",
                    f"After this no key could administer this server ({by.name!r} is the last "
                    "one). Make another one first, with role admin; on the machine itself "
                    "`rerankd keys` can do both.",
                )
            if asked is not None:
                told = {**answer.content, **dict.fromkeys(answer.once)}
                end(connection, asked, KeptAnswer(answer.status, told))
        self._watch.wake()  # this server need not wait for its next look
        return answer

    def sent(self, stream: Stream) -> Response:
        """A file, made on the threads as it is sent."""
        return StreamingResponse(
            pieces_of(stream, self.run, self.state.drain),
            media_type=stream.media_type,
            headers=stream_headers(stream),
        )

    def unserved(self, models: list[str] | None) -> list[str]:
        """A sentence for each name or pattern among a key's models that nothing served fits."""
        names = self.state.backend.names
        served = {*names.models, *names.aliases, *self.state.router.routes}
        return [
            f"models: {model!r} is nothing that is served here."
            for model in models or ()
            if not matching(model, served)
        ]

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
