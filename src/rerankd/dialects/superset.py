"""The superset at POST /v1/rerank and /rerank: SiliconFlow's contract, and all that agrees with it.

Fields, ranges, defaults and errors are SiliconFlow's (api.siliconflow.cn/v1, "Create rerank
request", read 2026-11-20). On top: the gateways' `instruct`, long `usage` and echoed
`document.text` (new-api family), Jina's, Cohere v1's and vLLM's field names. First present wins,
null counts as absent, unknown keys are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from rerankd.core.errors import InvalidRequest, RateLimited, RerankError, UnknownModel
from rerankd.core.types import Content, Modality, Ranking, RerankRequest
from rerankd.dialects import base
from rerankd.dialects.base import Dialect, Envelope, Options, WireAnswer
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
    Result,
    Tokens,
    Usage,
    YesNo,
)

HINTS = {
    "query": 'Send a non-empty string, or {"text": …}.',
    "documents": "Send one string, or a list of at least one string or object.",
    "top_n": "Leave it out to rank all documents.",
    "top_k": "Leave it out to rank all documents.",
    "instruction": "Leave it out for the model's own instruction.",
    "max_chunks_per_doc": "Leave it out for the default, 1024; 1 scores only the first chunk.",
    "max_chunk_per_doc": "Leave it out for the default, 1024; 1 scores only the first chunk.",
    "overlap_tokens": "Send 0 to 80, or leave it out.",
    "return_documents": "Send true or false, or leave it out.",
    "truncation": "Send true or false, or leave it out.",
    "raw_scores": "Send true or false, or leave it out.",
    "model": "GET /v1/models lists what is served; leave it out for the default model.",
}

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

_UNKNOWN_MODEL, _BAD_FIELD, _OVERLOADED = 20012, 20015, 50505
_OVERLOADED_MESSAGE = "Model service overloaded. Please try again later."
_ECHO_DEPTH = 64  # levels of a document object
_MODALITIES: tuple[Modality, ...] = ("image", "video", "text")


def parse(raw: bytes, options: Options) -> RerankRequest:
    """A superset body as the canonical request.

    Raises:
        InvalidRequest: the message names the field, the limit and the way out.
    """
    return canonical(base.decode_body(raw, Body, HINTS), options)


def canonical(body: Body, options: Options) -> RerankRequest:
    """The canonical request of a decoded body. Raises InvalidRequest as parse."""
    query = _content(body.query, "query", ())
    if not query.value:
        raise InvalidRequest(
            f"query: at least 1 character is needed. {HINTS['query']}", param="query"
        )
    documents = [body.documents] if isinstance(body.documents, str) else body.documents
    if not documents:
        raise InvalidRequest(
            f"documents: at least 1 document is needed. {HINTS['documents']}", param="documents"
        )
    fields = tuple(body.rank_fields or ())
    defaults = RerankRequest(query=query, documents=())
    return RerankRequest(
        model=body.model,
        query=query,
        documents=tuple(
            _content(document, f"documents[{i}]", fields) for i, document in enumerate(documents)
        ),
        top_n=_first(body.top_n, body.top_k),
        instruction=_first(body.instruction, body.instruct or None),
        return_documents=_echo(body, options),
        max_chunks_per_doc=_first(body.max_chunks_per_doc, body.max_chunk_per_doc)
        or defaults.max_chunks_per_doc,
        overlap_tokens=defaults.overlap_tokens
        if body.overlap_tokens is None
        else body.overlap_tokens,
        max_tokens_per_doc=body.max_tokens_per_doc,
        truncation=_yes(body.truncation, default=True),
        raw_scores=_yes(body.raw_scores, default=False),
        priority=max(body.priority or 0, 0),  # nobody can push ahead of the default
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The answer with every key that a client of any agreeing API reads."""
    return WireAnswer(status=200, body=msgspec.json.encode(answer(request, ranking, envelope)))


def answer(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> Answer:
    """The superset answer as a struct, for dialects that add to it."""
    results = [
        Result(
            index=hit.index,
            relevance_score=hit.score,
            document=_document(request.documents[hit.index])
            if request.return_documents
            else msgspec.UNSET,
            truncated=True if hit.truncated else msgspec.UNSET,
        )
        for hit in ranking.hits
    ]
    tokens, images = ranking.input_tokens, ranking.image_tokens
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
            prompt_tokens_details=PromptTokens(ranking.cached_tokens, tokens - images, 0, images),
            completion_tokens_details=CompletionTokens(),
            input_tokens=tokens,
            output_tokens=0,
            input_tokens_details=None,
        ),
        meta=AnswerMeta(
            tokens=Tokens(tokens, 0, images),
            billed_units=BilledUnits(tokens, 0, images, -(-ranking.documents // 100), 0),
            warnings=list(ranking.warnings) or msgspec.UNSET,
        ),
    )


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """SiliconFlow's error of that status; 401, 403 and 504 are JSON strings, 404 is plain text."""
    headers = _error_headers(error)
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
    code: int | None = _BAD_FIELD
    if isinstance(error, UnknownModel):
        code = _UNKNOWN_MODEL
    elif error.status == 503:
        code, message = _OVERLOADED, _OVERLOADED_MESSAGE
    elif error.status >= 500:
        code = None
    param = error.param if isinstance(error, InvalidRequest) else None
    if isinstance(error, RateLimited):
        more = f" If you want more, please contact {options.contact}." if options.contact else ""
        message = (
            f"Request was rejected due to rate limiting.{more} Details:{error.limit} limit reached."
        )
        nested = ErrorDetail(message, error.kind, param, error.status)
        return RateLimitBody(message, None, nested, message, envelope.request_id)
    nested = ErrorDetail(detail, error.kind, param, code)
    return ErrorBody(code, message, None, nested, detail, envelope.request_id)


def _error_headers(error: RerankError) -> dict[str, str]:
    headers: dict[str, str] = {}
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(retry_after_s + 0.499)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    allow = getattr(error, "allow", None)
    if allow is not None:
        headers["allow"] = allow
    return headers


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _yes(value: YesNo | None, *, default: bool) -> bool:
    if isinstance(value, str):
        return value.lower() == "true"
    return default if value is None else value


def _echo(body: Body, options: Options) -> bool:
    default = options.return_documents
    if default is None:  # decided by the name in the request, before aliases
        default = body.model not in NO_ECHO
    return _yes(body.return_documents, default=default)


def _content(value: str | Mapping[str, Any], name: str, rank_fields: tuple[str, ...]) -> Content:
    """A string or an object as Content; `name` is the field's name for errors."""
    if isinstance(value, str):
        return Content(value=value)
    if _deeper_than(value, _ECHO_DEPTH):
        raise InvalidRequest(f"{name}: nested deeper than {_ECHO_DEPTH}.", param=name)
    if rank_fields:
        return Content(value=_ranked_text(value, name, rank_fields), echo=value)
    for modality in _MODALITIES:
        found = value.get(modality)
        if found is None:
            continue
        if not isinstance(found, str):
            raise InvalidRequest(
                f"{name}.{modality}: expected a string.", param=f"{name}.{modality}"
            )
        return Content(modality=modality, value=found, echo=value)
    raise InvalidRequest(
        f'{name}: an object needs "text", "image" or "video"; or name its keys in rank_fields.',
        param=name,
    )


def _deeper_than(value: object, levels: int) -> bool:
    """Whether JSON nests deeper than what an answer echoes."""
    if not isinstance(value, (dict, list)):
        return False
    inner = cast("dict[str, object] | list[object]", value)
    children = inner.values() if isinstance(inner, dict) else inner
    return levels == 0 or any(_deeper_than(child, levels - 1) for child in children)


def _ranked_text(value: Mapping[str, Any], name: str, rank_fields: tuple[str, ...]) -> str:
    """The named fields as text: one field as it is, several as "name: value" lines."""
    present = [(field, value[field]) for field in rank_fields if value.get(field) is not None]
    if not present:
        raise InvalidRequest(
            f"{name}: has none of the rank_fields {', '.join(rank_fields)}.", param=name
        )
    if len(present) == 1:
        return _as_text(present[0][1])
    return "\n".join(f"{field}: {_as_text(found)}" for field, found in present)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _document(content: Content) -> dict[str, Any]:
    if content.echo is None:
        return {"text": content.value}
    if content.modality == "text" and "text" not in content.echo:
        return {**content.echo, "text": content.value}
    return dict(content.echo)


DIALECT = Dialect(
    name="superset",
    paths=("/v1/rerank", "/rerank"),
    summary="Rank documents by relevance to a query.",
    body=Body,
    answer=Answer,
    errors={
        400: ErrorBody,
        401: Literal["Invalid token"],
        403: Literal["Forbidden"],
        408: ErrorBody,
        413: ErrorBody,
        429: RateLimitBody,
        500: ErrorBody,
        503: ErrorBody,
        504: str,
    },
    parse=parse,
    render=render,
    render_error=render_error,
)
