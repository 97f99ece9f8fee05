"""Together AI's POST /v1/rerank: an object without `rank_fields` is ranked by all its keys.

Source: package together 3.1.1 (types/rerank_create_params.py and _response.py),
docs.together.ai/reference/rerank-1; read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import RerankError, UnknownModel
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.openai_errors import OpenAiError, openai_error
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class TogetherBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[
        fields.Mixed, Meta(description="Strings, or objects ranked by all their keys.")
    ]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    rank_fields: Annotated[
        list[str] | None, Meta(description="Keys of document objects to rank by; absent: all.")
    ] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None


class TogetherResult(msgspec.Struct):
    """One ranked document; `document` is empty when it was not asked for."""

    index: int
    relevance_score: float
    document: Object


class TogetherUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int | None = None
    completion_tokens: int = 0
    total_tokens: int | None = None


class TogetherAnswer(msgspec.Struct):
    """A ranking, best first."""

    object: Literal["rerank"]
    id: str
    model: str
    results: list[TogetherResult]
    usage: TogetherUsage


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadAnswer(msgspec.Struct):
    """Id and usage are optional in Together's schema."""

    model: str
    results: list[_ReadResult]
    usage: TogetherUsage | None = None


_KINDS = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit",
    503: "service_unavailable",
}


def _document(value: str | Object, name: str, rank_fields: tuple[str, ...]) -> Content:
    if isinstance(value, str):
        return Content(value=value)
    return fields.content(value, name, rank_fields or _all_keys(value))


def _all_keys(value: Mapping[str, object]) -> tuple[str, ...]:
    """What an object is ranked by without rank_fields; its image or video, where it has one."""
    return () if {"image", "video"} & value.keys() else tuple(value)


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A Together body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, TogetherBody, fields.HINTS)
    rank_fields = fields.rank_fields_of(body.rank_fields)
    fields.at_least_one(body.documents, "documents")
    fields.at_most(body.documents, options, "documents")
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=tuple(
            _document(value, f"documents[{i}]", rank_fields)
            for i, value in enumerate(body.documents)
        ),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=False),
        rank_fields=rank_fields,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking, with documents as objects."""
    tokens = ranking.input_tokens
    answer = TogetherAnswer(
        object="rerank",
        id=envelope.request_id,
        model=ranking.model,
        results=[
            TogetherResult(
                hit.index,
                hit.score,
                fields.echoed(request.documents[hit.index]) if request.return_documents else {},
            )
            for hit in ranking.hits
        ],
        usage=TogetherUsage(tokens, 0, tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """OpenAI's form; an unknown model is a 404."""
    unknown = isinstance(error, UnknownModel)
    status = 404 if unknown else error.status
    code = "invalid_api_key" if status == 401 else "model_not_available" if unknown else None
    # OpenAI's sentence: with Together's own ("Invalid ...") LiteLLM raises a BadRequestError.
    message = "Incorrect API key provided." if status == 401 else None
    return openai_error(error, status=status, kinds=_KINDS, code=code, message=message)


def encode(request: RerankRequest) -> WireRequest:
    """The request for Together. Raises InvalidRequest for what is not text."""
    calling.texts_of(request, "Together")  # raises for what is not text
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Together"),
            "documents": [_as_sent(found, request.rank_fields) for found in request.documents],
            "top_n": request.top_n,
            "rank_fields": request.rank_fields or None,
            "return_documents": request.return_documents,
        },
    )


def _as_sent(content: Content, rank_fields: tuple[str, ...]) -> object:
    """The caller's object when Together would rank it by the same text, else that text."""
    if content.echo is None:
        return content.value
    read = rank_fields or _all_keys(content.echo)
    same = bool(read) and fields.content(content.echo, "documents", read).value == content.value
    return content.echo if same else content.value


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Together's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens if found.usage else None,
    )


DIALECT = Dialect(
    name="together",
    prefix="together",
    paths=("/v1/rerank", "/rerank"),
    summary="Together AI's rerank API.",
    body=TogetherBody,
    answer=TogetherAnswer,
    errors=dict.fromkeys((400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), OpenAiError),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n", "return_documents", "rank_fields"}),
    implies={"return_documents": False},
    tells=frozenset({"model", "input_tokens"}),
)
