"""Voyage AI's POST /v1/rerank: `top_k`, a list under `data`, documents as strings.

Also MongoDB Atlas's rerank API. Source: docs.voyageai.com/reference/reranker-api and
/docs/error-codes, package voyageai 0.5.0; read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import RerankError
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect, Mark
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class VoyageBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[fields.Texts, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_k: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None
    truncation: Annotated[
        YesNo | None,
        Meta(
            description="false: refuse a document of which something would be cut. true: cut a "
            "query that is too long, too; absent: refuse that query."
        ),
    ] = None


class VoyageResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: str | UnsetType = UNSET


class VoyageUsage(msgspec.Struct):
    """Exact count of the model's own tokenizer."""

    total_tokens: int | None = None


class VoyageAnswer(msgspec.Struct):
    """A ranking, best first."""

    object: Literal["list"]
    data: list[VoyageResult]
    model: str
    usage: VoyageUsage


class VoyageError(msgspec.Struct):
    """What went wrong."""

    detail: str


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A Voyage body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, VoyageBody, fields.HINTS)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_k,
        return_documents=fields.echo(body.return_documents, options, default=False),
        truncation=fields.yes(body.truncation, default=True),
        truncate_query=fields.yes(body.truncation, default=False),
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking under `data`."""
    answer = VoyageAnswer(
        object="list",
        data=[
            VoyageResult(
                hit.index,
                hit.score,
                request.documents[hit.index].value if request.return_documents else UNSET,
            )
            for hit in ranking.hits
        ],
        model=ranking.model,
        usage=VoyageUsage(ranking.input_tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`detail`, which the SDK shows, with the status that its error classes follow."""
    return WireAnswer(
        status=error.status,
        body=msgspec.json.encode(VoyageError(error.message)),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for Voyage. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Voyage"),
            "documents": calling.texts_of(request, "Voyage"),
            "top_k": request.top_n,
            "return_documents": request.return_documents,
            "truncation": calling.cut(request),
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Voyage's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=VoyageAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.data),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


_ROOT = ("/v1/rerank",)

DIALECT = Dialect(
    name="voyage",
    prefix="voyage",
    paths=("/v1/rerank", "/rerank"),
    marks=(
        Mark(paths=_ROOT, keys=frozenset({"top_k"}), absent=frozenset({"top_n"})),
        Mark(paths=_ROOT, keys=frozenset({"truncation"}), absent=frozenset({"top_n", "top_k"})),
    ),
    summary="Voyage AI's rerank API.",
    body=VoyageBody,
    answer=VoyageAnswer,
    errors=dict.fromkeys((400, 401, 402, 403, 408, 413, 429, 500, 502, 503, 504), VoyageError),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n", "return_documents", "truncation", "truncate_query"}),
    unsaid=calling.uncut,
    tells=frozenset({"model", "input_tokens"}),
)
