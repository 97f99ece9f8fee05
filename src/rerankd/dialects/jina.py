"""Jina AI's POST /v1/rerank: v1, v2, ColBERT, v3 and m0 models.

Source: Jina's OpenAPI document, version 2026.04.02 (as kept in tryAGI/Jina 2a3f424); read
2026-11-21. The form of an echoed document is not settled there (string or object); it is an object
here, which every client that we know of reads.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import (
    InvalidRequest,
    QuotaExceeded,
    RateLimited,
    RerankError,
    UnknownModel,
)
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, failures, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.failures import error_headers, param_of
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class JinaBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[
        fields.Said | Object, Meta(description=f'{fields.WHAT_QUERY} {{"text"}}; (m0) {{"image"}}.')
    ]
    documents: Annotated[
        fields.Mixed, Meta(description='At least 1 string, {"text"} or (m0) {"image"}.')
    ]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default true.")
    ] = None
    truncation: Annotated[
        YesNo | None, Meta(description="false: refuse a document of which something would be cut.")
    ] = None
    max_doc_length: Annotated[
        Annotated[int, Meta(ge=1, le=8192)] | None,
        Meta(description="v3: only the first so many tokens of a document count."),
    ] = None
    return_embeddings: Annotated[
        YesNo | None, Meta(description="v3. Not supported: true is refused.")
    ] = None


class JinaResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: Object | UnsetType = UNSET


class JinaUsage(msgspec.Struct):
    """Exact count of the model's own tokenizer."""

    total_tokens: int | None


class JinaAnswer(msgspec.Struct):
    """A ranking, best first."""

    model: str
    object: Literal["list"]
    usage: JinaUsage
    results: list[JinaResult]


class JinaFieldError(msgspec.Struct):
    """One field that is wrong."""

    field: str
    message: str
    type: str


class JinaError(msgspec.Struct):
    """What went wrong; `detail` is what clients show."""

    detail: str
    request_id: str
    code: str | UnsetType = UNSET
    errors: list[JinaFieldError] | UnsetType = UNSET


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadAnswer(msgspec.Struct):
    model: str
    usage: JinaUsage
    results: list[_ReadResult]


_CODES = {
    401: "AUTH_INVALID_API_KEY",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
    504: "SERVICE_TIMEOUT",
}
_NO_MODEL = "INPUT_MODEL_NOT_FOUND"
_NO_BALANCE = "AUTHZ_INSUFFICIENT_BALANCE"


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A Jina body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, JinaBody, fields.HINTS, as_pydantic=True)
    fields.refuse(
        fields.yes(body.return_embeddings, default=False),
        "return_embeddings",
        "a reranker here gives scores, no embeddings. Leave it out.",
    )
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=True),
        truncation=fields.yes(body.truncation, default=True),
        max_tokens_per_doc=body.max_doc_length,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking with documents as objects."""
    answer = JinaAnswer(
        model=ranking.model,
        object="list",
        usage=JinaUsage(ranking.input_tokens),
        results=[
            JinaResult(
                hit.index,
                hit.score,
                fields.echoed(request.documents[hit.index]) if request.return_documents else UNSET,
            )
            for hit in ranking.hits
        ],
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`detail` and Jina's code; a bad field is a 422 that lists it, an unknown model a 400.

    A used-up budget is a 403.
    """
    status, code = error.status, _CODES.get(error.status)
    detail = "Invalid API key." if status == 401 else error.message
    errors: list[JinaFieldError] | UnsetType = UNSET
    if isinstance(error, UnknownModel):
        code = _NO_MODEL
    elif isinstance(error, RateLimited):
        code = f"RATE_{'TOKEN' if error.counts_tokens else 'REQUEST'}_LIMIT_EXCEEDED"
    elif isinstance(error, QuotaExceeded):
        status, code = 403, _NO_BALANCE
    elif isinstance(error, InvalidRequest):
        status = 422
        errors = [JinaFieldError(param_of(error) or "body", detail, error.kind)]
    body = JinaError(detail, envelope.request_id, code or UNSET, errors)
    return WireAnswer(status=status, body=msgspec.json.encode(body), headers=error_headers(error))


def encode(request: RerankRequest) -> WireRequest:
    """The request for Jina. Raises InvalidRequest for a video."""
    for name, content in calling.named(request):
        fields.refuse(content.modality == "video", name, "is video; Jina reads text and images.")
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_sent(request.query),
            "documents": calling.documents_of(request),
            "top_n": request.top_n,
            "return_documents": request.return_documents,
            "truncation": calling.changed(request.truncation, True),
            "max_doc_length": request.max_tokens_per_doc,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Jina's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


def decode_error(answer: WireAnswer) -> RerankError:
    """Jina's errors by status; an unknown model and an empty account by their codes."""
    found, code = failures.error_of(answer), failures.value_of(answer.body, "code")
    if code == _NO_MODEL:
        return UnknownModel(found.message)
    if code == _NO_BALANCE:
        return QuotaExceeded(found.message)
    return found


DIALECT = Dialect(
    name="jina",
    prefix="jina",
    paths=("/v1/rerank", "/rerank"),
    summary="Jina AI's rerank API.",
    body=JinaBody,
    answer=JinaAnswer,
    errors=dict.fromkeys((400, 401, 403, 408, 413, 422, 429, 500, 502, 503, 504), JinaError),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    decode_error=decode_error,
    carries=frozenset({"model", "top_n", "return_documents", "truncation", "max_tokens_per_doc"}),
    tells=frozenset({"model", "input_tokens"}),
)
