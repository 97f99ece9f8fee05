"""The outermost layer: a request id on every answer, the last word while the server stops."""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerankd.web.state import Drain

TRACE_HEADERS = ("x-siliconcloud-trace-id", "x-request-id")
_SLASHES = re.compile("//+")


def new_request_id() -> str:
    """Unique, ours, never the caller's: "rerank-YYYYMMDD-<24 hex digits>"."""
    return f"rerank-{time.strftime('%Y%m%d', time.gmtime())}-{secrets.token_hex(12)}"


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
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        scope["path"] = _SLASHES.sub("/", scope["path"])

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in TRACE_HEADERS:
                    headers[name] = request_id
                if self._drain.draining:
                    headers["connection"] = "close"
            await send(message)

        await self.app(scope, receive, traced)
