"""Answers for routed names: asks targets in order until one answers, and says who it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from rerankd.core.answer import Ranking, RouteFacts
from rerankd.core.cost import Cost
from rerankd.core.errors import (
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    UpstreamFailed,
)
from rerankd.gateway.breaker import RetryBudget
from rerankd.gateway.checked import answered
from rerankd.gateway.course import Course
from rerankd.gateway.doors import Asked, Doors, cancelled, left_s
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.losses import said
from rerankd.gateway.shadow import Shadows
from rerankd.gateway.standin import stand_in
from rerankd.gateway.targets import RouteTarget, in_space, ordered
from rerankd.service.admit import check_bytes
from rerankd.service.base import Backend
from rerankd.settings.schema import Limits


class _Fit(NamedTuple):
    """A target that may answer, and what the caller is then told that it could not be told."""

    target: RouteTarget
    warnings: tuple[str, ...]


class Switch:
    """Answers routed names, one target at a time."""

    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        shadows: Shadows,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.doors = Doors(backend, limits, clock=clock)
        self.shadows = shadows
        self._backend = backend
        self._limits = limits
        self._clock = clock
        self._random = random or Random()
        self._budgets: dict[str, RetryBudget] = {}

    async def rerank(self, asked: Asked) -> Sequence[Ranking]:
        """The rankings of the requests of one body, all by one target.

        Raises:
            InvalidRequest, SpaceUnavailable, UpstreamFailed, Overloaded, DeadlineExceeded,
            EngineFailed; whatever the charge raises.
        """
        route, call, started = asked.route, asked.call, self._clock()
        for request in call.requests:
            check_bytes(request, self._limits)
        wish = asked.wish
        if wish.space is not None:
            wish = replace(wish, space=self.doors.space_named(wish.space))
        fits = self._fitting(asked, in_space(route, wish, self.doors.space_of))
        course = self._course(asked, [fit.target for fit in fits])
        warnings = {fit.target: fit.warnings for fit in fits}
        try:
            if route.hedge_after_s:
                target, rankings = await self._raced(asked, course)
            else:
                target, rankings = await self._in_turn(asked, course)
        except (UpstreamFailed, Overloaded, DeadlineExceeded, EngineFailed) as error:
            asked.bill.give_back()
            if route.when_all_fail is None or wish.space is not None or left_s(call) <= 0:
                raise
            rankings = await stand_in(self._backend, asked.route, call, error, course.asked)
            asked.bill.stood_in(sum(ranking.input_tokens or 0 for ranking in rankings))
            return rankings
        rankings = self._told(asked, target, rankings, warnings[target], course.asked)
        if (shadow := route.shadow) is not None:
            self.shadows.watch(
                route,
                call.requests[0],
                rankings[0],
                self._clock() - started,
                lambda request: self.doors.ask_aside(shadow, request),
            )
        return rankings

    async def _in_turn(self, asked: Asked, course: Course) -> tuple[RouteTarget, Sequence[Ranking]]:
        while (turn := course.next(self._clock())) is not None:
            try:
                return turn.target, await self.doors.attempt(asked, turn)
            except AttemptFailed as failure:
                self._failed(asked, course, turn.target, failure)
        raise course.error()

    async def _raced(self, asked: Asked, course: Course) -> tuple[RouteTarget, Sequence[Ranking]]:
        """As `_in_turn`, but the next one is asked as well, once, when one takes long."""
        running: dict[asyncio.Task[Sequence[Ranking]], RouteTarget] = {}

        def begin() -> bool:
            turn = course.next(self._clock())
            if turn is not None:
                running[asyncio.create_task(self.doors.attempt(asked, turn))] = turn.target
            return turn is not None

        wait_s: float | None = asked.route.hedge_after_s
        try:
            while running or begin():
                done, _ = await asyncio.wait(
                    running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    wait_s = None
                    begin()
                for task in done:
                    target = running.pop(task)
                    try:
                        return target, task.result()
                    except AttemptFailed as failure:
                        self._failed(asked, course, target, failure)
        finally:
            await cancelled(running)
        raise course.error()

    def _told(
        self,
        asked: Asked,
        target: RouteTarget,
        rankings: Sequence[Ranking],
        warnings: tuple[str, ...],
        failed: int,
    ) -> Sequence[Ranking]:
        """The answer, with who gave it; the count of tokens takes the place of its estimate."""
        call = asked.call
        if target.upstream:
            rankings = [
                answered(
                    ranking,
                    request,
                    name=target.model,
                    warnings=warnings,
                )
                for ranking, request in zip(rankings, call.requests, strict=True)
            ]
            cost = Cost()
            for ranking in rankings:
                cost += Cost(
                    pairs=ranking.documents,
                    input_tokens=ranking.input_tokens,
                    cached_tokens=ranking.cached_tokens,
                    image_tokens=ranking.image_tokens,
                )
            call.trace.cost += cost
            asked.bill.answered_by(target.model, cost)
        else:
            asked.bill.answered_here()
        facts = RouteFacts(
            route=asked.route.name,
            upstream=target.upstream,
            model=rankings[0].model,
            space=self.doors.space_of(target),
            attempts=failed + 1,
        )
        call.trace.route = facts
        return [replace(ranking, route=facts) for ranking in rankings]

    def _fitting(self, asked: Asked, targets: Sequence[RouteTarget]) -> list[_Fit]:
        """The targets that may be asked. Raises InvalidRequest: none has a place for a field."""
        fits: list[_Fit] = []
        missing: set[str] = set()
        for target in targets:
            upstream = self.doors.upstreams.get(target.upstream)
            if upstream is None:
                fits.append(_Fit(target, ()))
                continue
            lost: set[str] = set()
            wanted: set[str] = set()
            for request in asked.call.requests:
                found = upstream.lost(request, target.model)
                lost |= found
                wanted |= said(request, found, asked.wish.assumed)
            if wanted and asked.route.on_loss == "refuse":
                raise _lost(wanted)
            if wanted and asked.route.on_loss == "skip":
                missing |= wanted
                continue
            fits.append(_Fit(target, tuple(_without(name) for name in sorted(lost))))
        if not fits:
            raise _lost(missing)
        return fits

    def _course(self, asked: Asked, targets: Sequence[RouteTarget]) -> Course:
        route, now = asked.route, self._clock()
        budget = self._budgets.setdefault(route.name, RetryBudget(route.retry_budget))
        budget.share = route.retry_budget
        budget.request(now)
        in_order = ordered(
            targets,
            route.order,
            latency_s=self.doors.mean_s,
            cost=lambda target: self.doors.cost(target, asked.call.requests),
            random=self._random,
        )
        return Course(
            in_order,
            self.doors,
            budget,
            attempts=route.attempts,
            left_s=lambda: left_s(asked.call),
        )

    def _failed(
        self, asked: Asked, course: Course, target: RouteTarget, failure: AttemptFailed
    ) -> None:
        course.failed(target, failure)
        status = f" {failure.status}" if failure.status else ""
        asked.call.trace.attempts += (f"{target.label}: {failure.outcome}{status}",)


def _lost(fields: Iterable[str]) -> InvalidRequest:
    """What a caller is told whose field nobody reads."""
    names = sorted(fields)
    return InvalidRequest(
        f"{', '.join(names)}: nobody who answers for this model reads it, and it would change the "
        "scores. Leave it out.",
        param=names[0],
    )


def _without(name: str) -> str:
    return f"{name}: whoever answered does not read it; the scores are as without it."
