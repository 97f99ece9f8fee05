"""ZeroEntropy's POST /v1/models/rerank: scores, bytes and times.

Source: package zeroentropy 0.1.0a11 (types/model_rerank_params.py, model_rerank_response.py) and
its OpenAPI document, whose 404 and 422 are FastAPI's; read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import RerankError, UnknownModel
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.fastapi_errors import FastApiError, FastApiFieldErrors, fastapi_error
from rerankd.dialects.fields import AtLeastOne
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class ZeroEntropyBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[fields.Texts, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    latency: Annotated[
        Literal["fast", "slow"] | None, Meta(description="Read; every request here is fast.")
    ] = None


class ZeroEntropyResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float


class ZeroEntropyAnswer(msgspec.Struct):
    """A ranking, best first. Times are seconds."""

    results: list[ZeroEntropyResult]
    actual_latency_mode: Literal["fast", "slow"]
    e2e_latency: float
    inference_latency: float
    total_bytes: int
    total_tokens: int | None


class _ReadAnswer(msgspec.Struct):
    results: list[ZeroEntropyResult]
    total_tokens: int | None = None


_HINTS = fields.HINTS | {"latency": "Send fast or slow, or leave it out."}


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A ZeroEntropy body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, ZeroEntropyBody, _HINTS, as_pydantic=True)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        return_documents=False,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking with bytes and times."""
    contents = (request.query, *request.documents)
    answer = ZeroEntropyAnswer(
        results=[ZeroEntropyResult(hit.index, hit.score) for hit in ranking.hits],
        actual_latency_mode="fast",
        e2e_latency=envelope.total_s,
        inference_latency=envelope.cost.engine_s,
        total_bytes=sum(len(content.value.encode()) for content in contents),
        total_tokens=ranking.input_tokens,
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """FastAPI's; an unknown model is a 404."""
    return fastapi_error(error, status=404 if isinstance(error, UnknownModel) else error.status)


def encode(request: RerankRequest) -> WireRequest:
    """The request for ZeroEntropy. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/v1/models/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "ZeroEntropy"),
            "documents": calling.texts_of(request, "ZeroEntropy"),
            "top_n": request.top_n,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """ZeroEntropy's answer as a ranking; it names no model."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        input_tokens=found.total_tokens,
    )


DIALECT = Dialect(
    name="zeroentropy",
    prefix="zeroentropy",
    paths=("/v1/models/rerank", "/models/rerank", "/v1/rerank", "/rerank"),
    root=("/v1/models/rerank",),
    summary="ZeroEntropy's rerank API.",
    body=ZeroEntropyBody,
    answer=ZeroEntropyAnswer,
    errors={
        **dict.fromkeys((401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), FastApiError),
        422: FastApiFieldErrors,
    },
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n"}),
    implies={"return_documents": False},
    tells=frozenset({"input_tokens"}),
)
