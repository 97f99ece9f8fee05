"""What the settings say of upstreams and routes, checked: whatever is wrong is refused here."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from rerankd.accounts.price import ANY_MODEL
from rerankd.core.cascade import parse_stages
from rerankd.core.errors import StartError
from rerankd.dialects.base import Dialect
from rerankd.dialects.registry import callable_dialects
from rerankd.gateway.address import Guard, Origin, origin_of
from rerankd.gateway.secret import KeyMissing, keys_in, keys_of_file
from rerankd.gateway.targets import LEXICAL, RoutedName, RouteTarget, left_out, upstream_space
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import (
    RouteSettings,
    Settings,
    TargetSettings,
    UpstreamSettings,
)

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

LookUp = Callable[[str], Sequence[str]]  # host -> addresses, as they are written; OSError: none


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPlan:
    """One upstream, ready to be called."""

    name: str
    dialect: Dialect
    origin: Origin
    guard: Guard = field(compare=False)
    keys: tuple[str, ...] = field(repr=False)
    missing: str = ""  # why there is none, when that is let pass
    settings: UpstreamSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan:
    """All upstreams and routes."""

    upstreams: Mapping[str, UpstreamPlan] = field(default_factory=dict[str, UpstreamPlan])
    routes: Mapping[str, RoutedName] = field(default_factory=dict[str, RoutedName])

    def missing(self) -> tuple[str, ...]:
        """The keys that are not there, when that was let pass."""
        return tuple(each.missing for each in self.upstreams.values() if each.missing)

    def warnings(self) -> tuple[str, ...]:
        """What the operator may not have meant."""
        return tuple(sentence for route in self.routes.values() for sentence in left_out(route))


NO_ROUTES: Final = GatewayPlan()


def needs_lexical(settings: Settings) -> bool:
    """Whether a route asks rerankd-lexical, which then is served."""
    return any(
        route.when_all_fail == LEXICAL or any(target.first for target in route.to)
        for route in settings.route.values()
    )


def system_look_up(host: str) -> Sequence[str]:
    """All addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def gateway_plan(
    settings: Settings,
    served: ServingPlan,
    env: Mapping[str, str],
    *,
    look_up: LookUp = system_look_up,
    needs_keys: bool = True,
) -> GatewayPlan:
    """Check upstreams and routes.

    Args:
        settings: all of them.
        served: the models of this server that targets may name.
        env: where keys are.
        look_up: resolves a host.
        needs_keys: whether a variable or file with keys that is not there is refused; else it is
            among the plan's warnings, and the plan is not to be called.

    Raises:
        StartError: names the setting, as `route."x".to[1].upstream`.
    """
    upstreams = {
        name: _upstream(name, found, settings, env, look_up, needs_keys=needs_keys)
        for name, found in settings.upstream.items()
    }
    make = _Routes(settings, served, upstreams)
    return GatewayPlan(
        upstreams=upstreams,
        routes={name: make.route(name, found) for name, found in settings.route.items()},
    )


def _upstream(
    name: str,
    found: UpstreamSettings,
    settings: Settings,
    env: Mapping[str, str],
    look_up: LookUp,
    *,
    needs_keys: bool,
) -> UpstreamPlan:
    at = f'upstream."{name}"'
    if not _NAME.fullmatch(name) or name == "local":
        _refuse(at, 'a name has letters, digits, ".", "-" and "_", and "local" is this server.')
    known = callable_dialects()
    if found.dialect not in known:
        _refuse(
            f"{at}.dialect",
            f"{found.dialect!r} cannot be called; there are {', '.join(known)}.",
        )
    origin = _at(f"{at}.url", lambda: origin_of(found.url))
    guard = _at(f"{at}.allow", lambda: Guard(origin, found.allow))
    if origin.scheme == "http" and not origin.is_loopback and not found.insecure:
        _refuse(
            f"{at}.url",
            "http:// to another machine shows key and texts to whoever is on the way. Use "
            "https://, or say insecure = true.",
        )
    if origin.is_loopback and origin.port == settings.server.port:
        _refuse(f"{at}.url", "is this server itself (server.port).")
    if refused := guard.refused_now(look_up):
        _refuse(f"{at}.url", f"its host {refused}.")
    missing = ""
    try:
        keys = _keys(at, found, origin, env)
    except KeyMissing as error:
        if needs_keys:
            raise
        keys, missing = (), str(error)
    return UpstreamPlan(
        name=name,
        dialect=known[found.dialect],
        origin=origin,
        guard=guard,
        keys=keys,
        missing=missing,
        settings=found,
    )


def _keys(
    at: str, found: UpstreamSettings, origin: Origin, env: Mapping[str, str]
) -> tuple[str, ...]:
    names, file = found.key_env, found.key_file
    if names is not None and file is not None:
        _refuse(f"{at}.key_file", "key_env is given as well; give one of them.")
    if names is not None:
        return _at(f"{at}.key_env", lambda: keys_in(names, env))
    if file is not None:
        return _at(f"{at}.key_file", lambda: keys_of_file(file))
    if not origin.is_loopback and not found.allow:
        _refuse(f"{at}.key_env", "a provider needs a key: give key_env or key_file.")
    return ()


class _Routes:
    """Makes routes of their settings."""

    def __init__(
        self, settings: Settings, served: ServingPlan, upstreams: Mapping[str, UpstreamPlan]
    ) -> None:
        self._names = served.names()
        self._folders = {spec.folder: spec.name for spec in served.specs if spec.folder}
        self._upstreams = upstreams
        self._routed = settings.route.keys()
        self._costs = {(cost.upstream, cost.name) for cost in settings.cost}

    def route(self, name: str, found: RouteSettings) -> RoutedName:
        """One route. Raises StartError."""
        at = f'route."{name}"'
        if not name.strip() or name != name.strip() or not name.isprintable() or name == "*":
            _refuse(at, 'a name must not be empty, blank or "*".')
        targets = tuple(self._target(f"{at}.to[{i}]", name, t) for i, t in enumerate(found.to))
        for i, target in enumerate(targets):
            earlier = [(t.upstream, t.model) for t in targets[:i]]
            if (target.upstream, target.model) in earlier:
                place = earlier.index((target.upstream, target.model))
                _refuse(f"{at}.to[{i}]", f"is the same as to[{place}].")
            self._check_cost(at, found, target)
        if found.hedge_after_s and not all(target.upstream for target in targets):
            _refuse(f"{at}.hedge_after_s", "needs upstreams: a model here would work in vain.")
        shadow = found.shadow and self._target(f"{at}.shadow", name, found.shadow)
        return RoutedName(
            name=name,
            targets=targets,
            order=found.order,
            attempts=found.attempts,
            spaces=found.spaces,
            on_loss=found.on_loss,
            when_all_fail=None if found.when_all_fail == "error" else found.when_all_fail,
            retry_budget=found.retry_budget,
            hedge_after_s=found.hedge_after_s,
            shadow=shadow,
            shadow_share=found.shadow.share if found.shadow else 0.0,
        )

    def _check_cost(self, at: str, found: RouteSettings, target: RouteTarget) -> None:
        """Raises StartError: who costs least is asked first, and nobody says what this costs."""
        if found.order != "cheapest" or not target.upstream:
            return
        if (target.upstream, target.model) not in self._costs and (
            (target.upstream, ANY_MODEL) not in self._costs
        ):
            _refuse(
                f"{at}.order",
                f"cheapest needs what each upstream takes: a [[cost]] with upstream = "
                f'"{target.upstream}" and name = "{target.model}" or "*".',
            )

    def _target(self, at: str, route: str, found: TargetSettings) -> RouteTarget:
        if (found.model is None) == (found.upstream is None):
            _refuse(at, "needs either model or upstream.")
        if found.space is not None and not _is_said_well(found.space):
            _refuse(f"{at}.space", "has visible ASCII characters only, at most 200.")
        if found.upstream is None:
            if found.name is not None:
                _refuse(f"{at}.name", "goes with upstream; a model of this server is its model.")
            if found.first is not None:
                _refuse(f"{at}.first", f'goes with upstream; here: [model."{found.model}"] stages.')
            return self._local(at, route, found)
        plan = self._upstreams.get(found.upstream)
        if plan is None:
            there = ", ".join(self._upstreams) or "none"
            _refuse(
                f"{at}.upstream", f"no upstream is named {found.upstream!r}; there are {there}."
            )
        name = found.name or route
        if found.name is not None and (not found.name.strip() or not found.name.isprintable()):
            _refuse(f"{at}.name", "must not be empty or blank.")
        first = None
        if found.first is not None:
            stage = found.first
            first, _ = _at(f"{at}.first", lambda: parse_stages(route, (stage, name)))
        return RouteTarget(
            upstream=found.upstream,
            model=name,
            first=first,
            space=found.space or upstream_space(plan.dialect.name, name),
            weight=found.weight,
        )

    def _local(self, at: str, route: str, found: TargetSettings) -> RouteTarget:
        written = found.model or ""
        model = written if self._names.is_served(written) else self._in_folder(written)
        if model is None:
            if written in self._routed:
                what = "this route itself" if written == route else "a route"
                _refuse(f"{at}.model", f"{written!r} is {what}; name a model, or its upstream.")
            served = ", ".join((*self._names.models, *self._names.aliases))
            _refuse(f"{at}.model", f"{written!r} is not served here; served are {served}.")
        return RouteTarget(model=model, space=found.space or "", weight=found.weight)

    def _in_folder(self, written: str) -> str | None:
        """The model that was loaded from a folder."""
        try:
            return self._folders.get(Path(written).expanduser().resolve())
        except (OSError, ValueError, RuntimeError):
            return None


def _is_said_well(space: str) -> bool:
    return 0 < len(space) <= 200 and space.isascii() and space.isprintable() and " " not in space


def _at(at: str, make: Callable[[], T]) -> T:
    """What is made; whoever refuses it does not know the setting's name."""
    try:
        return make()
    except StartError as error:
        raise type(error)(f"{at}: {error}") from None


def _refuse(at: str, why: str) -> NoReturn:
    raise StartError(f"{at}: {why}")
