"""LiteLLM's proxy: Cohere's request with all of its options, documents echoed as objects.

Source: LiteLLM 1.109.1 (proxy/rerank_endpoints, types/rerank.py); read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import QuotaExceeded, RerankError
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, failures, fields
from rerankd.dialects import vllm_cuts as cuts
from rerankd.dialects.base import Dialect
from rerankd.dialects.fields import AtLeastOne, NotNegative, Object, YesNo
from rerankd.dialects.openai_errors import OpenAiError, openai_error
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

_CHUNKS = RerankRequest.__dataclass_fields__["max_chunks_per_doc"].default


class LiteLlmBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[fields.Mixed, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    rank_fields: Annotated[
        list[str] | None, Meta(description='Keys of document objects to rank by; absent: "text".')
    ] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default true.")
    ] = None
    max_chunks_per_doc: Annotated[
        AtLeastOne | None, Meta(description="How many chunks of a document count.")
    ] = None
    max_tokens_per_doc: Annotated[
        AtLeastOne | None, Meta(description="Tokens of a document that count.")
    ] = None
    instruction: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="For the models that take one."),
    ] = None
    max_tokens_per_query: Annotated[
        NotNegative | None, Meta(description="Tokens of the query that count; 0: all.")
    ] = None
    truncate_prompt_tokens: Annotated[
        Annotated[int, Meta(ge=-1)] | None,
        Meta(description="Only -1: a query that is too long is cut, too; documents into chunks."),
    ] = None
    truncation_side: Annotated[Literal["left", "right"] | None, Meta(description="Only right.")] = (
        None
    )


class LiteLlmResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: Object | UnsetType = UNSET


class LiteLlmUnits(msgspec.Struct):
    """One unit for each 100 documents begun."""

    search_units: int
    total_tokens: int | None


class LiteLlmTokens(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    input_tokens: int | None = None
    output_tokens: int = 0


class LiteLlmMeta(msgspec.Struct):
    """Units and tokens."""

    billed_units: LiteLlmUnits
    tokens: LiteLlmTokens


class LiteLlmAnswer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    results: list[LiteLlmResult]
    meta: LiteLlmMeta


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadUnits(msgspec.Struct):
    total_tokens: int | None = None


class _ReadMeta(msgspec.Struct):
    tokens: LiteLlmTokens | None = None
    billed_units: _ReadUnits | None = None


class _ReadAnswer(msgspec.Struct):
    results: list[_ReadResult]
    meta: _ReadMeta | None = None


_NO_BALANCE = "budget_exceeded"
_KINDS = {
    400: "invalid_request_error",
    401: "auth_error",
    403: "auth_error",
    413: "invalid_request_error",
    422: _NO_BALANCE,
    429: "throttling_error",
    500: "internal_server_error",
}


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A LiteLLM body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, LiteLlmBody, fields.HINTS, as_pydantic=True)
    cuts.refuse(body)
    rank_fields = fields.rank_fields_of(body.rank_fields)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options, rank_fields=rank_fields),
        top_n=body.top_n,
        instruction=body.instruction,
        return_documents=fields.echo(body.return_documents, options, default=True),
        max_chunks_per_doc=body.max_chunks_per_doc or _CHUNKS,
        max_tokens_per_doc=body.max_tokens_per_doc,
        max_tokens_per_query=body.max_tokens_per_query or None,
        truncate_query=cuts.cuts_query(body),
        rank_fields=rank_fields,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking, with documents as objects."""
    answer = LiteLlmAnswer(
        id=envelope.uuid,
        results=[
            LiteLlmResult(
                hit.index,
                hit.score,
                fields.echoed(request.documents[hit.index]) if request.return_documents else UNSET,
            )
            for hit in ranking.hits
        ],
        meta=LiteLlmMeta(
            billed_units=LiteLlmUnits(-(-ranking.documents // 100), ranking.input_tokens),
            tokens=LiteLlmTokens(ranking.input_tokens, 0),
        ),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """OpenAI's form; the code is the status as a string. A used-up budget is a 422."""
    status = 422 if isinstance(error, QuotaExceeded) else error.status
    return openai_error(error, status=status, kinds=_KINDS, code=str(status))


def encode(request: RerankRequest) -> WireRequest:
    """The request for a LiteLLM proxy. Raises InvalidRequest for what is not text."""
    calling.texts_of(request, "LiteLLM")  # raises for what is not text
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "LiteLLM"),
            "documents": calling.documents_of(request, ranked=True),
            "top_n": request.top_n,
            "rank_fields": request.rank_fields or None,
            "return_documents": request.return_documents,
            "max_chunks_per_doc": calling.changed(request.max_chunks_per_doc, _CHUNKS),
            "max_tokens_per_doc": request.max_tokens_per_doc,
            "max_tokens_per_query": request.max_tokens_per_query,
            "truncate_prompt_tokens": cuts.cut_to_window(request),
            "instruction": request.instruction,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """LiteLLM's answer as a ranking; it names no model.

    Tokens are where the provider behind it has them: Jina's are under `billed_units`.
    """
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    meta = found.meta or _ReadMeta()
    tokens = meta.tokens.input_tokens if meta.tokens else None
    if tokens is None and meta.billed_units is not None:
        tokens = meta.billed_units.total_tokens
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        input_tokens=tokens,
    )


def decode_error(answer: WireAnswer) -> RerankError:
    """LiteLLM's errors by status; a used-up budget by its type."""
    found, error = failures.error_of(answer), failures.value_of(answer.body, "error")
    if isinstance(error, dict) and cast("dict[str, Any]", error).get("type") == _NO_BALANCE:
        return QuotaExceeded(found.message)
    return found


DIALECT = Dialect(
    name="litellm",
    prefix="litellm",
    paths=("/v1/rerank", "/v2/rerank", "/rerank"),
    summary="LiteLLM's proxy.",
    body=LiteLlmBody,
    answer=LiteLlmAnswer,
    errors=dict.fromkeys((400, 401, 403, 408, 413, 422, 429, 500, 502, 503, 504), OpenAiError),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    decode_error=decode_error,
    carries=frozenset(
        {
            "model",
            "top_n",
            "instruction",
            "return_documents",
            "max_chunks_per_doc",
            "max_tokens_per_doc",
            "max_tokens_per_query",
            "truncate_query",
            "rank_fields",
        }
    ),
    implies={"return_documents": True},
    tells=frozenset({"input_tokens"}),
)
