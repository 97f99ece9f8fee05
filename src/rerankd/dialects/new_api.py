"""The gateways' form (new-api family) under /gateway: the superset, whole, for generated clients.

Their published schemas are a chat completion's, copied by mistake; `choices: []` keeps a client
that was generated from such a schema from breaking. Their samples send `top_n: 0` for "all".
Source: two gateway API pages (apifox exports of new-api sites), read 2026-11-20.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import QuotaExceeded, RerankError
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


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """The superset's; a used-up budget is a 403."""
    answer = superset.render_error(error, envelope, options)
    if isinstance(error, QuotaExceeded):
        return dataclasses.replace(answer, status=403)
    return answer


_ERRORS = {
    status: Literal["Forbidden"] | superset_schema.ErrorBody if status == 403 else kind
    for status, kind in superset.DIALECT.errors.items()
    if status != 402
}

DIALECT = Dialect(
    name="gateway",
    prefix="gateway",
    paths=("/v1/rerank", "/rerank"),
    summary="The same for clients generated from the gateways' chat-shaped schema.",
    body=GatewayBody,
    answer=GatewayAnswer,
    errors=_ERRORS,
    parse=parse,
    render=render,
    render_error=render_error,
    encode=superset.encode,
    decode=superset.decode,
    decode_error=superset.decode_error,
    carries=superset.EVERYTHING,
    tells=superset.DIALECT.tells,
)
