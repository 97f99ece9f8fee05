"""Around Serve's own layers in a replica's HTTP server: whose ids and limits hold.

Serve takes a caller's `x-request-id`, or makes one, and adds it to every answer, beside the app's.
It obeys headers by which callers set its time-out and the watch for clients that leave. Here every
request gets rerankd's id before Serve sees it, callers cannot steer Serve, and an answer has its id
once. Deadlines and clients that leave are then the app's business alone, which tells them in the
dialect of the request and takes the rows out of the queue.
"""

from __future__ import annotations

from typing import Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerankd.web.middleware import new_request_id

_ID: Final = b"x-request-id"
_UNWATCHED: Final = (b"x-request-disconnect-disabled", b"?1")
_STEERING: Final = frozenset({_ID, _UNWATCHED[0], b"x-request-timeout-seconds"})


class Edge:
    """ASGI middleware, outermost in a replica."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP on under our id; anything else as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        others = [each for each in scope["headers"] if each[0] not in _STEERING]
        scope["headers"] = [*others, (_ID, request_id.encode()), _UNWATCHED]

        async def once(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [each for each in message["headers"] if each[0].lower() != _ID]
                message["headers"] = [*headers, (_ID, request_id.encode())]
            await send(message)

        await self.app(scope, receive, once)


def middlewares() -> list[Middleware]:
    """What RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names; Serve asks for it by that name."""
    return [Middleware(Edge)]
