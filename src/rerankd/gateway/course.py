"""The course of one routed request: who is asked next, and when nobody is any more. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rerankd.core.errors import RerankError
from rerankd.gateway.breaker import RetryBudget
from rerankd.gateway.failover import ASKED, RULES, AttemptFailed, told_caller
from rerankd.gateway.targets import RouteTarget


class Entrances(Protocol):
    """What a course asks of targets before it sends anybody there."""

    def refusal(self, target: RouteTarget) -> AttemptFailed | None:
        """Why a target cannot be asked now; None = it can."""
        ...

    def has_room(self, target: RouteTarget) -> bool:
        """Whether a request would not wait for others."""
        ...

    def usual_s(self, target: RouteTarget) -> float:
        """How long nine of ten of its answers take; 0 = not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The next target, and whether a request may wait for a place there."""

    target: RouteTarget
    may_wait: bool


class Course:
    """Which targets are asked, one after the other."""

    def __init__(
        self,
        targets: Sequence[RouteTarget],
        doors: Entrances,
        budget: RetryBudget,
        *,
        attempts: int,
        left_s: Callable[[], float],
    ) -> None:
        """Begin.

        Args:
            targets: in order.
            doors: of the targets.
            budget: for second attempts.
            attempts: targets asked, at most.
            left_s: until the request's deadline.
        """
        self._queue = deque(targets)
        self._full: list[RouteTarget] = []  # have no room now
        self._doors = doors
        self._budget = budget
        self._attempts = attempts
        self._left_s = left_s
        self.begun = 0
        self.asked = 0  # attempts that reached their target
        self.failures: list[AttemptFailed] = []
        self._is_over = False

    def next(self, now: float) -> Turn | None:
        """Who is asked now; None: nobody any more."""
        if self._is_over or self.begun >= self._attempts:
            return None
        while self._queue:
            target = self._queue.popleft()
            refusal = self._doors.refusal(target)
            if refusal is not None:
                self.failures.append(refusal)
            elif not self._doors.has_room(target):
                self._full.append(target)
            elif self.begun and self._doors.usual_s(target) > self._left_s():
                continue  # it would be asked in vain
            else:
                return self._begin(target, now, may_wait=False)
        if self._full and not self.begun:
            first, self._full = self._full[0], []  # one wait is enough
            return self._begin(first, now, may_wait=True)
        return None

    def _begin(self, target: RouteTarget, now: float, *, may_wait: bool) -> Turn | None:
        if self.begun and not self._budget.take(now):
            self._is_over = True
            return None
        self.begun += 1
        return Turn(target=target, may_wait=may_wait)

    def failed(self, target: RouteTarget, failure: AttemptFailed) -> None:
        """Take an attempt's end into account."""
        self.failures.append(failure)
        if failure.outcome in ASKED:
            self.asked += 1
        else:
            self.begun -= 1  # it never got there
        rule = RULES[failure.outcome]
        if not rule.goes_on:
            self._is_over = True
        elif rule.rests.startswith("key") and self._doors.refusal(target) is None:
            self._queue.appendleft(target)  # it has another key

    def error(self) -> RerankError:
        """What the caller is told when nobody answered."""
        return told_caller(self.failures or [AttemptFailed("busy")])
