"""The console of one server, put together."""

from __future__ import annotations

from typing import Final

from starlette.middleware import Middleware

from rerankd.web.admin.app import AdminApp
from rerankd.web.below import Below
from rerankd.web.console import (
    budgets,
    config,
    keys,
    models,
    overview,
    own,
    prices,
    reliability,
    requests,
    teams,
    upstreams,
    usage,
)
from rerankd.web.console.app import PREFIX, ConsoleApp, Do, Show
from rerankd.web.state import State

PAGES: Final[dict[str, Show]] = {
    **overview.PAGES,
    **own.PAGES,
    **usage.PAGES,
    **requests.PAGES,
    **keys.PAGES,
    **teams.PAGES,
    **budgets.PAGES,
    **prices.PAGES,
    **models.PAGES,
    **upstreams.PAGES,
    **reliability.PAGES,
    **config.PAGES,
}
FORMS: Final[dict[str, Do]] = {
    **keys.FORMS,
    **teams.FORMS,
    **budgets.FORMS,
    **prices.FORMS,
    **models.FORMS,
    **upstreams.FORMS,
    **config.FORMS,
}


def console_paths(state: State, admin: AdminApp) -> Middleware:
    """What answers below /ui, before every other middleware."""
    console = ConsoleApp(state, admin, pages=PAGES, forms=FORMS)
    return Middleware(Below, prefix=PREFIX, other=console)
