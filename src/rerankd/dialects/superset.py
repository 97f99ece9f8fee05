"""The superset at POST /v1/rerank and /rerank: SiliconFlow's contract, and all that agrees with it.

Fields, ranges, defaults and errors are SiliconFlow's (api.siliconflow.cn/v1, "Create rerank
request", read 2026-11-20). On top: the gateways' `instruct`, long `usage` and echoed
`document.text` (new-api family), Jina's, Cohere v1's and vLLM's field names. First present wins,
null counts as absent, unknown keys are ignored.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rerankd.core.answer import Ranking, RouteFacts
from rerankd.core.errors import (
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RerankError,
    UnknownModel,
)
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, failures, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.failures import error_headers, param_of
from rerankd.dialects.superset_schema import (
    Answer,
    AnswerMeta,
    BilledUnits,
    Body,
    CompletionTokens,
    ErrorBody,
    ErrorDetail,
    PromptTokens,
    RateLimitBody,
    ReadAnswer,
    ReadMeta,
    ReadTokens,
    Result,
    RouteMeta,
    Tokens,
    Usage,
)
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

EVERYTHING = frozenset(
    {
        "model",
        "top_n",
        "instruction",
        "return_documents",
        "max_chunks_per_doc",
        "overlap_tokens",
        "max_tokens_per_doc",
        "truncation",
        "truncate_query",
        "max_tokens_per_query",
        "raw_scores",
        "priority",
        "rank_fields",
    }
)

# Names whose published API leaves documents out unless asked; every other API echoes them.
NO_ECHO = frozenset(
    {
        "BAAI/bge-reranker-v2-m3",
        "Pro/BAAI/bge-reranker-v2-m3",
        "netease-youdao/bce-reranker-base_v1",
        "Qwen/Qwen3-Reranker-0.6B",
        "Qwen/Qwen3-Reranker-4B",
        "Qwen/Qwen3-Reranker-8B",
        "Qwen/Qwen3-VL-Reranker-2B",
        "Qwen/Qwen3-VL-Reranker-8B",
    }
)

UNKNOWN_MODEL, BAD_FIELD, NO_BALANCE, OVERLOADED = 20012, 20015, 30001, 50505
CHUNKS, OVERLAP = 1024, 80  # SiliconFlow's defaults
_OVERLOADED_MESSAGE = "Model service overloaded. Please try again later."


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A superset body as the canonical request.

    Raises:
        InvalidRequest: the message names the field, the limit and the way out.
    """
    return canonical(fields.decode_body(wire.body, Body, fields.HINTS, reads_digits=True), options)


def canonical(body: Body, options: Options) -> RerankRequest:
    """The canonical request of a decoded body. Raises InvalidRequest as parse."""
    rank_fields = fields.rank_fields_of(body.rank_fields)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options, rank_fields=rank_fields),
        top_n=fields.first(body.top_n, body.top_k),
        instruction=fields.first(body.instruction, body.instruct or None),
        return_documents=fields.echo(
            body.return_documents, options, default=body.model not in NO_ECHO
        ),
        max_chunks_per_doc=fields.first(body.max_chunks_per_doc, body.max_chunk_per_doc) or CHUNKS,
        overlap_tokens=OVERLAP if body.overlap_tokens is None else body.overlap_tokens,
        max_tokens_per_doc=body.max_tokens_per_doc,
        truncation=fields.yes(body.truncation, default=True),
        truncate_query=fields.yes(body.truncate_query, default=False),
        max_tokens_per_query=body.max_tokens_per_query or None,
        raw_scores=fields.yes(body.raw_scores, default=False),
        priority=max(body.priority or 0, 0),  # nobody can push ahead of the default
        rank_fields=rank_fields,
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for another server that reads the superset, such as rerankd itself."""
    return calling.post("/v1/rerank", encoded(request))


def encoded(request: RerankRequest) -> dict[str, Any]:
    """All canonical fields under the superset's names; None where there is nothing to say."""
    return {
        "model": request.model,
        "query": calling.as_sent(request.query),
        "documents": calling.documents_of(request, ranked=True),
        "top_n": request.top_n,
        "instruction": request.instruction or None,
        "return_documents": request.return_documents,
        "max_chunks_per_doc": calling.changed(request.max_chunks_per_doc, CHUNKS),
        "overlap_tokens": calling.changed(request.overlap_tokens, OVERLAP),
        "rank_fields": request.rank_fields or None,
        "max_tokens_per_doc": request.max_tokens_per_doc,
        "truncation": calling.changed(request.truncation, True),
        "truncate_query": calling.changed(request.truncate_query, False),
        "max_tokens_per_query": request.max_tokens_per_query,
        "raw_scores": calling.changed(request.raw_scores, False),
        "priority": calling.changed(request.priority, 0),
    }


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The answer with every key that a client of any agreeing API reads."""
    return WireAnswer(status=200, body=msgspec.json.encode(answer(request, ranking, envelope)))


def answer(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> Answer:
    """The superset answer as a struct, for dialects that add to it."""
    results = [
        Result(
            index=hit.index,
            relevance_score=hit.score,
            document=fields.echoed(request.documents[hit.index])
            if request.return_documents
            else msgspec.UNSET,
            truncated=True if hit.truncated else msgspec.UNSET,
            stage=hit.stage or msgspec.UNSET,
        )
        for hit in ranking.hits
    ]
    tokens, images = ranking.input_tokens, ranking.image_tokens
    texts = None if tokens is None else tokens - images
    return Answer(
        id=envelope.request_id,
        object="rerank",
        created=envelope.created,
        model=ranking.model,
        results=results,
        usage=Usage(
            prompt_tokens=tokens,
            completion_tokens=0,
            total_tokens=tokens,
            prompt_tokens_details=PromptTokens(ranking.cached_tokens, texts, 0, images),
            completion_tokens_details=CompletionTokens(),
            input_tokens=tokens,
            output_tokens=0,
            input_tokens_details=None,
        ),
        meta=AnswerMeta(
            tokens=Tokens(tokens, 0, images),
            billed_units=BilledUnits(tokens, 0, images, -(-ranking.documents // 100), 0),
            warnings=list(ranking.warnings) or msgspec.UNSET,
            listwise=ranking.is_listwise or msgspec.UNSET,
            route=_route(ranking.route),
        ),
    )


def _route(facts: RouteFacts | None) -> RouteMeta | msgspec.UnsetType:
    if facts is None:
        return msgspec.UNSET
    return RouteMeta(
        route=facts.route,
        model=facts.model,
        upstream=facts.upstream or None,
        space=facts.space,
        attempts=facts.attempts,
        degraded=facts.degraded or None,
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """A superset answer as a ranking; SiliconFlow's and the gateways' have no more than it."""
    found = msgspec.json.decode(answer.body, type=ReadAnswer)
    meta = found.meta or ReadMeta()
    tokens = meta.tokens or meta.billed_units or ReadTokens()
    usage, told = found.usage, tokens.input_tokens
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        truncated=frozenset(r.index for r in found.results if r.truncated),
        input_tokens=told or (usage.total_tokens if usage else told),
        image_tokens=tokens.image_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens
        if usage and usage.prompt_tokens_details
        else 0,
        warnings=tuple(meta.warnings or ()),
        is_listwise=bool(meta.listwise),
    )


def decode_error(answer: WireAnswer) -> RerankError:
    """SiliconFlow's errors by their codes, else by status."""
    found = failures.error_of(answer)
    code = failures.value_of(answer.body, "code")
    if type(found) is InvalidRequest and code == UNKNOWN_MODEL:
        return UnknownModel(found.message)
    if code == NO_BALANCE:
        return QuotaExceeded(found.message)
    return found


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """SiliconFlow's error of that status; 401, 403 and 504 are JSON strings, 404 is plain text."""
    headers = error_headers(error)
    if error.status == 404:
        return WireAnswer(
            status=404, body=b"404 page not found", content_type="text/plain", headers=headers
        )
    body: object
    if error.status == 401:
        body = "Invalid token"
    elif error.status == 403:
        body = "Forbidden"
    elif error.status == 504:
        body = error.message
    else:
        body = _error_object(error, envelope, options)
    return WireAnswer(status=error.status, body=msgspec.json.encode(body), headers=headers)


def _error_object(
    error: RerankError, envelope: Envelope, options: Options
) -> ErrorBody | RateLimitBody:
    message, detail = error.message, error.message
    code: int | None = BAD_FIELD
    if isinstance(error, UnknownModel):
        code = UNKNOWN_MODEL
    elif isinstance(error, QuotaExceeded):
        code = NO_BALANCE
    elif isinstance(error, Overloaded):
        code, message = OVERLOADED, _OVERLOADED_MESSAGE
    elif error.status >= 500:
        code = None
    param = param_of(error)
    if isinstance(error, RateLimited):
        more = f" If you want more, please contact {options.contact}." if options.contact else ""
        why = error.message if error.limit == "budget" else f"{error.limit} limit reached."
        message = f"Request was rejected due to rate limiting.{more} Details:{why}"
        nested = ErrorDetail(message, error.kind, param, error.status)
        return RateLimitBody(message, None, nested, message, envelope.request_id)
    nested = ErrorDetail(detail, error.kind, param, code)
    return ErrorBody(code, message, None, nested, detail, envelope.request_id)


DIALECT = Dialect(
    name="superset",
    prefix=None,
    paths=("/v1/rerank", "/rerank"),
    summary="Rank documents by relevance to a query.",
    body=Body,
    answer=Answer,
    errors={
        400: ErrorBody,
        401: Literal["Invalid token"],
        402: ErrorBody,
        403: Literal["Forbidden"],
        408: ErrorBody,
        413: ErrorBody,
        429: RateLimitBody,
        500: ErrorBody,
        502: ErrorBody,
        503: ErrorBody,
        504: str,
    },
    parse=parse,
    render=render,
    render_error=render_error,
    key_headers=("authorization", "x-api-key", "api-key"),
    encode=encode,
    decode=decode,
    decode_error=decode_error,
    carries=EVERYTHING,
    tells=frozenset(
        {"model", "input_tokens", "cached_tokens", "image_tokens", "truncated", "warnings"}
    ),
)
