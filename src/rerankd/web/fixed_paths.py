"""Paths without parameters, found by one look-up instead of a hundred patterns tried in turn."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send


class FixedPaths(BaseRoute):
    """Stands before the routes of an app and answers as they would, only sooner."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._found: dict[tuple[str, str], Route] = {}
        patterns: list[Route] = []  # that come before
        for route in routes:
            if route.param_convertors:
                patterns.append(route)
                continue
            earlier = (each for each in patterns if each.path_regex.match(route.path))
            taken = {method for each in earlier for method in each.methods or ()}
            for method in (route.methods or set[str]()) - taken:
                self._found.setdefault((route.path, method), route)
        self._apps = {
            place: route.app
            for place, route in self._found.items()
            if not inspect.isroutine(route.endpoint)
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The route of exactly this path and method, if there is one."""
        if scope["type"] != "http":
            return Match.NONE, {}
        route = self._found.get((scope["path"], scope["method"]))
        return (Match.NONE, {}) if route is None else route.matches(scope)

    def endpoint(self, scope: Scope) -> ASGIApp | None:
        """What answers at exactly this path and method, if it is an ASGI app by itself."""
        return self._apps.get((scope["path"], scope["method"]))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over to the route that matched."""
        await self._found[scope["path"], scope["method"]].handle(scope, receive, send)


class Direct:
    """The innermost ASGI middleware: what has a fixed path is called without a router's steps."""

    def __init__(self, app: ASGIApp, *, paths: FixedPaths) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over to the endpoint, or else to the app."""
        endpoint = self._paths.endpoint(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
        else:
            scope["path_params"] = {}
            await endpoint(scope, receive, send)
