"""/admin/v1/upstreams, /routes, /config and /reload: the server itself."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from rerankd.core.errors import InvalidRequest
from rerankd.core.facts import UpstreamFacts
from rerankd.gateway.targets import RoutedName, RouteTarget, in_space_of
from rerankd.gateway.trial import Difference, Trial, difference, golden, in_order, try_out
from rerankd.service.base import RerankCall
from rerankd.settings.reference import dotted
from rerankd.store.errors import NotFound
from rerankd.web.admin.answers import AdminAnswer, AdminRefusal
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation
from rerankd.web.reload import needs_restart
from rerankd.web.reports import Reloaded
from rerankd.web.state import Running


class TestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is tried."""

    model: str | None = None  # the upstream's own name of it; None = what routes name, the first
    against: str | None = None  # a model of this server to compare with


class UpstreamTest(msgspec.Struct, frozen=True, kw_only=True):
    """What came of pairs that ship with rerankd, sent to an upstream."""

    trial: Trial
    against: str | None  # the model of this server that scored the same pairs
    difference: Difference | None


class UpstreamList(msgspec.Struct, frozen=True, kw_only=True):
    """How every upstream does now."""

    object: Literal["list"]
    data: list[UpstreamFacts]


class TargetView(msgspec.Struct, frozen=True, kw_only=True):
    """Who may answer."""

    upstream: str  # "": a model of this server
    model: str
    space: str  # "": that of the model
    weight: int


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers for a name."""

    name: str
    to: list[TargetView]
    order: str
    attempts: int
    spaces: str
    on_loss: str
    when_all_fail: str
    retry_budget: float
    hedge_after_s: float
    shadow: TargetView | None
    shadow_share: float


class RouteList(msgspec.Struct, frozen=True, kw_only=True):
    """Every routed name."""

    object: Literal["list"]
    data: list[RouteView]


class SettingOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a setting's value comes from."""

    source: str  # a file, an environment variable, "flag", "default"
    needs_restart: bool  # a reload does not take over another value


class ConfigView(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force by dotted name, without keys and passwords."""

    settings: dict[str, Any]
    origins: dict[str, SettingOrigin]


async def upstreams(desk: Desk, _: Call) -> AdminAnswer:
    """How every upstream does."""
    facts = [msgspec.to_builtins(each) for each in desk.state.fleet.facts()]
    return AdminAnswer(content={"object": "list", "data": facts})


async def test(desk: Desk, call: Call) -> AdminAnswer:
    """Send an upstream what ships with rerankd, and compare. Raises NotFound, InvalidRequest."""
    asked: TestBody = call.body
    name = call.ids[0]
    upstream = desk.state.fleet.upstreams.get(name)
    if upstream is None:
        raise NotFound(f"There is no upstream {name[:100]!r}.")
    routed = desk.state.router.routes.values()
    targets = [t for route in routed for t in route.targets if t.upstream == name]
    model = asked.model or next((target.model for target in targets), None)
    if model is None:
        raise InvalidRequest(
            f"model: no route names a model of {name}, so say which.", param="model"
        )
    beside = in_space_of(routed, name, model)
    against = asked.against or next((t.model for t in beside if not t.upstream), None)
    trial = await try_out(upstream, model)
    own = None if against is None else await _own_scores(desk, against)
    found = UpstreamTest(
        trial=trial,
        against=against,
        difference=None if own is None else difference(trial.scores, own),
    )
    return AdminAnswer(content=msgspec.to_builtins(found))


async def _own_scores(desk: Desk, model: str) -> list[tuple[float, ...]]:
    """The same pairs, scored here. Raises InvalidRequest."""
    names = desk.state.backend.names
    if model not in names.models:
        raise InvalidRequest(f"against: {model!r} is no model of this server.", param="against")
    requests = [each.request() for each in golden()]
    call = RerankCall(requests=requests, model=model)
    return [in_order(ranking) for ranking in await desk.state.backend.rerank(call)]


async def routes(desk: Desk, _: Call) -> AdminAnswer:
    """Every routed name."""
    found = [msgspec.to_builtins(_route(each)) for each in desk.state.router.routes.values()]
    return AdminAnswer(content={"object": "list", "data": found})


async def config(desk: Desk, _: Call) -> AdminAnswer:
    """The settings in force."""
    now = _running(desk)
    settings = dict(dotted(now.settings()))
    origins = {
        name: SettingOrigin(source=now.source(name), needs_restart=needs_restart(name))
        for name in settings
    }
    content = {"settings": settings, "origins": origins}
    return AdminAnswer(content=msgspec.to_builtins(content, enc_hook=str))


async def reload(desk: Desk, _: Call) -> AdminAnswer:
    """Read the settings again, as SIGHUP does; answered when the models are there."""
    report = await _running(desk).reload()
    return AdminAnswer(content=msgspec.to_builtins(report, enc_hook=str))


def _running(desk: Desk) -> Running:
    if desk.state.running is None:
        raise AdminRefusal(
            501, "not_possible", "Only `rerankd serve` reads settings, and can read them again."
        )
    return desk.state.running


def _route(route: RoutedName) -> RouteView:
    return RouteView(
        name=route.name,
        to=[_target(target) for target in route.targets],
        order=route.order,
        attempts=route.attempts,
        spaces=route.spaces,
        on_loss=route.on_loss,
        when_all_fail=route.when_all_fail or "error",
        retry_budget=route.retry_budget,
        hedge_after_s=route.hedge_after_s,
        shadow=None if route.shadow is None else _target(route.shadow),
        shadow_share=route.shadow_share,
    )


def _target(target: RouteTarget) -> TargetView:
    return TargetView(
        upstream=target.upstream, model=target.model, space=target.space, weight=target.weight
    )


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/upstreams",
        summary="How every upstream does now.",
        answer=UpstreamList,
        run_here=upstreams,
    ),
    Operation(
        method="POST",
        path="/upstreams/{id}/test",
        summary="Send an upstream pairs that ship with rerankd; compare with a model here.",
        body=TestBody,
        answer=UpstreamTest,
        run_here=test,
    ),
    Operation(
        method="GET",
        path="/routes",
        summary="Who answers for which name.",
        answer=RouteList,
        run_here=routes,
    ),
    Operation(
        method="GET",
        path="/config",
        summary="The settings in force, without secrets.",
        answer=ConfigView,
        run_here=config,
    ),
    Operation(
        method="POST",
        path="/reload",
        summary="Read the settings again, as SIGHUP does; answered when it is done.",
        answer=Reloaded,
        run_here=reload,
    ),
)
