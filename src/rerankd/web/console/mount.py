"""The console of one server, put together."""

from __future__ import annotations

from typing import Final

from starlette.middleware import Middleware

from rerankd.web.admin.app import AdminApp
from rerankd.web.console import overview
from rerankd.web.console.app import ConsoleApp, ConsolePaths, Do, Show
from rerankd.web.state import State

PAGES: Final[dict[str, Show]] = {**overview.PAGES}
FORMS: Final[dict[str, Do]] = {}


def console_paths(state: State, admin: AdminApp) -> Middleware:
    """What answers below /ui, before every other middleware."""
    return Middleware(ConsolePaths, console=ConsoleApp(state, admin, pages=PAGES, forms=FORMS))
