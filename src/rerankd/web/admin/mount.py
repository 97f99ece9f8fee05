"""The admin API of one server, put together."""

from __future__ import annotations

from typing import Any, Final

from starlette.middleware import Middleware

from rerankd import __version__
from rerankd.dialects.registry import Registry
from rerankd.store.accounts import AccountStore
from rerankd.web.admin import keys, live, models, money, server, teams, usage
from rerankd.web.admin.answers import AdminAnswer
from rerankd.web.admin.app import PREFIX, AdminApp
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.gate import AdminGate
from rerankd.web.admin.openapi import document
from rerankd.web.admin.operation import Call, Operation
from rerankd.web.admin.own import OwnPages
from rerankd.web.below import Below
from rerankd.web.state import State

_OPERATIONS: Final = (
    *keys.OPERATIONS,
    *teams.OPERATIONS,
    *money.OPERATIONS,
    *usage.OPERATIONS,
    *live.OPERATIONS,
    *models.OPERATIONS,
    *server.OPERATIONS,
)


async def _document(_desk: Desk, _call: Call) -> AdminAnswer:
    return AdminAnswer(content=document(_OPERATIONS, __version__))


OPERATIONS: Final = (
    *_OPERATIONS,
    Operation(
        method="GET",
        path="/openapi.json",
        summary="The OpenAPI document of the admin API.",
        role="read",
        answer=dict[str, Any],
        run_here=_document,
    ),
)


def own_pages(state: State, store: AccountStore, registry: Registry) -> OwnPages:
    """What callers may read of their own keys."""
    return OwnPages(Desk(state, store), registry)


def admin_app(state: State, store: AccountStore) -> AdminApp:
    """What answers below /admin/v1."""
    return AdminApp(Desk(state, store), AdminGate(state, state.admin_hosts), OPERATIONS)


def admin_paths(app: AdminApp) -> Middleware:
    """It stands before every other middleware."""
    return Middleware(Below, prefix=PREFIX, other=app)
