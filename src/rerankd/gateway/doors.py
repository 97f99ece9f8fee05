"""The targets of all routes: whether they can be asked, on which scale; and the asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rerankd.accounts.charge import PricedUsage, charge, searches
from rerankd.accounts.price import PriceList
from rerankd.core.answer import Ranking
from rerankd.core.cost import Cost
from rerankd.core.errors import (
    EngineFailed,
    InvalidRequest,
    ModelNotLoaded,
    Overloaded,
    RerankError,
)
from rerankd.core.request import RerankRequest
from rerankd.gateway.bill import Bill, Consulted
from rerankd.gateway.course import Turn
from rerankd.gateway.failover import ASKED, AttemptFailed
from rerankd.gateway.latency import Latencies
from rerankd.gateway.stages import ask_in_stages
from rerankd.gateway.targets import RoutedName, RouteTarget, Wish
from rerankd.gateway.upstream import Upstream, estimated_tokens
from rerankd.service.base import Backend, RerankCall, Trace, free_of_charge
from rerankd.settings.schema import Limits

_IN_TIME_S: Final = 0.05  # before the request's deadline: who is late is known to be


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One routed request on its way."""

    route: RoutedName
    call: RerankCall  # its model and cascade say nothing: a target's do
    wish: Wish
    bill: Bill


class Doors:
    """The targets, and how long they took of late."""

    def __init__(
        self, backend: Backend, limits: Limits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.upstreams: Mapping[str, Upstream] = {}
        self._backend = backend
        self._limits = limits
        self._clock = clock
        self.latencies = Latencies()
        self.prices: Callable[[], PriceList] = PriceList

    def space_of(self, target: RouteTarget) -> str:
        """The score space of a target; the name of a model of this server stands for its space."""
        return self.space_named(target.space or target.model)

    def space_named(self, space: str) -> str:
        """A space, or that of the model of this server whose name it is."""
        names = self._backend.names
        if not names.is_served(space):
            return space
        return self._backend.space(names.find(space) or space)

    async def attempt(self, asked: Asked, turn: Turn) -> Sequence[Ranking]:
        """The rankings of one target. Raises AttemptFailed; whatever the charge raises."""
        target, started = turn.target, self._clock()
        self.latencies.begin(target.label, started)
        says_how_slow, is_noted, is_left = True, True, False
        failed, sent = None, Consulted()
        try:
            if target.upstream:
                return await self._at_upstream(asked, turn, sent)
            return await self._here(asked, target)
        except AttemptFailed as error:
            failed, says_how_slow = error, error.outcome == "timeout"
            is_noted = error.outcome in ASKED
            raise
        except RerankError:  # the key's limits or budgets: nobody was asked
            is_noted = False
            raise
        except asyncio.CancelledError:
            is_left = True
            raise
        finally:
            took_s = self._clock() - started
            if says_how_slow:
                self.latencies.end(target.label, took_s)
            if is_noted:
                asked.bill.attempted(target, took_s, sent, failed, left=is_left)

    async def _here(self, asked: Asked, target: RouteTarget) -> Sequence[Ranking]:
        """The rankings of a model of this server. Raises AttemptFailed."""
        names = self._backend.names
        model = names.find(target.model)
        await asked.bill.here(model or "")
        if model is None:  # it went with a reload, just now
            raise AttemptFailed("resting")
        call = replace(asked.call, model=model, cascade=names.cascade(target.model))
        before, call.trace.model = call.trace.cost, model
        try:
            return await self._backend.rerank(call)
        except InvalidRequest as error:  # it has its own limits, and reads its own kinds
            call.trace.cost = before
            raise AttemptFailed("over_limit", error=error) from error
        except Overloaded as error:
            call.trace.cost = before
            raise AttemptFailed(
                "overloaded", retry_after_s=error.retry_after_s, error=error
            ) from error
        except EngineFailed as error:
            call.trace.cost = before
            raise AttemptFailed("failed", error=error) from error

    async def _at_upstream(self, asked: Asked, turn: Turn, sent: Consulted) -> Sequence[Ranking]:
        """The rankings of an upstream's model. Raises AttemptFailed."""
        call, target = asked.call, turn.target
        upstream = self.upstreams.get(target.upstream)
        if upstream is None:  # it went with a reload, just now
            raise AttemptFailed("resting")
        await asked.bill.estimate(target.model, lambda: sum(map(estimated_tokens, call.requests)))
        call.trace.model, call.trace.engine = target.label, "upstream"
        call.trace.passed()
        started, timeout_s = self._clock(), max(left_s(call) - _IN_TIME_S, 0.0)
        waits = turn.may_wait or len(call.requests) > 1
        wait_s = min(self._limits.wait_s, timeout_s) if waits else 0.0

        async def ask_it(request: RerankRequest) -> Ranking:
            sent.asked(len(request.documents))
            found = await upstream.ask(request, target.model, timeout_s=timeout_s, wait_s=wait_s)
            sent.told(found.input_tokens)
            return found

        ask = ask_in_stages(self._backend, target, call, ask_it)
        rankings = await _all([ask(request) for request in call.requests])
        call.trace.cost += Cost(upstream_s=self._clock() - started)
        return rankings

    def refusal(self, target: RouteTarget) -> AttemptFailed | None:
        """Why a target cannot be asked now; None = it can."""
        if not target.upstream:
            return self._refusal_here(target)
        upstream = self.upstreams.get(target.upstream)
        return AttemptFailed("resting") if upstream is None else upstream.refusal(target.model)

    def _refusal_here(self, target: RouteTarget) -> AttemptFailed | None:
        model = self._backend.names.find(target.model)
        if model is None or not self._backend.is_off(model):
            return None
        error = ModelNotLoaded(model)
        return AttemptFailed("resting", retry_after_s=error.retry_after_s, error=error)

    def has_room(self, target: RouteTarget) -> bool:
        """Whether a request would not wait for others there; a model's own queue says so itself."""
        upstream = self.upstreams.get(target.upstream)
        return upstream is None or upstream.has_room

    def usual_s(self, target: RouteTarget) -> float:
        """How long nine of ten of its answers took of late; 0 = not known."""
        return self.latencies.usual_s(target.label)

    def cost(self, target: RouteTarget, requests: Sequence[RerankRequest]) -> int:
        """What requests would cost there now, in nano; nothing here, or where nobody said."""
        if not target.upstream:
            return 0
        found = self.prices().cost(target.upstream, target.model, time.time_ns() // 1000)
        if found is None:
            return 0
        tokens = sum(map(estimated_tokens, requests))
        keep = None if target.first is None else target.first.keep
        sizes = [len(request.documents) for request in requests]
        sent = [size if keep is None else min(size, keep) for size in sizes]
        usage = PricedUsage(tokens * sum(sent) // sum(sizes), searches(sent, found.terms))
        return charge(found.terms, usage)

    def mean_s(self, target: RouteTarget) -> float | None:
        """How long its answers took of late; None = not known."""
        return self.latencies.mean_s(target.label, self._clock())

    async def ask_aside(self, target: RouteTarget, request: RerankRequest) -> Ranking:
        """All scores of a request, for a comparison: nobody pays, nothing waits.

        Raises:
            AttemptFailed: there are none.
        """
        if target.upstream:
            if (refusal := self.refusal(target)) is not None:
                raise refusal
            upstream = self.upstreams[target.upstream]
            return await upstream.ask(request, target.model, timeout_s=float("inf"))
        names = self._backend.names
        call = RerankCall(
            requests=(replace(request, top_n=None),),
            model=names.find(target.model) or target.model,
            cascade=names.cascade(target.model),
            charge=free_of_charge,
            trace=Trace(),
        )
        try:
            return (await self._backend.rerank(call))[0]
        except InvalidRequest as error:
            raise AttemptFailed("over_limit", error=error) from error
        except (Overloaded, EngineFailed) as error:
            raise AttemptFailed("failed", error=error) from error


def left_s(call: RerankCall) -> float:
    """Until the deadline of a call."""
    until = call.trace.until
    return float("inf") if until is None else until - time.monotonic()


async def _all(asks: Sequence[Coroutine[Any, Any, Ranking]]) -> Sequence[Ranking]:
    """All of them, or the first failure; the others are then cancelled."""
    if len(asks) == 1:
        return [await asks[0]]
    tasks = [asyncio.create_task(ask) for ask in asks]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancelled(tasks)


async def cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel what still runs, and wait until it has ended; how does not matter any more."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)
