"""A path is answered by the route that it would have had without the look-up."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Match, Route

from rerankd.web.fixed_paths import Direct, FixedPaths
from tests.kit.support import running


async def handler(_: Any) -> Response:
    return Response()


def scope(path: str, method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "path": path, "method": method}


def test_an_earlier_pattern_keeps_its_paths() -> None:
    first = Route("/a/{name:path}", handler, methods=["GET"])
    second = Route("/a/b", handler, methods=["GET", "POST"])
    fixed = FixedPaths([first, second])
    assert fixed.matches(scope("/a/b")) == (Match.NONE, {})
    assert fixed.matches(scope("/a/b", "POST"))[0] is Match.FULL
    assert fixed.matches(scope("/a/b", "PUT"))[0] is Match.NONE
    assert fixed.matches(scope("/a/c"))[0] is Match.NONE
    assert fixed.matches({"type": "websocket", "path": "/a/b"})[0] is Match.NONE


async def test_every_route_of_the_app_is_answered_by_itself() -> None:
    async with running() as (client, _):
        transport: Any = client._transport  # pyright: ignore[reportPrivateUsage] - the app in it
        fixed, *routes = transport.app.app.routes
        found = 0
        for route in routes:
            for method in route.methods:
                wanted = next(
                    each
                    for each in routes
                    if each.matches(scope(route.path, method))[0] is Match.FULL
                )
                match, child = fixed.matches(scope(route.path, method))
                found += match is Match.FULL
                assert match is Match.NONE or child["endpoint"] is wanted.endpoint
    assert found > 100


def test_a_path_is_tried_only_on_patterns() -> None:
    class Counted(Route):
        tried = 0

        def matches(self, scope: Any) -> Any:
            Counted.tried += 1
            return super().matches(scope)

    FixedPaths([Counted(f"/{i}", handler, methods=["GET"]) for i in range(50)])
    assert Counted.tried == 0


async def test_an_app_is_called_at_once_and_a_function_by_its_route() -> None:
    called: list[str] = []

    class Endpoint:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            called.append(f"endpoint {scope['path_params']}")

    async def router(scope: Any, receive: Any, send: Any) -> None:
        called.append("router")

    routes = [
        Route("/a", Endpoint(), methods=["POST"]),
        Route("/a", handler, methods=["GET"]),
        Route("/c/{name:path}", Endpoint(), methods=["POST"]),
    ]
    direct: Any = Direct(router, paths=FixedPaths(routes))
    for path, method in (("/a", "POST"), ("/a", "GET"), ("/c/d", "POST"), ("/a/", "POST")):
        await direct(scope(path, method), None, None)
    await direct({"type": "lifespan"}, None, None)
    assert called == ["endpoint {}", "router", "router", "router", "router"]
