"""A server of which four answers are not what its OpenAPI document says, each in another way."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import uvicorn

from rerankd.core.types import Ranking, RerankRequest
from rerankd.dialects.base import Dialect, Served
from rerankd.dialects.registry import SERVED, Registry
from rerankd.dialects.wire import Envelope, WireAnswer
from rerankd.service.pool import plan
from rerankd.settings import KeySettings, Settings
from rerankd.web.app import create_app, make_state
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


def _teapot(answer: WireAnswer) -> WireAnswer:
    return dataclasses.replace(answer, status=418)


def _plain_text(answer: WireAnswer) -> WireAnswer:
    return dataclasses.replace(answer, content_type="text/plain")


BROKEN: dict[str, Callable[[WireAnswer], WireAnswer]] = {
    "voyage": _no_usage,
    "jina": _index_as_text,
    "together": _teapot,
    "fireworks": _plain_text,
}


def broken(found: Served) -> Served:
    """The dialect with its answer spoilt, where it is one of BROKEN."""
    spoil = BROKEN.get(found.name)
    if spoil is None or not isinstance(found, Dialect):
        return found
    whole = found.render

    def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
        return spoil(whole(request, ranking, envelope))

    return dataclasses.replace(found, render=render)


def main() -> None:
    """Serve on a free port: MODEL KEY."""
    model, key = sys.argv[1:]
    state = make_state(Settings(keys=(KeySettings(name="schema", key=key),)))
    registry = Registry(broken(found) for found in SERVED.served)
    app: Any = create_app(state, plan((model,), {}, {}), registry=registry)
    listener = bind("127.0.0.1", 0)
    sys.stdout.write(f"on {base_url(listener)}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
