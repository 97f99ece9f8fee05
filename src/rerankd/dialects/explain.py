"""POST /v1/rerank/explain: the superset's rerank, and how each score came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import InvalidRequest
from rerankd.core.explanation import Explanation, SeenImage
from rerankd.dialects import superset
from rerankd.dialects.base import ParsedBody, Scoring
from rerankd.dialects.superset_schema import AnswerMeta, Body, Result, Usage
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

MOST: Final = 50  # documents
NOT_HERE: Final = (
    "explain: an upstream answered, which tells its scores only; name a model of this server."
)
UNSCORED: Final = "explain: nobody scored the documents; they are in the order of the request."
Place = Annotated[
    list[int], Meta(description="[start, end) in characters, as Unicode code points are counted.")
]


class Image(msgspec.Struct):
    """An image as the model looked at it."""

    width: Annotated[int, Meta(description="Pixels, after it was resized.")]
    height: int
    tokens: Annotated[int, Meta(description="Of the chunk's, those that stand for it.")]


class Chunk(msgspec.Struct):
    """A part of a document that was scored by itself."""

    start: Annotated[int | None, Meta(description="Its first character; null: an image or video.")]
    end: Annotated[int | None, Meta(description="The character behind its last one.")]
    tokens: Annotated[
        int | None, Meta(description="Of its row, with query and template; null: a listwise model.")
    ]
    logit: float
    won: Annotated[bool, Meta(description="Whether the document scores as this chunk.")]
    image: Annotated[
        Image | msgspec.UnsetType, Meta(description="Present where the document is an image.")
    ] = msgspec.UNSET


class MatchedPlaces(msgspec.Struct):
    """A part of the query and a part of the document that speak for each other."""

    query: Place
    document: Place
    score: float
    kind: Literal["word", "meaning"]


class ExplainedResult(Result, kw_only=True):
    """One ranked document, and how its score came about."""

    logit: Annotated[float, Meta(description="What the order is made by.")]
    chunks: list[Chunk]
    cut_at: Annotated[
        int | None, Meta(description="Character behind which nothing was read; null: all was.")
    ]
    parts: Annotated[
        dict[str, float], Meta(description="Scores that the logit is made of, by name.")
    ]
    matches: list[MatchedPlaces]


class Timings(msgspec.Struct):
    """Where the time went, in milliseconds."""

    media_ms: float
    prepare_ms: float
    queue_ms: float
    engine_ms: float
    total_ms: float


class ExplainedAnswer(msgspec.Struct):
    """A ranking, best first, explained."""

    id: str
    object: Literal["rerank"]
    created: int
    model: str
    results: list[ExplainedResult]
    usage: Usage
    meta: AnswerMeta
    timings: Timings
    warnings: list[str]


def parse_body(wire: WireRequest, options: Options) -> ParsedBody:
    """A superset body of few documents. Raises InvalidRequest."""
    request = superset.parse(wire, options)
    if len(request.documents) > MOST:
        raise InvalidRequest(
            f"documents: {len(request.documents)} were sent; {MOST} can be explained at once. Send "
            "fewer, or rank them at /v1/rerank.",
            param="documents",
        )
    request = dataclasses.replace(request, explain=True)

    def render(rankings: Sequence[Ranking], envelope: Envelope) -> WireAnswer:
        ranking = rankings[0]
        whole = superset.answer(request, ranking, envelope)
        answer = ExplainedAnswer(
            id=whole.id,
            object=whole.object,
            created=whole.created,
            model=whole.model,
            results=[
                _explained(result, hit)
                for result, hit in zip(whole.results, ranking.hits, strict=True)
            ],
            usage=whole.usage,
            meta=whole.meta,
            timings=_timings(envelope),
            warnings=[*ranking.warnings, *_missing(ranking)],
        )
        return WireAnswer(status=200, body=msgspec.json.encode(answer))

    return ParsedBody(requests=(request,), render=render)


def _explained(result: Result, hit: Hit) -> ExplainedResult:
    values = {name: getattr(result, name) for name in Result.__struct_fields__}
    told = hit.explained
    if told is None:
        told = Explanation(chunks=())
    return ExplainedResult(
        **values,
        logit=hit.logit,
        chunks=[
            Chunk(
                *(chunk.span or (None, None)),
                chunk.tokens,
                chunk.logit,
                chunk.won,
                _image(chunk.image),
            )
            for chunk in told.chunks
        ],
        cut_at=told.cut_at,
        parts=dict(told.parts),
        matches=[
            MatchedPlaces([*match.query], [*match.document], match.score, match.kind)
            for match in told.matches
        ],
    )


def _image(seen: SeenImage | None) -> Image | msgspec.UnsetType:
    return msgspec.UNSET if seen is None else Image(seen.width, seen.height, seen.tokens)


def _missing(ranking: Ranking) -> tuple[str, ...]:
    """What is said of scores that were not made here."""
    if any(hit.explained is not None for hit in ranking.hits):
        return ()
    return (UNSCORED,) if ranking.route is not None and ranking.route.degraded else (NOT_HERE,)


def _timings(envelope: Envelope) -> Timings:
    cost = envelope.cost
    seconds = (cost.media_s, cost.prepare_s, cost.queue_s, cost.engine_s, envelope.total_s)
    return Timings(*(round(each * 1e3, 3) for each in seconds))


DIALECT = Scoring(
    name="explain",
    prefix="rerankd",
    paths=("/v1/rerank/explain",),
    root=("/v1/rerank/explain",),
    summary="Rank up to 50 documents, and say how each score came about.",
    body=Body,
    answer=ExplainedAnswer,
    errors=superset.DIALECT.errors,
    key_headers=superset.DIALECT.key_headers,
    render_error=superset.render_error,
    parse_body=parse_body,
)
