"""Infinity's POST /rerank: an echoed document is a string, null when it was not asked for.

Source: infinity fcb951c (libs/infinity_emb, fastapi schemas and server), read 2026-11-21; and
package infinity-emb 0.0.78 (tests/servers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, Overloaded, RerankError, UnknownModel
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, failures, fields
from rerankd.dialects.base import Dialect, Mark, Probe, ServerFacts
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fastapi_errors import FastApiError, FastApiFieldErrors, fastapi_error
from rerankd.dialects.fields import AtLeastOne, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class InfinityBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[str, Meta(description=fields.WHAT_ANY_QUERY)]
    documents: Annotated[fields.Texts, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None
    raw_scores: Annotated[
        YesNo | None, Meta(description="true: relevance_score is the model's logit.")
    ] = None


class InfinityResult(msgspec.Struct):
    """One ranked document."""

    relevance_score: float
    index: int
    document: str | None = None


class InfinityUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int | None
    total_tokens: int | None


class InfinityAnswer(msgspec.Struct):
    """A ranking, best first."""

    object: Literal["rerank"]
    id: str
    created: int
    model: str
    results: list[InfinityResult]
    usage: InfinityUsage


class InfinityErrorDetail(msgspec.Struct):
    """OpenAI's form of an error."""

    message: str
    type: None
    param: None
    code: int


class InfinityError(msgspec.Struct):
    """What went wrong."""

    error: InfinityErrorDetail


class InfinityModel(msgspec.Struct):
    """One served name."""

    id: str
    stats: dict[str, int]
    object: Literal["model"]
    owned_by: Literal["infinity"]
    created: int
    backend: str
    capabilities: list[str]


class InfinityModels(msgspec.Struct):
    """All served names, the default first."""

    data: list[InfinityModel]
    object: Literal["list"]


class InfinityHealth(msgspec.Struct):
    """Infinity's sign of life."""

    unix: float


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """An Infinity body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, InfinityBody, fields.HINTS, as_pydantic=True)
    return RerankRequest(
        model=None if body.model == _NO_MODEL else body.model or None,
        query=fields.query_of(body.query, may_be_empty=True),
        truncate_query=True,
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=False),
        raw_scores=fields.yes(body.raw_scores, default=False),
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking with documents as strings, or null."""
    answer = InfinityAnswer(
        object="rerank",
        id=f"infinity-{envelope.uuid}",
        created=envelope.created,
        model=ranking.model,
        results=[
            InfinityResult(
                hit.score,
                hit.index,
                request.documents[hit.index].value if request.return_documents else None,
            )
            for hit in ranking.hits
        ],
        usage=InfinityUsage(ranking.input_tokens, ranking.input_tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """What FastAPI refuses (key, path, method, fields) in its form, the rest in OpenAI's.

    A full queue is a 429.
    """
    status, unknown = error.status, isinstance(error, UnknownModel)
    if status in (401, 403, 404, 405) or (isinstance(error, InvalidRequest) and not unknown):
        message = "Unauthorized" if status == 401 else None
        return fastapi_error(error, status=status, message=message)
    status = 429 if isinstance(error, Overloaded) else status
    message = f"Invalid model: {error.message}" if unknown else error.message
    body = InfinityError(InfinityErrorDetail(message, None, None, status))
    return WireAnswer(status=status, body=msgspec.json.encode(body), headers=error_headers(error))


def encode(request: RerankRequest) -> WireRequest:
    """The request for Infinity. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Infinity"),
            "documents": calling.texts_of(request, "Infinity"),
            "top_n": request.top_n,
            "return_documents": request.return_documents,
            "raw_scores": calling.changed(request.raw_scores, False),
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Infinity's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=InfinityAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


def decode_error(answer: WireAnswer) -> RerankError:
    """Infinity's errors by status; an unknown model by its message."""
    found = failures.error_of(answer)
    if answer.status == 400 and found.message.startswith("Invalid model"):
        return UnknownModel(found.message)
    return found


def models(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """The model list, with `capabilities`."""
    listed = [
        InfinityModel(model.name, {}, "model", "infinity", facts.created, model.engine, ["rerank"])
        for model in facts.models
    ]
    return WireAnswer(status=200, body=msgspec.json.encode(InfinityModels(listed, "list")))


def health(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """The time; 503 when a model does not score."""
    body = InfinityHealth(facts.now)
    return WireAnswer(status=200 if facts.healthy else 503, body=msgspec.json.encode(body))


_NO_MODEL = "default/not-specified"  # what Infinity's own clients send for none

DIALECT = Dialect(
    name="infinity",
    prefix="infinity",
    paths=("/rerank", "/v1/rerank"),
    marks=(Mark(paths=("/rerank",), keys=frozenset({"raw_scores", "documents"})),),
    summary="Infinity's rerank API.",
    body=InfinityBody,
    answer=InfinityAnswer,
    errors={
        401: FastApiError,
        403: FastApiError,
        422: FastApiFieldErrors,
        **dict.fromkeys((400, 402, 408, 413, 429, 500, 502, 503, 504), InfinityError),
    },
    parse=parse,
    render=render,
    render_error=render_error,
    probes=(
        Probe(paths=("/models",), summary="The model list.", answer=InfinityModels, render=models),
        Probe(
            paths=("/health",),
            summary="The time, when every model scores.",
            answer=InfinityHealth,
            render=health,
            public=True,
            health=True,
        ),
    ),
    encode=encode,
    decode=decode,
    decode_error=decode_error,
    carries=frozenset({"model", "top_n", "return_documents", "raw_scores"}),
    implies={"truncate_query": True},
    tells=frozenset({"model", "input_tokens"}),
    assumes={"truncate_query": True},
)
