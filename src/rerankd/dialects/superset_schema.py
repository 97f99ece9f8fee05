"""The superset's bodies on the wire: request, answer, errors. What they mean: dialects.superset."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rerankd.dialects.fields import AtLeastOne, NotNegative, Said, YesNo

MediaObject = Annotated[
    dict[str, Any],
    Meta(description='{"text": …}, {"image": …} or {"video": …}; other keys are echoed.'),
]


class Body(msgspec.Struct):
    """A rerank request."""

    query: Annotated[Said | MediaObject, Meta(description="What is searched for, at least 1 char.")]
    documents: Annotated[
        str | Annotated[list[str | MediaObject], Meta(extra_json_schema={"minItems": 1})],
        Meta(description="One string, or a list of at least 1."),
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
    truncate_query: Annotated[
        YesNo | None,
        Meta(description="true: cut a query that is too long for the model, and say so."),
    ] = None
    max_tokens_per_query: Annotated[
        NotNegative | None,
        Meta(description="Only the first so many tokens of the query count; 0: all."),
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
    stage: Annotated[
        str | msgspec.UnsetType,
        Meta(
            description="Present when only a first stage scored it: relevance_score is that one's, "
            "at most the lowest of the model."
        ),
    ] = msgspec.UNSET


class PromptTokens(msgspec.Struct):
    """Where the prompt tokens come from."""

    cached_tokens: int
    text_tokens: int | None
    audio_tokens: int
    image_tokens: int


class CompletionTokens(msgspec.Struct):
    """A reranker generates nothing: all zero."""

    text_tokens: int = 0
    audio_tokens: int = 0
    reasoning_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(msgspec.Struct):
    """Exact counts of the model's own tokenizer, in every spelling that clients read."""

    prompt_tokens: int | None
    completion_tokens: int
    total_tokens: int | None
    prompt_tokens_details: PromptTokens
    completion_tokens_details: CompletionTokens
    input_tokens: int | None
    output_tokens: int
    input_tokens_details: None


class Tokens(msgspec.Struct):
    """SiliconFlow's token counts."""

    input_tokens: int | None
    output_tokens: int
    image_tokens: int


class BilledUnits(msgspec.Struct):
    """SiliconFlow's and Cohere's units; a search unit is 100 documents."""

    input_tokens: int | None
    output_tokens: int
    image_tokens: int
    search_units: int
    classifications: int


class RouteMeta(msgspec.Struct):
    """Who answered for a routed name."""

    route: Annotated[str, Meta(description="The name that was asked for.")]
    model: Annotated[str, Meta(description="Who answered, by its own name for the model.")]
    upstream: Annotated[
        str | None, Meta(description="The operator's name of the provider; null: this server.")
    ]
    space: Annotated[str, Meta(description="The scale: scores of one space may be compared.")]
    attempts: Annotated[int, Meta(description="How many were asked.")]
    degraded: Annotated[
        str | None,
        Meta(description="What stood in when all had failed: rerankd-lexical or input-order."),
    ]


class AnswerMeta(msgspec.Struct):
    """Counts, and what the caller should know of this answer."""

    tokens: Tokens
    billed_units: BilledUnits
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET
    listwise: Annotated[
        bool | msgspec.UnsetType,
        Meta(
            description="Present and true when scores depend on all documents of the request and "
            "on their order: compare them within this answer only."
        ),
    ] = msgspec.UNSET
    route: Annotated[
        RouteMeta | msgspec.UnsetType, Meta(description="Present when the name is a route's.")
    ] = msgspec.UNSET


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
    """OpenAI's form of an error."""

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


class ReadResult(msgspec.Struct):
    """What is read of a result; the documents are the caller's own."""

    index: int
    relevance_score: float
    truncated: bool | None = None


class ReadCached(msgspec.Struct):
    """What is read of prompt_tokens_details."""

    cached_tokens: int = 0


class ReadUsage(msgspec.Struct):
    """What is read of usage."""

    total_tokens: int | None = None
    prompt_tokens_details: ReadCached | None = None


class ReadTokens(msgspec.Struct):
    """What is read of meta.tokens or meta.billed_units."""

    input_tokens: int | None = None
    image_tokens: int = 0


class ReadMeta(msgspec.Struct):
    """What is read of meta."""

    tokens: ReadTokens | None = None
    billed_units: ReadTokens | None = None
    warnings: list[str] | None = None
    listwise: bool | None = None


class ReadAnswer(msgspec.Struct):
    """What is read of an answer, by whoever agrees with the superset; only results must be."""

    results: list[ReadResult]
    model: str | None = None
    usage: ReadUsage | None = None
    meta: ReadMeta | None = None
