"""The app factory: settings in, ASGI app out, models loaded in its lifespan."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rerankd.access.rates import RATE_HEADERS
from rerankd.core.errors import EngineFailed, MethodNotAllowed, RerankError, StartError, UnknownPath
from rerankd.dialects.registry import SERVED, Registry
from rerankd.service.plan import ServingPlan
from rerankd.telemetry.logs import log_event
from rerankd.web.api_pages import ApiPages
from rerankd.web.client import LOGGED_CHARACTERS, network_of
from rerankd.web.endpoints import DialectEndpoint
from rerankd.web.fixed_paths import Direct, FixedPaths
from rerankd.web.hints import Hints
from rerankd.web.middleware import TRACE_HEADERS, RequestId
from rerankd.web.model_list import ModelLists
from rerankd.web.operations import Operations
from rerankd.web.paths import Get, What, gets
from rerankd.web.route_headers import ROUTE_HEADER, SPACE_HEADER
from rerankd.web.state import State
from rerankd.web.static_files import StaticPaths
from rerankd.web.wire_answers import WARNINGS_HEADER, envelope_of, response_of
from rerankd.web.worker_list import Workers

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

HINT_HEADER = "x-rerankd-hint"  # on a 404 or 405: the path that may have been meant


def create_app(
    state: State,
    plan: ServingPlan,
    *,
    cors_origins: tuple[str, ...] = (),
    registry: Registry = SERVED,
) -> ASGIApp:
    """The ASGI app, serving the dialects of `registry`.

    What ships inside is loaded before the first request; whoever runs the app then awaits
    `state.backend.load()` for the checkpoints, and requests for them get a 503 until then.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        try:
            await state.start(plan)
        except StartError as error:
            state.failure = error
            raise
        yield
        await state.close()
        state.threads.close()

    hints = Hints(route.path for route in registry.routes)

    async def failed(request: Request, error: Exception) -> Response:
        known = _as_rerank_error(request, error)
        dialect = registry.speaker(request.url.path, request.headers)
        answer = dialect.render_error(known, envelope_of(request.scope), state.options)
        response = response_of(answer)
        if known.status in (404, 405):
            _hint(request, response, hints.right_path(request.url.path), state)
        return response

    routes = _routes(state, registry)
    fixed = FixedPaths(routes)
    app = Starlette(
        routes=[fixed, *routes],
        lifespan=lifespan,
        exception_handlers={
            HTTPException: failed,
            RerankError: failed,
            Exception: failed,
        },
        middleware=[
            Middleware(StaticPaths, has_console=state.accounts is not None),
            *_admin(state),
            *_cors(cors_origins),
            Middleware(Direct, paths=fixed),
        ],
    )
    app.router.redirect_slashes = False
    return RequestId(app, state.drain)


def _routes(state: State, registry: Registry) -> list[Route]:
    operations = Operations(state)
    lists = ModelLists(state, registry, created=int(time.time()))
    own, user = _own(state, registry, lists.user)
    pages = ApiPages(state, registry, [get for get, _ in own])
    routes: list[Route] = []
    for route in registry.routes:
        endpoint = DialectEndpoint(route, state)
        routes += [Route(path, endpoint, methods=["POST"]) for path in _spellings(route.path)]
    handlers: dict[What, Handler] = {
        "models": lists.models,
        "model": lists.model,
        "user": user,
        "health": operations.health,
        "ready": operations.ready,
        "metrics": operations.metrics,
        "root": pages.root,
        "openapi": pages.openapi,
        "docs": pages.docs,
    }
    owned = {get.path: handler for get, handler in own}
    for get in gets(registry, [get for get, _ in own]):
        if get.what == "own":
            handler = owned[get.path]
        elif get.probe is not None and get.speaker is not None:
            handler = lists.probe(get.probe, get.speaker)
        else:
            handler = handlers[get.what]
        spellings = _spellings(get.path) if get.slash else _spellings(get.path)[:1]
        routes += [Route(spelling, handler, methods=["GET"]) for spelling in spellings]
    return routes


def _own(
    state: State, registry: Registry, user: Handler
) -> tuple[list[tuple[Get, Handler]], Handler]:
    """What there is on some servers only: workers; with a store, what callers may read of keys.

    With who they are.
    """
    own: list[tuple[Get, Handler]] = []
    if state.backend.facts().workers:
        workers = Workers(state, registry)
        own.append((workers.get, workers.answer))
    if state.accounts is None:
        return own, user
    from rerankd.web.admin.mount import own_pages  # as above

    found = own_pages(state, state.accounts, registry)
    return [*own, *found.all()], found.user


def _spellings(path: str) -> tuple[str, ...]:
    """A path in Starlette's form; with and without a slash at its end."""
    template = re.sub(r"\{(\w+)\}", r"{\1:path}", path)
    return (template,) if template.endswith(("}", "/")) else (template, template + "/")


def _admin(state: State) -> list[Middleware]:
    """The admin API and the console, which other sites' pages get no leave to read: before CORS."""
    if state.accounts is None:
        return []
    # Their libraries are an extra, and for servers that have a store.
    from rerankd.web.admin.mount import admin_app, admin_paths
    from rerankd.web.console.mount import console_paths

    admin = admin_app(state, state.accounts)
    return [admin_paths(admin), console_paths(state, admin)]


def _cors(origins: tuple[str, ...]) -> list[Middleware]:
    if not origins:
        return []
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=[
            *TRACE_HEADERS,
            "retry-after",
            "x-should-retry",
            "x-rerankd-reason",
            "x-rerankd-budget-remaining",
            *RATE_HEADERS,
            HINT_HEADER,
            WARNINGS_HEADER,
            ROUTE_HEADER,
            SPACE_HEADER,
        ],
        allow_private_network=True,  # for the origins above
    )
    return [cors]


def _hint(request: Request, response: Response, right: str | None, state: State) -> None:
    """Say what the caller may have meant, in a header and in the log; the body stays."""
    if right is not None:
        response.headers[HINT_HEADER] = f"POST {right}"
    state.metrics.unrouted(response.status_code)
    log_event(
        "not served",
        status=response.status_code,
        method=request.method,
        path=request.url.path[:LOGGED_CHARACTERS],
        hint=right,
        client=network_of(request.scope, state.trusted),
        agent=request.headers.get("user-agent", "")[:LOGGED_CHARACTERS],
    )


def _as_rerank_error(request: Request, error: Exception) -> RerankError:
    if isinstance(error, RerankError):
        return error
    if isinstance(error, HTTPException) and error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "POST")
        return MethodNotAllowed(
            f"{request.method} is not possible at {request.url.path}; use {allow}.", allow=allow
        )
    if isinstance(error, HTTPException):
        return UnknownPath("404 page not found")
    request_id = request.scope["state"]["request_id"]
    return EngineFailed(f"Internal error. Give the operator this request id: {request_id}")
