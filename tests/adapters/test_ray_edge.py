"""Ids and limits of a replica are rerankd's: callers cannot steer Serve, an answer has one id."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerankd.adapters.ray.edge import Edge, middlewares
from rerankd.web.drain import Drain
from rerankd.web.middleware import RequestId

Headers = list[tuple[bytes, bytes]]


class Serves:
    """What Serve puts between: it takes the request's id and adds it to the answer's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.asked: Headers = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked = list(scope["headers"])
        found = dict(self.asked).get(b"x-request-id", b"made by Serve")

        async def added(message: Message) -> None:
            message["headers"] = [*message["headers"], (b"X-Request-ID", found)]
            await send(message)

        await self.app(scope, receive, added)


async def answered(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})


async def ask(headers: Headers) -> tuple[Headers, Headers]:
    """The headers that Serve sees, and those of the answer."""
    serve = Serves(RequestId(answered, Drain()))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    scope: dict[str, Any] = {"type": "http", "path": "/", "headers": headers}
    await Edge(serve)(scope, receive, send)
    return serve.asked, sent[0]["headers"]


@pytest.mark.anyio
async def test_an_answer_has_one_id_which_serve_knows_and_the_caller_did_not_give() -> None:
    asked, headers = await ask([(b"x-request-id", b"mine"), (b"x-other", b"kept")])
    [made] = [value for name, value in headers if name.lower() == b"x-request-id"]
    assert made.startswith(b"rerank-")
    assert dict(headers)[b"x-siliconcloud-trace-id"] == made
    assert [value for name, value in asked if name == b"x-request-id"] == [made]
    assert (b"x-other", b"kept") in asked
    assert (b"a", b"b") in headers


@pytest.mark.anyio
@pytest.mark.parametrize(
    "given", [b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"x-request-id"]
)
async def test_a_caller_cannot_steer_serve(given: bytes) -> None:
    asked, _ = await ask([(given, b"0.001")])
    assert (given, b"0.001") not in asked
    assert dict(asked)[b"x-request-disconnect-disabled"] == b"?1"


@pytest.mark.anyio
async def test_what_is_no_request_passes_as_it_is() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def never(message: Message | None = None) -> Any:
        raise AssertionError

    await Edge(app)({"type": "lifespan"}, never, never)
    assert seen == [{"type": "lifespan"}]


def test_serve_is_given_the_edge() -> None:
    assert [each.cls for each in middlewares()] == [Edge]
