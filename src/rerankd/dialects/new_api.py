"""The gateways' form (new-api family) under /gateway: the superset, whole, for generated clients.

Their published schemas are a chat completion's, copied by mistake; `choices: []` keeps a client
that was generated from such a schema from breaking. Their samples send `top_n: 0` for "all".
Source: two gateway API pages (apifox exports of new-api sites), read 2026-11-20.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.request import RerankRequest
from rerankd.dialects import fields, superset, superset_schema
from rerankd.dialects.base import Dialect
from rerankd.dialects.fields import NotNegative
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class GatewayBody(superset_schema.Body):
    """A rerank request; top_n 0 means all documents."""

    top_n: Annotated[
        NotNegative | None, Meta(description="How many results; 0 or absent: all documents.")
    ] = None
    top_k: Annotated[NotNegative | None, Meta(description="Same as top_n.")] = None


class GatewayAnswer(superset_schema.Answer):
    """The superset's answer with an empty `choices`."""

    choices: Annotated[list[Any], Meta(max_length=0)]


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """As the superset; `top_n: 0` is all documents. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, GatewayBody, fields.HINTS, reads_digits=True)
    body.top_n, body.top_k = body.top_n or None, body.top_k or None
    return superset.canonical(body, options)


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The superset's answer plus `choices: []`."""
    answer = msgspec.structs.asdict(superset.answer(request, ranking, envelope))
    return WireAnswer(status=200, body=msgspec.json.encode(GatewayAnswer(**answer, choices=[])))


DIALECT = Dialect(
    name="gateway",
    prefix="gateway",
    paths=("/v1/rerank", "/rerank"),
    summary="The same for clients generated from the gateways' chat-shaped schema.",
    body=GatewayBody,
    answer=GatewayAnswer,
    errors=superset.DIALECT.errors,
    parse=parse,
    render=render,
    render_error=superset.render_error,
    encode=superset.encode,
    decode=superset.decode,
    decode_error=superset.decode_error,
    carries=superset.EVERYTHING,
    tells=superset.DIALECT.tells,
)
