"""Counts that servers share, done on a thread: one transaction for all steps that came meanwhile.

While one is under way others pile up and go together with the next. So what a step costs does not
grow with the load, and the database sees transactions, not requests.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rerankd.access.meters import Used
from rerankd.access.rates import Spot
from rerankd.access.shared import CountsAway, RateStep
from rerankd.accounts.budget import Level
from rerankd.accounts.shared_budgets import (
    Adjust,
    BudgetSpot,
    BudgetStanding,
    BudgetStep,
    Hold,
    Spend,
)
from rerankd.core.errors import Overloaded
from rerankd.store.budget_counts import BudgetCounts, BudgetsSettled
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database, HeldConnection, StoreAway
from rerankd.store.limit_counts import LimitCounts, Settled
from rerankd.store.servers import removed_old, said_gone, said_there
from rerankd.telemetry.logs import log_event, log_failed_task, log_refusal
from rerankd.telemetry.shared import SharedFacts

HEARTBEAT_S: Final = 2.0
_RETRY_S: Final = 0.5  # until the next try while the counts are away
WAIT_S: Final = 2.0  # of a request, for its step
_AT_ONCE: Final = 500  # steps of one transaction
_REMOVE_S: Final = 3600.0
_LEAVE_S: Final = 3.0

Step = RateStep | BudgetStep
_Waiting = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class StepsDone:
    """What a transaction did."""

    limits: Settled | None
    budgets: BudgetsSettled | None


@dataclass(frozen=True, slots=True)
class StepsByKind:
    """The steps of a transaction, by what they are on."""

    order: Sequence[bool]  # of all of them: whether it is one on budgets
    rates: Sequence[RateStep]
    budgets: Sequence[BudgetStep]

    @classmethod
    def of(cls, steps: Sequence[Step]) -> StepsByKind:
        """Both parts of steps, each in its order."""
        rates, budgets, order = list[RateStep](), list[BudgetStep](), list[bool]()
        for step in steps:
            is_budget = isinstance(step, Hold | Adjust | Spend)
            order.append(is_budget)
            if isinstance(step, Hold | Adjust | Spend):
                budgets.append(step)
            else:
                rates.append(step)
        return cls(order, rates, budgets)

    def refused(self, done: StepsDone | None) -> Sequence[Exception | None]:
        """Why each step was refused; None = it was not."""
        if done is None:
            return [CountsAway() for _ in self.order]
        rates = iter(() if done.limits is None else done.limits.after.refused)
        budgets = iter(() if done.budgets is None else done.budgets.taken.refused)
        return [next(budgets if is_budget else rates) for is_budget in self.order]


class SharedCounts:
    """Does the steps of one server's requests, in the order in which they came."""

    def __init__(self, database: Database, server_id: str, *, wait_s: float = WAIT_S) -> None:
        """Nothing runs yet.

        Args:
            database: with all tables.
            server_id: that no other server has, ever.
            wait_s: how long a request waits for its step; then the counts are away.
        """
        self._wait_s = wait_s
        self.id = server_id
        self.servers = 1
        self.seen: Callable[[float, Mapping[Spot, Used]], None] = lambda _, __: None
        self.budgets_seen: Callable[[Mapping[BudgetSpot, BudgetStanding], Sequence[Level]], None]
        self.budgets_seen = lambda _, __: None
        self.is_away = False
        self.alone = self.steps = self.transactions = self.failures = 0
        self._database = database
        self._held = HeldConnection(database)
        self._repo = BudgetRepo(database)
        self._limits = LimitCounts(database, self._held, server_id)
        self._budgets = BudgetCounts(database, self._held, server_id)
        self._queue: deque[tuple[Step, _Waiting | None]] = deque()
        self._wake = threading.Event()
        self._over = threading.Event()
        self._beat_at = self._remove_at = 0.0
        self._deliver: Callable[[Callable[[], None]], object] = lambda _: None
        self._thread = threading.Thread(target=self._run, name="shared-counts", daemon=True)

    def start(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        """Go on in the background; `deliver` hands over to the event loop.

        Raises:
            StoreAway: nobody would know that this server is there.
        """
        self._beat()
        self._deliver = deliver
        self._thread.start()

    async def take(self, step: Step) -> None:
        """Do a step, and wait for it.

        Raises:
            RateLimited, Exceeded: it is refused.
            CountsAway: it is not known whether it was done; it may yet be.
        """
        if self.is_away or self._over.is_set():
            raise CountsAway
        done: _Waiting = asyncio.get_running_loop().create_future()
        self._queue.append((step, done))
        self._wake.set()
        try:
            async with asyncio.timeout(self._wait_s):
                await done
        except TimeoutError:
            self._away(f"no answer within {self._wait_s:g} s")
            raise CountsAway from None

    async def take_budget(self, step: Hold) -> None:
        """Do a step, and wait for it. Raises Exceeded, Overloaded."""
        try:
            await self.take(step)
        except CountsAway as away:
            raise Overloaded(
                "The budgets of this key cannot be counted now.", retry_after_s=WAIT_S
            ) from away

    def post(self, step: Step) -> None:
        """Do a step after those before it, some time; none of it is refused."""
        self._queue.append((step, None))
        self._wake.set()

    def facts(self) -> SharedFacts:
        """How they do."""
        return SharedFacts(
            servers=self.servers,
            is_away=self.is_away,
            steps=self.steps,
            transactions=self.transactions,
            failures=self.failures,
            alone=self.alone,
        )

    def close(self) -> None:
        """Do what is left, say that this server ends."""
        self._over.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        while True:
            self._wake.wait(max(self._beat_at - time.monotonic(), 0.0))
            self._wake.clear()
            is_over = self._over.is_set()
            while self._queue and self._settle():
                pass
            if is_over:
                break
            if time.monotonic() >= self._beat_at:
                self._tried(self._beat)
        self._tried(self._end)

    def _settle(self) -> bool:
        """Do the steps that wait, at most _AT_ONCE; whether the counts were there."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _AT_ONCE))]
        parts = StepsByKind.of([step for step, _ in batch])
        done: StepsDone | None = None

        def settle() -> None:
            nonlocal done
            done = self._settled(parts)

        is_there = self._tried(settle)
        self.steps += len(batch)
        if done is None:
            self._limits.not_settled(parts.rates)
            self._budgets.not_settled(parts.budgets)
        refused = parts.refused(done)
        self._hand(lambda: self._told(batch, refused, done))
        return is_there

    def _settled(self, parts: StepsByKind) -> StepsDone:
        """Do steps, all in one transaction. Raises StoreAway: nobody knows whether it was done."""
        while True:
            self._limits.prepare(parts.rates)
            self._budgets.prepare(parts.budgets)
            with self._held.write() as connection:
                limits = self._limits.settle(connection, parts.rates) if parts.rates else None
                budgets = None
                if parts.budgets:
                    budgets = self._budgets.settle(connection, parts.budgets)
            is_limited = limits is not None or not parts.rates
            if is_limited and (budgets is not None or not parts.budgets):
                break
        if limits is not None:
            self._limits.settled(limits)
        if budgets is not None:
            self._budgets.settled(budgets)
        return StepsDone(limits, budgets)

    def _told(
        self,
        batch: Sequence[tuple[Step, _Waiting | None]],
        refused: Sequence[Exception | None],
        done: StepsDone | None,
    ) -> None:
        """Tell who waits; on the event loop."""
        if done is not None and done.limits is not None:
            self.seen(done.limits.now_s, done.limits.after.counts)
        if done is not None and done.budgets is not None:
            self.budgets_seen(done.budgets.standing, done.budgets.taken.levels)
        for (_, waiting), refusal in zip(batch, refused, strict=True):
            if waiting is None or waiting.done():  # whoever waited is gone
                continue
            if refusal is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(refusal)

    def _beat(self) -> None:
        """Say that this server is there. Raises StoreAway."""
        now = time.monotonic()
        with self._held.write() as connection:
            self.servers = said_there(self._database, connection, self.id)
            if now >= self._remove_at:
                removed_old(connection)
                self._remove_at = now + _REMOVE_S
            standing = self._budgets.all(connection)
        self._budgets.keep_up(self._repo)
        self._hand(lambda: self.budgets_seen(standing, ()))
        self._beat_at = now + HEARTBEAT_S

    def _end(self) -> None:
        try:
            with self._held.write() as connection:
                said_gone(connection, self.id)
        finally:
            self._held.close()

    def _tried(self, what: Callable[[], None]) -> bool:
        """Whether the store was there for it."""
        self.transactions += 1
        try:
            what()
        except StoreAway as error:
            self._failed(str(error))
            return False
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever it was
            log_failed_task("shared-counts", error)
            self._failed("see above")
            return False
        if self.is_away:
            self.is_away = False
            log_event("shared counts are back")
        return True

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self._beat_at = time.monotonic() + _RETRY_S
        self._away(reason)

    def _away(self, reason: str) -> None:
        """Nobody waits for a step until a transaction ends well."""
        if not self.is_away:
            self.is_away = True
            log_refusal("shared counts away", reason)

    def _hand(self, tell: Callable[[], None]) -> None:
        try:
            self._deliver(tell)
        except RuntimeError:  # the loop has ended
            return
