"""SiliconFlow's POST /v1/rerank, exact, under /siliconflow; the superset at the root is wider.

Source: api.siliconflow.cn/v1, "Create rerank request", read 2026-11-20. Status codes of its error
bodies from its API reference of /embeddings.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import QuotaExceeded, RateLimited, RerankError
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, fields, superset
from rerankd.dialects.base import Dialect
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.superset_schema import AnswerMeta
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class SiliconFlowBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said | Object, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[
        str | fields.Mixed,
        Meta(
            description="One string, or a list of at least 1; "
            '{"text"}, {"image"} and {"video"} objects too.'
        ),
    ]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    instruction: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="For models with a place for it, such as Qwen3-Reranker."),
    ] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None
    max_chunks_per_doc: Annotated[
        AtLeastOne | None, Meta(description="Chunks of a long document that count, default 1024.")
    ] = None
    overlap_tokens: Annotated[
        Annotated[int, Meta(ge=0, le=80)] | None,
        Meta(description="Tokens that neighbouring chunks share, default 80."),
    ] = None


class SiliconFlowResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: Object | UnsetType = UNSET


class SiliconFlowAnswer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    results: list[SiliconFlowResult]
    meta: AnswerMeta


class SiliconFlowError(msgspec.Struct):
    """Its error object; `data` is null."""

    code: int | None
    message: str
    data: None = None


class SiliconFlowRateLimit(msgspec.Struct):
    """Its 429, the only object without a code."""

    message: str
    data: None = None


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A SiliconFlow body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, SiliconFlowBody, fields.HINTS)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        instruction=body.instruction,
        return_documents=fields.echo(body.return_documents, options, default=False),
        max_chunks_per_doc=body.max_chunks_per_doc or superset.CHUNKS,
        overlap_tokens=superset.OVERLAP if body.overlap_tokens is None else body.overlap_tokens,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The superset's id, results and meta."""
    whole = superset.answer(request, ranking, envelope)
    answer = SiliconFlowAnswer(
        id=whole.id,
        results=[SiliconFlowResult(r.index, r.relevance_score, r.document) for r in whole.results],
        meta=msgspec.structs.replace(whole.meta, route=UNSET),  # the headers say it
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """The superset's error, the object cut to SiliconFlow's own keys.

    A used-up budget is a 403.
    """
    whole = superset.render_error(error, envelope, options)
    if error.status in (401, 403, 404, 504):
        return whole
    kind = SiliconFlowRateLimit if isinstance(error, RateLimited) else SiliconFlowError
    body: Any = msgspec.json.decode(whole.body, type=kind)
    return WireAnswer(
        status=403 if isinstance(error, QuotaExceeded) else whole.status,
        body=msgspec.json.encode(body),
        headers=dict(whole.headers),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for SiliconFlow."""
    said = superset.encoded(request) | {"documents": calling.documents_of(request)}
    return calling.post("/v1/rerank", {name: said[name] for name in _FIELDS})


_FIELDS = msgspec.structs.asdict(SiliconFlowBody(query="", documents=[])).keys()

DIALECT = Dialect(
    name="siliconflow",
    prefix="siliconflow",
    paths=("/v1/rerank", "/rerank"),
    summary="SiliconFlow's rerank API.",
    body=SiliconFlowBody,
    answer=SiliconFlowAnswer,
    errors={
        400: SiliconFlowError,
        401: Literal["Invalid token"],
        403: Literal["Forbidden"] | SiliconFlowError,
        408: SiliconFlowError,
        413: SiliconFlowError,
        429: SiliconFlowRateLimit,
        500: SiliconFlowError,
        502: SiliconFlowError,
        503: SiliconFlowError,
        504: str,
    },
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=superset.decode,
    decode_error=superset.decode_error,
    carries=frozenset(_FIELDS) - {"query", "documents"},
    tells=frozenset({"input_tokens", "image_tokens", "warnings"}),
)
