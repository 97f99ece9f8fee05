"""DeepInfra's POST /v1/inference/{model}: queries and documents in, scores in their order out.

One query ranks all documents; as many queries as documents are pairs. Source: the API pages of
deepinfra.com's rerankers, LiteLLM 1.109.1 (llms/deepinfra/rerank/transformation.py), which repeats
the query for each document; read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import EngineFailed, InvalidRequest, RerankError, UnknownModel
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect, ParsedBody, grouped
from rerankd.dialects.failures import error_headers
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class DeepInfraBody(msgspec.Struct):
    """A scoring request."""

    queries: Annotated[
        Annotated[list[fields.Said], Meta(extra_json_schema={"minItems": 1})],
        Meta(description="One, or one for each document."),
    ]
    documents: Annotated[fields.Texts, Meta(description="At least 1.")]
    instruction: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="For the models that take one."),
    ] = None
    service_tier: Annotated[
        str | None, Meta(description="Read; every request here is served alike.")
    ] = None
    webhook: Annotated[Any, Meta(description="Refused: answers come in the response.")] = None


class DeepInfraStatus(msgspec.Struct):
    """How it went; nothing is charged."""

    status: str
    runtime_ms: int
    cost: float
    tokens_generated: int
    tokens_input: int | None
    output_length: int


class DeepInfraAnswer(msgspec.Struct):
    """Scores, in the order of the documents."""

    scores: list[float]
    input_tokens: int | None
    request_id: str | None = None
    inference_status: DeepInfraStatus | None = None


class DeepInfraErrorDetail(msgspec.Struct):
    """What went wrong."""

    error: str


class DeepInfraError(msgspec.Struct):
    """What went wrong."""

    detail: DeepInfraErrorDetail


class _ReadAnswer(msgspec.Struct):
    scores: list[float]
    input_tokens: int | None = None


_NO_MODEL = "default"  # in the path, where a model must be: the server's default


def _body(wire: WireRequest, options: Options) -> DeepInfraBody:
    """The checked body: as many queries as documents. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, DeepInfraBody, fields.HINTS)
    fields.refuse(body.webhook, "webhook", "answers come in the response. Leave it out.")
    fields.at_least_one(body.documents, "documents")
    fields.at_most(body.documents, options, "documents")
    if len(body.queries) == 1:
        body.queries = body.queries * len(body.documents)
    if len(body.queries) != len(body.documents):
        raise InvalidRequest(
            f"queries: {len(body.queries)} for {len(body.documents)} documents. Send one query, or "
            "one for each document.",
            param="queries",
        )
    for i, query in enumerate(body.queries):
        fields.refuse(not query, f"queries[{i}]", "at least 1 character is needed.")
    return body


def _request(wire: WireRequest, body: DeepInfraBody, places: Sequence[int]) -> RerankRequest:
    """The documents at some places, which have one query."""
    model = wire.params.get("model")
    return RerankRequest(
        model=None if model == _NO_MODEL else model,
        query=Content(value=body.queries[places[0]]),
        documents=tuple(Content(value=body.documents[i]) for i in places),
        instruction=body.instruction,
        return_documents=False,
    )


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A body with one query as the canonical request. Raises InvalidRequest."""
    body = _body(wire, options)
    fields.refuse(len(set(body.queries)) > 1, "queries", "more than one here.")
    return _request(wire, body, range(len(body.documents)))


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The scores in the order of the documents."""
    scores = [0.0] * len(request.documents)
    for hit in ranking.hits:
        scores[hit.index] = hit.score
    return _answer(scores, ranking.input_tokens, envelope)


def _answer(scores: list[float], tokens: int | None, envelope: Envelope) -> WireAnswer:
    status = DeepInfraStatus("succeeded", int(envelope.total_s * 1000), 0.0, 0, tokens, 0)
    answer = DeepInfraAnswer(scores, tokens, envelope.request_id, status)
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


class DeepInfra(Dialect):
    """The dialect whose body may hold pairs: one request for each distinct query."""

    def parse_body(self, wire: WireRequest, options: Options) -> ParsedBody:
        """As many requests as there are distinct queries. Raises InvalidRequest."""
        body = _body(wire, options)
        members = grouped(Content(value=query) for query in body.queries)

        def render_all(rankings: Sequence[Ranking], envelope: Envelope) -> WireAnswer:
            scores = [0.0] * len(body.documents)
            for places, ranking in zip(members, rankings, strict=True):
                for hit in ranking.hits:
                    scores[places[hit.index]] = hit.score
            return _answer(scores, calling.tokens_of(rankings), envelope)

        requests = tuple(_request(wire, body, places) for places in members)
        return ParsedBody(requests=requests, render=render_all, places=members)


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`detail.error`; an unknown model is a 404, a bad field a 422."""
    status = error.status
    if isinstance(error, UnknownModel):
        status = 404
    elif isinstance(error, InvalidRequest):
        status = 422
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(DeepInfraError(DeepInfraErrorDetail(error.message))),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for DeepInfra. Raises InvalidRequest for what is not text."""
    query = calling.as_text(request.query, "query", "DeepInfra")
    model = request.model or _NO_MODEL
    return calling.post(
        f"/v1/inference/{model}",
        {
            "queries": [query] * len(request.documents),  # one alone only where there is one
            "documents": calling.texts_of(request, "DeepInfra"),
            "instruction": request.instruction,
        },
        model=model,
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """DeepInfra's scores as a ranking; it names no model.

    Raises:
        EngineFailed: there are not as many scores as documents.
    """
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    if len(found.scores) != len(request.documents):
        raise EngineFailed(f"{len(found.scores)} scores for {len(request.documents)} documents.")
    return calling.ranking_of(request, enumerate(found.scores), input_tokens=found.input_tokens)


DIALECT = DeepInfra(
    name="deepinfra",
    prefix="deepinfra",
    paths=("/v1/inference/{model}", "/inference/{model}", "/v1/rerank", "/rerank"),
    root=("/v1/inference/{model}",),
    summary="DeepInfra's inference API for rerankers.",
    body=DeepInfraBody,
    answer=DeepInfraAnswer,
    errors=dict.fromkeys(
        (401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504), DeepInfraError
    ),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "instruction"}),
    implies={"return_documents": False},
    tells=frozenset({"input_tokens"}),
)
