"""Text Embeddings Inference: POST /rerank and /predict, GET /info and /health.

The answer is a bare array of all documents; there is no model and no top_n. Ties go to the lower
index, where TEI gives the higher. Source: text-embeddings-inference 0d124dc (v1.9.3),
router/src/http/{types,server}.rs and router/src/lib.rs; read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, Overloaded, RateLimited, RerankError
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, failures, fields
from rerankd.dialects.base import Dialect, Mark, ParsedBody, Probe, Scoring, ServerFacts, grouped
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

Truncate = Annotated[
    YesNo | None,
    Meta(
        description="false: refuse a document of which something would be cut. true: cut a query "
        "that is too long, too; absent: refuse that query."
    ),
]
Direction = Annotated[
    Literal["Left", "Right", "left", "right"] | None,
    Meta(description="Right (default) cuts the end of a text. Left is refused."),
]
Raw = Annotated[YesNo | None, Meta(description="true: score is the model's logit.")]


class TeiBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    texts: Annotated[fields.Texts, Meta(description="The documents, at least 1.")]
    truncate: Truncate = None
    truncation_direction: Direction = None
    raw_scores: Raw = None
    return_text: Annotated[YesNo | None, Meta(description="Echo the texts, default false.")] = None


class TeiRank(msgspec.Struct):
    """One ranked document."""

    index: int
    score: float
    text: str | UnsetType = UNSET


Pair = Annotated[list[str], Meta(min_length=1, max_length=2)]


class TeiPredictBody(msgspec.Struct):
    """Pairs to score, in order."""

    inputs: Annotated[
        str | Annotated[list[str | Pair], Meta(extra_json_schema={"minItems": 1})],
        Meta(description="[query, document], or a list of such pairs."),
    ]
    truncate: Truncate = None
    truncation_direction: Direction = None
    raw_scores: Raw = None


class TeiPrediction(msgspec.Struct):
    """The score of a pair."""

    score: float
    label: str


class TeiError(msgspec.Struct):
    """What went wrong."""

    error: str
    error_type: str


class TeiLabels(msgspec.Struct):
    """The one label of a reranker."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(msgspec.Struct):
    """What the model is."""

    reranker: TeiLabels


class TeiInfo(msgspec.Struct):
    """What is served, and its limits."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: TeiModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None


class NoTexts(InvalidRequest):
    """The one bad field that TEI answers with a status of its own."""


_LABEL = "LABEL_0"
_TYPES = {400: "Empty", 408: "Validation", 413: "Validation", 422: "Validation"}


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A TEI body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, TeiBody, fields.HINTS)
    check_direction(body.truncation_direction)
    if not body.texts:
        raise NoTexts("`texts` cannot be empty", param="texts")
    return RerankRequest(
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.texts, options, "texts"),
        return_documents=fields.echo(body.return_text, options, default=False),
        truncation=fields.yes(body.truncate, default=True),
        truncate_query=fields.yes(body.truncate, default=False),
        raw_scores=fields.yes(body.raw_scores, default=False),
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The bare array, with counts and times in headers."""
    answer = [
        TeiRank(
            hit.index,
            hit.score,
            request.documents[hit.index].value if request.return_documents else UNSET,
        )
        for hit in ranking.hits
    ]
    characters = sum(len(content.value) for content in (request.query, *request.documents))
    return WireAnswer(
        status=200,
        body=msgspec.json.encode(answer),
        headers=compute_headers(characters, ranking.input_tokens, envelope),
    )


def parse_pairs(wire: WireRequest, options: Options) -> ParsedBody:
    """A /predict body as one request for each distinct query. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, TeiPredictBody, fields.HINTS)
    check_direction(body.truncation_direction)
    several = not isinstance(body.inputs, str) and any(
        not isinstance(item, str) for item in body.inputs
    )
    pairs = body.inputs if several else [body.inputs]
    if not pairs:
        raise NoTexts("`inputs` cannot be empty", param="inputs")
    fields.at_most(pairs, options, "inputs")
    said = [_pair(pair, f"inputs[{i}]" if several else "inputs") for i, pair in enumerate(pairs)]
    members = grouped(query for query, _ in said)
    requests = tuple(
        RerankRequest(
            query=said[places[0]][0],
            documents=tuple(said[i][1] for i in places),
            return_documents=False,
            truncation=fields.yes(body.truncate, default=True),
            truncate_query=fields.yes(body.truncate, default=False),
            raw_scores=fields.yes(body.raw_scores, default=False),
        )
        for places in members
    )

    def render_pairs(rankings: Sequence[Ranking], envelope: Envelope) -> WireAnswer:
        scores = [0.0] * len(said)
        for places, ranking in zip(members, rankings, strict=True):
            for hit in ranking.hits:
                scores[places[hit.index]] = hit.score
        scored = [[TeiPrediction(score, _LABEL)] for score in scores]
        characters = sum(len(query.value) + len(document.value) for query, document in said)
        return WireAnswer(
            status=200,
            body=msgspec.json.encode(scored if several else scored[0]),
            headers=compute_headers(characters, calling.tokens_of(rankings), envelope),
        )

    return ParsedBody(requests=requests, render=render_pairs, places=members)


def _pair(pair: object, name: str) -> tuple[Content, Content]:
    match pair:
        case [str(query), str(document)]:
            return Content(value=query), Content(value=document)
        case _:
            raise InvalidRequest(
                f"{name}: a reranker scores pairs. Send [query, document].", param=name
            )


def check_direction(direction: str | None) -> None:
    """Raises InvalidRequest for Left."""
    fields.refuse(
        (direction or "").lower() == "left",
        "truncation_direction",
        "only the end of a text is cut here. Send Right, or leave it out.",
    )


def compute_headers(characters: int, tokens: int | None, envelope: Envelope) -> dict[str, str]:
    """The counts and times of an answer; tokens of None are not known."""
    counted = {} if tokens is None else {"x-compute-tokens": str(tokens)}
    return {
        "x-compute-type": envelope.engine,
        "x-compute-time": _ms(envelope.total_s),
        "x-compute-characters": str(characters),
        **counted,
        "x-total-time": _ms(envelope.total_s),
        "x-tokenization-time": _ms(envelope.cost.prepare_s),
        "x-queue-time": _ms(envelope.cost.queue_s),
        "x-inference-time": _ms(envelope.cost.engine_s),
    }


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`error` and `error_type`: 400 for no texts, 422 for a bad field, 429 full, 424 our fault."""
    status = error.status
    if status == 401:
        return WireAnswer(status=401, body=b"", headers=error_headers(error))
    if isinstance(error, InvalidRequest):
        status = 400 if isinstance(error, NoTexts) else 422
    elif isinstance(error, (Overloaded, RateLimited)):
        status = 429
    elif status in (500, 502):
        status = 424
    kind = "Overloaded" if status == 429 else _TYPES.get(status, "Backend")
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(TeiError(error.message, kind)),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for TEI. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/rerank",
        {
            "query": calling.as_text(request.query, "query", "TEI"),
            "texts": calling.texts_of(request, "TEI"),
            "truncate": calling.cut(request),
            "raw_scores": request.raw_scores,
            "return_text": request.return_documents,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """TEI's array as a ranking; tokens are in a header."""
    found = msgspec.json.decode(answer.body, type=list[TeiRank])
    tokens = answer.headers.get("x-compute-tokens", "")
    return calling.ranking_of(
        request,
        ((rank.index, rank.score) for rank in found),
        input_tokens=int(tokens) if tokens.isdecimal() else None,
    )


def decode_error(answer: WireAnswer) -> RerankError:
    """TEI's errors by status; its 429 is a full queue, not a rate."""
    if answer.status == 429:
        wait_s = failures.retry_after_s(answer.headers)
        message = failures.message_of(answer.body) or "Model is overloaded"
        return Overloaded(message, retry_after_s=wait_s)
    return failures.error_of(answer)


def info(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """The default model and this server's limits. Raises InvalidRequest when the key has none."""
    if not facts.models:
        raise InvalidRequest("This key may use no model.")
    model = facts.models[0]
    body = TeiInfo(
        model_id=model.root,
        model_sha=None,
        model_dtype=model.precision,
        served_model_name=model.name,
        model_type=TeiModelType(TeiLabels({"0": _LABEL}, {_LABEL: 0})),
        max_concurrent_requests=facts.queue_tokens,  # each waits with at least one token
        max_input_length=model.window_tokens or facts.request_tokens,
        max_batch_tokens=facts.request_tokens,
        max_batch_requests=None,
        max_client_batch_size=facts.documents,
        auto_truncate=True,
        tokenization_workers=facts.tokenizers,
        version=facts.version,
        sha=None,
        docker_label=None,
    )
    return WireAnswer(status=200, body=msgspec.json.encode(body))


def health(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """Empty; 503 when a model does not score."""
    if facts.healthy:
        return WireAnswer(status=200, body=b"", content_type="text/plain")
    body = msgspec.json.encode(TeiError("unhealthy", "Unhealthy"))
    return WireAnswer(status=503, body=body)


_ERRORS = {401: None, **dict.fromkeys((400, 402, 403, 408, 413, 422, 424, 429, 503, 504), TeiError)}

RERANK = Dialect(
    name="tei",
    prefix="tei",
    paths=("/rerank", "/v1/rerank", "/invocations", "/"),
    marks=(
        Mark(
            paths=("/rerank", "/v1/rerank"),
            keys=frozenset({"texts"}),
            absent=frozenset({"documents"}),
        ),
    ),
    summary="Text Embeddings Inference's rerank API.",
    body=TeiBody,
    answer=list[TeiRank],
    errors=_ERRORS,
    parse=parse,
    render=render,
    render_error=render_error,
    probes=(
        Probe(
            paths=("/info",),
            root=("/info",),
            summary="The default model and the limits.",
            answer=TeiInfo,
            render=info,
        ),
        Probe(
            paths=("/health", "/ping"),
            root=("/ping",),
            summary="Empty, when every model scores.",
            answer=None,
            render=health,
            public=True,
            health=True,
        ),
    ),
    encode=encode,
    decode=decode,
    decode_error=decode_error,
    carries=frozenset({"return_documents", "truncation", "truncate_query", "raw_scores"}),
    unsaid=calling.uncut,
    tells=frozenset({"input_tokens"}),
)

PREDICT = Scoring(
    name="tei-predict",
    prefix="tei",
    paths=("/predict",),
    root=("/predict",),
    summary="Text Embeddings Inference's pair scores, in the order of the pairs.",
    body=TeiPredictBody,
    answer=list[TeiPrediction | list[TeiPrediction]],
    errors=_ERRORS,
    render_error=render_error,
    parse_body=parse_pairs,
)

DIALECTS = (RERANK, PREDICT)
