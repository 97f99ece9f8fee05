"""Upstreams and a switch without sockets: answers said beforehand, a clock that is given."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.core.answer import Hit, Ranking
from rerankd.core.names import Names
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.failover import AttemptFailed, Outcome
from rerankd.gateway.plan import GatewayPlan, gateway_plan
from rerankd.gateway.router import Router
from rerankd.gateway.shadow import Compared, Shadows
from rerankd.gateway.switch import Switch
from rerankd.gateway.targets import NO_WISH, Wish
from rerankd.gateway.transport import Sent
from rerankd.gateway.upstream import Upstream
from rerankd.models.load import Spec
from rerankd.service.base import RerankCall, Trace
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Limits, Settings

SERVED = ServingPlan(specs=(Spec(name="here"), Spec(name="rerankd-lexical")), aliases={})
ENV = {"KEY": "sk-one", "KEYS": "sk-a,sk-b"}
KEY = Key(name="caller", digest=b"d" * 32)
REQUEST = RerankRequest(
    query=Content(value="q"), documents=tuple(Content(value=c) for c in "abc"), model="x"
)


def scored(scores: Sequence[float] = (0.1, 0.9, 0.5), tokens: int | None = 12) -> WireAnswer:
    """Jina's answer with these scores of the documents, in order."""
    results = [{"index": i, "relevance_score": s} for i, s in enumerate(scores)]
    usage = {} if tokens is None else {"total_tokens": tokens}
    return answer(200, {"model": "inner/path", "usage": usage, "results": results})


def answer(status: int, body: object, **headers: str) -> WireAnswer:
    """An answer with a JSON body; headers with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireAnswer(status=status, body=msgspec.json.encode(body), headers=named)


Said = WireAnswer | Outcome | float  # an answer, how it fails, or how long it takes


class Told:
    """A transport that says what it was told to, then the last of it again."""

    def __init__(self, *says: Said) -> None:
        self.says: list[Said] = [*says] or [scored()]
        self.sent: list[Sent] = []
        self.timeouts: list[float] = []
        self.is_closed = False
        self.cancelled = 0

    async def send(self, sent: Sent, *, timeout_s: float) -> WireAnswer:
        self.sent.append(sent)
        self.timeouts.append(timeout_s)
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, str):
            raise AttemptFailed(said)
        if isinstance(said, WireAnswer):
            return said
        try:
            await asyncio.sleep(said)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return scored()

    async def close(self) -> None:
        self.is_closed = True

    @property
    def keys(self) -> list[str]:
        """The keys that requests came with, in order."""
        return [sent.headers.get("authorization", "").removeprefix("Bearer ") for sent in self.sent]


class Here:
    """A backend with two models, which gives documents scores by their place."""

    def __init__(self) -> None:
        self.names = Names(models=("here", "rerankd-lexical"))
        self.calls: list[RerankCall] = []
        self.error: Exception | None = None
        self.off: set[str] = set()  # models that an operator unloaded

    def is_off(self, model: str) -> bool:
        return model in self.off

    def space(self, model: str) -> str:
        return f"{model}@1"

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        self.calls.append(call)
        await call.charge(60)
        if self.error is not None:
            raise self.error
        return [ranked(request, call.model) for request in call.requests]


def ranked(request: RerankRequest, model: str) -> Ranking:
    """The documents in the opposite order."""
    count = len(request.documents)
    hits = (Hit(i, (i + 1) / count, (i + 1) / count) for i in reversed(range(count)))
    return Ranking(model=model, hits=tuple(hits)[: request.top_n], documents=count, input_tokens=60)


def plan(
    route: dict[str, Any], costs: Sequence[dict[str, Any]] = (), **upstreams: dict[str, Any]
) -> GatewayPlan:
    """The plan of a route `x`; upstreams by name, of Jina's dialect unless they say another."""
    common = {"dialect": "jina", "url": "http://127.0.0.1:9", "key_env": "KEY"}
    values = {
        "upstream": {name: common | found for name, found in upstreams.items()},
        "route": {"x": route},
        "cost": list(costs),
    }
    return gateway_plan(msgspec.convert(values, Settings), SERVED, ENV, look_up=_nobody)


def _nobody(_: str) -> Sequence[str]:
    raise OSError


class Gateway:
    """A router with a route `x`, around fakes."""

    def __init__(
        self,
        route: dict[str, Any],
        /,
        limits: Limits | None = None,
        *,
        costs: Sequence[dict[str, Any]] = (),
        **upstreams: Told | tuple[Told, dict[str, Any]],
    ) -> None:
        """`upstreams`: name -> a transport, or (transport, settings of the upstream)."""
        pairs: dict[str, tuple[Told, dict[str, Any]]] = {
            n: u if isinstance(u, tuple) else (u, {}) for n, u in upstreams.items()
        }
        made = plan(route, costs, **{name: values for name, (_, values) in pairs.items()})
        self.now = 0.0
        self.here = Here()
        self.ends: defaultdict[str, list[str]] = defaultdict(list)
        self.compared: list[Compared] = []
        self.rates = RateLimits(clock=lambda: 0.0)
        random = Random(1)
        backend: Any = self.here
        self.shadows = Shadows(self.compared.append, random)
        limits = limits or Limits()
        self.switch = Switch(backend, limits, self.shadows, clock=lambda: self.now, random=random)
        self.upstreams = {
            name: Upstream(made.upstreams[name], transport, self._ended, clock=lambda: self.now)
            for name, (transport, _) in pairs.items()
        }
        self.switch.doors.upstreams = self.upstreams
        self.router = Router(backend, self.rates, documents=1000, switch=self.switch)
        self.router.routes = made.routes

    def _ended(self, upstream: str, outcome: Outcome, seconds: float) -> None:
        self.ends[upstream].append(outcome)

    async def rank(
        self,
        request: RerankRequest = REQUEST,
        *,
        key: Key = KEY,
        wish: Wish = NO_WISH,
        trace: Trace | None = None,
    ) -> Ranking:
        """The ranking of one request."""
        found = await self.router.rerank((request,), key, trace or Trace(), wish=wish)
        return found[0]
