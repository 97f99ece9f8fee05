"""The outermost layer: a request id on every answer, the last word while the server stops."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerankd.web.state import Drain

TRACE_HEADERS = ("x-siliconcloud-trace-id", "x-request-id")
_TRACE_NAMES = tuple(name.encode() for name in TRACE_HEADERS)
_SLASHES = re.compile("//+")
_ID_BYTES: Final = 12
_IDS_DRAWN: Final = 128


class RequestIds:
    """Makes request ids: unique, ours, never the caller's: "rerank-YYYYMMDD-<24 hex digits>"."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """The clock: seconds since 1970."""
        self._clock = clock
        self._day, self._written = -1, ""
        self._digits: list[str] = []  # random, not used yet: the system is asked for many at once

    def __call__(self) -> str:
        """The next one."""
        day = int(self._clock() // 86_400)
        if day != self._day:
            self._day = day
            self._written = time.strftime("%Y%m%d", time.gmtime(day * 86_400))
        if not self._digits:
            drawn = secrets.token_hex(_ID_BYTES * _IDS_DRAWN)
            self._digits = [
                drawn[at : at + 2 * _ID_BYTES] for at in range(0, len(drawn), 2 * _ID_BYTES)
            ]
        return f"rerank-{self._written}-{self._digits.pop()}"


new_request_id: Final = RequestIds()


class RequestId:
    """ASGI middleware; also folds `//v1/rerank`, what a base URL with a slash too many makes.

    While the server drains, every answer says that its connection ends: a client that keeps
    connections alive then sends nothing into one that the exit closes.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP on with an id; anything else as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Whoever runs the app may have made one; a caller cannot: the scope holds no header here.
        request_id = scope.setdefault("state", {}).setdefault("request_id", new_request_id())
        if "//" in scope["path"]:
            scope["path"] = _SLASHES.sub("/", scope["path"])

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name, request_id.encode()) for name in _TRACE_NAMES]
                if self._drain.draining:
                    own.append((b"connection", b"close"))
                names = [name for name, _ in own]
                others = [each for each in message.get("headers", ()) if each[0] not in names]
                message["headers"] = [*others, *own]
            await send(message)

        await self.app(scope, receive, traced)
