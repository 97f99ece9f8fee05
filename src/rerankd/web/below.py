"""What has all paths below one prefix to itself, and its own paths with parts to be filled in."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send


class Below:
    """ASGI middleware: a prefix and what is below it is for another app, all else passes."""

    def __init__(self, app: ASGIApp, prefix: str, other: ASGIApp) -> None:
        """Stand before an app.

        Args:
            app: for all else.
            prefix: without a slash at its end.
            other: gets the whole path.
        """
        self._app = app
        self._prefix = prefix
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to one of both."""
        path = scope.get("path", "")
        is_theirs = path == self._prefix or path.startswith(f"{self._prefix}/")
        is_theirs = is_theirs and scope["type"] == "http"
        await (self._other if is_theirs else self._app)(scope, receive, send)


def pattern_of(path: str) -> re.Pattern[str]:
    """What fits a path in which {id} stands for any part; the parts are its groups."""
    return re.compile(re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(path)))
