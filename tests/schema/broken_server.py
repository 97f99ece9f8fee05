"""A server of which some answers are not what its OpenAPI document says, each in another way."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.base import AnyEndpoint, Dialect
from rerankd.dialects.registry import SERVED, Registry
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest
from rerankd.service.plan import plan
from rerankd.settings.schema import KeySettings, Settings
from rerankd.telemetry.logs import configure_logging
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state
from rerankd.web.server import base_url, bind


def _no_usage(answer: WireAnswer) -> WireAnswer:
    body: Any = msgspec.json.decode(answer.body)
    del body["usage"]
    return dataclasses.replace(answer, body=msgspec.json.encode(body))


def _index_as_text(answer: WireAnswer) -> WireAnswer:
    body: Any = msgspec.json.decode(answer.body)
    for result in body["results"]:
        result["index"] = str(result["index"])
    return dataclasses.replace(answer, body=msgspec.json.encode(body))


def _accepted(answer: WireAnswer) -> WireAnswer:
    return dataclasses.replace(answer, status=202)


def _plain_text(answer: WireAnswer) -> WireAnswer:
    return dataclasses.replace(answer, content_type="text/plain")


BROKEN: dict[str, Callable[[WireAnswer], WireAnswer]] = {
    "voyage": _no_usage,
    "jina": _index_as_text,
    "together": _accepted,
    "fireworks": _plain_text,
}


CREDULOUS = "siliconflow"  # what it should refuse it ranks


def _credulous(found: Dialect) -> Dialect:
    """The dialect with no request refused: a wrong one is taken for another."""

    def parse(wire: WireRequest, options: Options) -> RerankRequest:
        with contextlib.suppress(InvalidRequest):
            return found.parse(wire, options)
        return RerankRequest(query=Content(value="q"), documents=(Content(value="a"),))

    return dataclasses.replace(found, parse=parse)


def broken(found: AnyEndpoint) -> AnyEndpoint:
    """The dialect with its answer spoilt, where it is one of BROKEN; or credulous."""
    if isinstance(found, Dialect) and found.name == CREDULOUS:
        return _credulous(found)
    spoil = BROKEN.get(found.name)
    if spoil is None or not isinstance(found, Dialect):
        return found
    whole = found.render

    def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
        return spoil(whole(request, ranking, envelope))

    return dataclasses.replace(found, render=render)


KEYLESS = "/zeroentropy/"


class LetsAnybodyIn:
    """ASGI middleware: below KEYLESS, every request has the right key."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app = app
        self.key = (b"authorization", f"Bearer {key}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the key."""
        if scope["type"] == "http" and scope["path"].startswith(KEYLESS):
            others = [pair for pair in scope["headers"] if pair[0] != self.key[0]]
            scope["headers"] = [*others, self.key]
        await self.app(scope, receive, send)


def main() -> None:
    """Serve on a free port: MODEL KEY."""
    model, key = sys.argv[1:]
    configure_logging("json")  # to stderr: nobody reads more than one line of stdout
    state = make_state(Settings(keys=(KeySettings(name="schema", key=key),)))
    registry = Registry(broken(found) for found in SERVED.served)
    app = LetsAnybodyIn(create_app(state, plan((model,), {}, {}), registry=registry), key)
    listener = bind("127.0.0.1", 0)
    sys.stdout.write(f"on {base_url(listener)}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
