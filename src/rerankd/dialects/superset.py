"""The superset at POST /v1/rerank and /rerank: SiliconFlow's contract, and all that agrees with it.

Fields, ranges, defaults and errors are SiliconFlow's (api.siliconflow.cn/v1, "Create rerank
request", read 2026-11-20). On top: the gateways' `instruct`, long `usage` and echoed
`document.text` (new-api family), Jina's, Cohere v1's and vLLM's field names. First present wins,
null counts as absent, unknown keys are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rerankd.core.errors import InvalidRequest, RateLimited, RerankError, UnknownModel
from rerankd.core.types import Content, Modality, Ranking, RerankRequest
from rerankd.dialects import base
from rerankd.dialects.base import Dialect, Envelope, Options, WireAnswer

AtLeastOne = Annotated[int, Meta(ge=1)]
YesNo = bool | Literal["true", "false", "True", "False"]
MediaObject = Annotated[
    dict[str, Any],
    Meta(description='{"text": …}, {"image": …} or {"video": …}; other keys are echoed.'),
]


class Body(msgspec.Struct):
    """A rerank request."""

    query: Annotated[str | MediaObject, Meta(description="What is searched for, at least 1 char.")]
    documents: Annotated[
        str | list[str | MediaObject], Meta(description="One string, or a list of at least 1.")
    ]
    model: Annotated[str | None, Meta(description="Absent: the server's default model.")] = None
    top_n: Annotated[
        AtLeastOne | None, Meta(description="How many results; absent: all documents.")
    ] = None
    top_k: Annotated[AtLeastOne | None, Meta(description="Same as top_n.")] = None
    instruction: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="For models with a place for it, such as Qwen3-Reranker."),
    ] = None
    instruct: Annotated[str | None, Meta(description="Same; an empty string is absent.")] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents; absent: by the model's name.")
    ] = None
    max_chunks_per_doc: Annotated[
        AtLeastOne | None, Meta(description="Chunks of a long document that count, default 1024.")
    ] = None
    max_chunk_per_doc: Annotated[
        AtLeastOne | None, Meta(description="Same as max_chunks_per_doc.")
    ] = None
    overlap_tokens: Annotated[
        Annotated[int, Meta(ge=0, le=80)] | None,
        Meta(description="Tokens that neighbouring chunks share, default 80."),
    ] = None
    rank_fields: Annotated[
        list[str] | None, Meta(description="Which keys of document objects are ranked, in order.")
    ] = None
    max_tokens_per_doc: Annotated[
        AtLeastOne | None, Meta(description="Only the first so many tokens of a document count.")
    ] = None
    truncation: Annotated[
        YesNo | None, Meta(description="false: refuse a document of which something would be cut.")
    ] = None
    raw_scores: Annotated[
        YesNo | None, Meta(description="true: relevance_score is the model's logit.")
    ] = None
    priority: Annotated[
        int | None,
        Meta(description="0 (default) is served first, among requests of the same key."),
    ] = None
    user: Annotated[Any, Meta(description="Accepted and ignored.")] = None


class Result(msgspec.Struct):
    """One ranked document."""

    index: Annotated[int, Meta(ge=0, description="Position in the request's documents.")]
    relevance_score: float
    document: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    truncated: Annotated[
        bool | msgspec.UnsetType, Meta(description="Present and true when something was cut.")
    ] = msgspec.UNSET


class PromptTokens(msgspec.Struct):
    cached_tokens: int
    text_tokens: int
    audio_tokens: int
    image_tokens: int


class CompletionTokens(msgspec.Struct):
    text_tokens: int = 0
    audio_tokens: int = 0
    reasoning_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(msgspec.Struct):
    """Exact counts of the model's own tokenizer, in every spelling that clients read."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens
    completion_tokens_details: CompletionTokens
    input_tokens: int
    output_tokens: int
    input_tokens_details: None


class Tokens(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    image_tokens: int


class BilledUnits(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    image_tokens: int
    search_units: int
    classifications: int


class AnswerMeta(msgspec.Struct):
    tokens: Tokens
    billed_units: BilledUnits
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    object: Literal["rerank"]
    created: int
    model: Annotated[str, Meta(description="Who answered, never an alias.")]
    results: list[Result]
    usage: Usage
    meta: AnswerMeta


class ErrorDetail(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: int | None


class ErrorBody(msgspec.Struct):
    """SiliconFlow's keys, and the keys that other clients read."""

    code: int | None
    message: str
    data: None
    error: ErrorDetail
    detail: str
    request_id: str


class RateLimitBody(msgspec.Struct):
    """As ErrorBody, without `code`."""

    message: str
    data: None
    error: ErrorDetail
    detail: str
    request_id: str


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


def _yes(value: bool | str | None, *, default: bool) -> bool:
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
