"""/admin/v1/upstreams, /routes, /config and /reload: the server itself."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from rerankd.core.facts import UpstreamFacts
from rerankd.gateway.targets import RoutedName, RouteTarget
from rerankd.settings.reference import dotted
from rerankd.web.admin.answers import AdminAnswer, AdminRefusal
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation
from rerankd.web.reports import Reloaded
from rerankd.web.state import Running


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


class ConfigView(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force by dotted name, without keys and passwords."""

    settings: dict[str, Any]


async def upstreams(desk: Desk, _: Call) -> AdminAnswer:
    """How every upstream does."""
    facts = [msgspec.to_builtins(each) for each in desk.state.fleet.facts()]
    return AdminAnswer(content={"object": "list", "data": facts})


async def routes(desk: Desk, _: Call) -> AdminAnswer:
    """Every routed name."""
    found = [msgspec.to_builtins(_route(each)) for each in desk.state.router.routes.values()]
    return AdminAnswer(content={"object": "list", "data": found})


async def config(desk: Desk, _: Call) -> AdminAnswer:
    """The settings in force."""
    settings = dict(dotted(_running(desk).settings()))
    return AdminAnswer(content={"settings": msgspec.to_builtins(settings, enc_hook=str)})


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
