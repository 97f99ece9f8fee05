"""llama.cpp's server: POST /rerank and its aliases; raw logits, no documents in the answer.

A body with `texts` gets Text Embeddings Inference's answer, for its `documents` where it has both.
Source: llama.cpp, tools/server (server-context.cpp, server-common.cpp, tests/unit/test_rerank.py),
read 2026-11-21; and the server in package xllamacpp 2026.10.11549 (tests/servers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, RerankError
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, fields, tei
from rerankd.dialects.base import BEARER, Dialect, Mark, ParsedBody, Probe, Scoring, ServerFacts
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class LlamaCppBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[str, Meta(description=fields.WHAT_ANY_QUERY)]
    documents: Annotated[fields.Texts, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None


class LlamaCppTextsBody(msgspec.Struct):
    """A rerank request in Text Embeddings Inference's form."""

    query: Annotated[str, Meta(description=fields.WHAT_ANY_QUERY)]
    texts: Annotated[fields.Texts, Meta(description="The documents, at least 1.")]
    documents: Annotated[
        fields.Texts | None, Meta(description="Ranked instead of texts, where both are there.")
    ] = None
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_text: Annotated[YesNo | None, Meta(description="Echo the texts, default false.")] = None


class LlamaCppResult(msgspec.Struct):
    """One ranked document; the score is the model's logit."""

    index: int
    relevance_score: float


class LlamaCppUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int | None
    total_tokens: int | None


class LlamaCppAnswer(msgspec.Struct):
    """A ranking, best first."""

    model: str
    object: Literal["list"]
    usage: LlamaCppUsage
    results: list[LlamaCppResult]


class LlamaCppHealth(msgspec.Struct):
    """That it works."""

    status: Literal["ok"]


class LlamaCppErrorDetail(msgspec.Struct):
    """What went wrong."""

    code: int
    message: str
    type: str


class LlamaCppError(msgspec.Struct):
    """What went wrong."""

    error: LlamaCppErrorDetail


_ASSUMED = {"raw_scores": True}  # llama.cpp has nothing else
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    500: "server_error",
    502: "server_error",
    503: "unavailable_error",
}


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A llama.cpp body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, LlamaCppBody, fields.HINTS)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query, may_be_empty=True),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        return_documents=False,
        raw_scores=True,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking as logits."""
    answer = LlamaCppAnswer(
        model=ranking.model,
        object="list",
        usage=LlamaCppUsage(ranking.input_tokens, ranking.input_tokens),
        results=[LlamaCppResult(hit.index, hit.score) for hit in ranking.hits],
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def parse_texts(wire: WireRequest, options: Options) -> ParsedBody:
    """A body with `texts`; its answer is a bare array. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, LlamaCppTextsBody, fields.HINTS)
    name, texts = "texts", body.texts
    if body.documents is not None:
        name, texts = "documents", body.documents
    request = RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query, may_be_empty=True),
        documents=fields.documents_of(texts, options, name),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_text, options, default=False),
        raw_scores=True,
    )
    return ParsedBody(
        requests=(request,),
        render=lambda rankings, envelope: tei.render(request, rankings[0], envelope),
        assumed=_ASSUMED,
    )


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`error` with the status as its code; an unknown model is a bad request."""
    status = 400 if isinstance(error, InvalidRequest) else error.status
    detail = LlamaCppErrorDetail(status, error.message, _KINDS.get(status, error.kind))
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(LlamaCppError(detail)),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for llama.cpp. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "llama.cpp"),
            "documents": calling.texts_of(request, "llama.cpp"),
            "top_n": request.top_n,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """llama.cpp's answer as a ranking of logits."""
    found = msgspec.json.decode(answer.body, type=LlamaCppAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


def health(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """That it works; 503 when a model does not score."""
    if facts.healthy:
        return WireAnswer(status=200, body=msgspec.json.encode(LlamaCppHealth("ok")))
    detail = LlamaCppErrorDetail(503, "A model does not score.", _KINDS[503])
    return WireAnswer(status=503, body=msgspec.json.encode(LlamaCppError(detail)))


_PATHS = ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking")
_KEY_HEADERS = (*BEARER, "x-api-key")
_ALIASES = ("/v1/reranking", "/reranking")  # at the root, where `input` is Mixedbread's
_ERRORS: dict[int, Any] = dict.fromkeys(
    (400, 401, 402, 403, 408, 413, 429, 500, 502, 503, 504), LlamaCppError
)

RERANK = Dialect(
    name="llamacpp",
    prefix="llamacpp",
    paths=_PATHS,
    marks=(
        Mark(paths=_ALIASES, keys=frozenset({"documents"}), absent=frozenset({"input", "texts"})),
    ),
    summary="llama.cpp's rerank API: logits.",
    body=LlamaCppBody,
    answer=LlamaCppAnswer,
    errors=_ERRORS,
    key_headers=_KEY_HEADERS,
    any_content_type=True,
    parse=parse,
    render=render,
    render_error=render_error,
    probes=(
        Probe(
            paths=("/health", "/v1/health"),
            summary="ok, when every model scores.",
            answer=LlamaCppHealth,
            render=health,
            public=True,
            health=True,
        ),
    ),
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n"}),
    implies={"raw_scores": True, "return_documents": False},
    tells=frozenset({"model", "input_tokens"}),
    assumes=_ASSUMED,
)

TEXTS = Scoring(
    name="llamacpp-texts",
    prefix="llamacpp",
    paths=(),
    marks=(
        Mark(
            paths=(*(f"/llamacpp{path}" for path in _PATHS), *_ALIASES),
            keys=frozenset({"texts"}),
            absent=frozenset({"input"}),
        ),
    ),
    summary="llama.cpp's rerank API with `texts`.",
    body=LlamaCppTextsBody,
    answer=list[tei.TeiRank],
    errors=_ERRORS,
    key_headers=_KEY_HEADERS,
    any_content_type=True,
    render_error=render_error,
    parse_body=parse_texts,
)

DIALECTS = (RERANK, TEXTS)
