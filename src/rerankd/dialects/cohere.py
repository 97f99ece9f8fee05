"""Cohere's POST /v2/rerank and /v1/rerank.

v2 reads strings and never echoes them; v1 reads objects with `rank_fields` and echoes on request.
Both count in search units (100 documents) under `meta`. Source: Cohere's OpenAPI document
(cohere-developer-experience e814c8a) with its errors page, package cohere 7.3.1; read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import RerankError, UnknownModel
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

_CHUNKS = 10  # v1's default max_chunks_per_doc
_TOKENS = 4096  # v2's default max_tokens_per_doc


class CohereV2Body(msgspec.Struct):
    """A v2 rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[
        fields.Mixed,
        Meta(description='At least 1 string; {"text": …} is taken too, as vLLM does at this path.'),
    ]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    max_tokens_per_doc: Annotated[
        AtLeastOne | None,
        Meta(description="Only the first so many tokens of a document count, default 4096."),
    ] = None
    priority: Annotated[
        Annotated[int, Meta(ge=0, le=999)] | None,
        Meta(description="0 (default) is served first, among requests of the same key."),
    ] = None
    relevant_spans: Annotated[
        Object | None, Meta(description="Not supported: a request that has it is a 400.")
    ] = None


class CohereV1Body(msgspec.Struct):
    """A v1 rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[fields.Mixed, Meta(description="At least 1 string or object with text.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    rank_fields: Annotated[
        list[str] | None, Meta(description="Which keys of document objects are ranked, in order.")
    ] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None
    max_chunks_per_doc: Annotated[
        AtLeastOne | None, Meta(description="Chunks of a long document that count, default 10.")
    ] = None


class CohereResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: Object | UnsetType = UNSET


class CohereVersion(msgspec.Struct):
    """Which API answered."""

    version: str
    is_experimental: bool = False


class CohereUnits(msgspec.Struct):
    """What a request costs: one search unit is up to 100 documents."""

    search_units: int


class CohereTokens(msgspec.Struct):
    """Exact count of the model's own tokenizer."""

    input_tokens: int | None
    output_tokens: int = 0


class CohereMeta(msgspec.Struct):
    """Version, units, tokens, and what the caller should know of this answer."""

    api_version: CohereVersion
    billed_units: CohereUnits
    tokens: CohereTokens
    cached_tokens: int
    warnings: list[str] | UnsetType = UNSET


class CohereAnswer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    results: list[CohereResult]
    meta: CohereMeta


class CohereError(msgspec.Struct):
    """What went wrong."""

    message: str
    id: str


class _ReadTokens(msgspec.Struct):
    input_tokens: float | None = None


class _ReadMeta(msgspec.Struct):
    tokens: _ReadTokens | None = None
    cached_tokens: float | None = None
    warnings: list[str] | None = None


class _ReadAnswer(msgspec.Struct):
    """All but the results is optional in Cohere's schema; numbers may be floats."""

    results: list[CohereResult]
    meta: _ReadMeta | None = None


def parse_v2(wire: WireRequest, options: Options) -> RerankRequest:
    """A v2 body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, CohereV2Body, fields.HINTS)
    fields.refuse(body.relevant_spans, "relevant_spans", "not supported here; leave it out.")
    documents = fields.documents_of(body.documents, options)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=tuple(Content(modality=d.modality, value=d.value) for d in documents),
        top_n=body.top_n,
        return_documents=False,
        max_tokens_per_doc=body.max_tokens_per_doc or _TOKENS,
        priority=body.priority or 0,
    )


def parse_v1(wire: WireRequest, options: Options) -> RerankRequest:
    """A v1 body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, CohereV1Body, fields.HINTS)
    rank_fields = fields.rank_fields_of(body.rank_fields)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options, rank_fields=rank_fields),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=False),
        max_chunks_per_doc=body.max_chunks_per_doc or _CHUNKS,
        rank_fields=rank_fields,
    )


def render_v2(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking, without documents."""
    return _render("2", request, ranking, envelope)


def render_v1(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking, with documents where they were asked for."""
    return _render("1", request, ranking, envelope)


def _render(
    version: str, request: RerankRequest, ranking: Ranking, envelope: Envelope
) -> WireAnswer:
    answer = CohereAnswer(
        id=envelope.uuid,
        results=[
            CohereResult(
                hit.index,
                hit.score,
                fields.echoed(request.documents[hit.index]) if request.return_documents else UNSET,
            )
            for hit in ranking.hits
        ],
        meta=CohereMeta(
            api_version=CohereVersion(version),
            billed_units=CohereUnits(-(-ranking.documents // 100)),
            tokens=CohereTokens(ranking.input_tokens),
            cached_tokens=ranking.cached_tokens,
            warnings=list(ranking.warnings) or UNSET,
        ),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`message`, with the status that the SDK's error classes follow: 404 for an unknown model."""
    message = "invalid api token" if error.status == 401 else error.message
    return WireAnswer(
        status=404 if isinstance(error, UnknownModel) else error.status,
        body=msgspec.json.encode(CohereError(message, envelope.uuid)),
        headers=error_headers(error),
    )


def encode_v2(request: RerankRequest) -> WireRequest:
    """The v2 request. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/v2/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Cohere"),
            "documents": calling.texts_of(request, "Cohere"),
            "top_n": request.top_n,
            "max_tokens_per_doc": request.max_tokens_per_doc,
            "priority": calling.changed(request.priority, 0),
        },
    )


def encode_v1(request: RerankRequest) -> WireRequest:
    """The v1 request. Raises InvalidRequest for what is not text."""
    calling.texts_of(request, "Cohere")  # raises for what is not text
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Cohere"),
            "documents": calling.documents_of(request, ranked=True),
            "top_n": request.top_n,
            "rank_fields": request.rank_fields or None,
            "return_documents": request.return_documents,
            "max_chunks_per_doc": request.max_chunks_per_doc,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Cohere's answer as a ranking; it names no model."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    meta = found.meta or _ReadMeta()
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        input_tokens=_whole(meta.tokens.input_tokens) if meta.tokens else None,
        cached_tokens=int(meta.cached_tokens or 0),
        warnings=tuple(meta.warnings or ()),
    )


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)


_ERRORS: dict[int, Any] = dict.fromkeys(
    (400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), CohereError
)
_TELLS = frozenset({"input_tokens", "cached_tokens", "warnings"})

V2 = Dialect(
    name="cohere-v2",
    prefix="cohere",
    paths=("/v2/rerank", "/rerank"),
    root=("/v2/rerank",),
    summary="Cohere's rerank API, version 2.",
    body=CohereV2Body,
    answer=CohereAnswer,
    errors=_ERRORS,
    parse=parse_v2,
    render=render_v2,
    render_error=render_error,
    encode=encode_v2,
    decode=decode,
    carries=frozenset({"model", "top_n", "max_tokens_per_doc", "priority"}),
    implies={"return_documents": False, "max_tokens_per_doc": _TOKENS},
    tells=_TELLS,
    assumes={"max_tokens_per_doc": _TOKENS},
)

V1 = Dialect(
    name="cohere-v1",
    prefix="cohere",
    paths=("/v1/rerank",),
    summary="Cohere's rerank API, version 1.",
    body=CohereV1Body,
    answer=CohereAnswer,
    errors=_ERRORS,
    parse=parse_v1,
    render=render_v1,
    render_error=render_error,
    encode=encode_v1,
    decode=decode,
    carries=frozenset({"model", "top_n", "return_documents", "max_chunks_per_doc", "rank_fields"}),
    tells=_TELLS,
    assumes={"max_chunks_per_doc": _CHUNKS},
)

DIALECTS = (V2, V1)
