"""vLLM: POST /score for pairs. Source: see `vllm`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects import vllm_cuts as cuts
from rerankd.dialects.base import ParsedBody, Scoring, grouped
from rerankd.dialects.fields import NotNegative, Object, YesNo
from rerankd.dialects.vllm_shared import (
    ERRORS,
    WHAT_CONTENT,
    Asked,
    Many,
    Said,
    VllmUsage,
    contents,
    instruction_of,
    render_error,
)
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

ManyAsked = Asked | Annotated[list[Asked], Meta(extra_json_schema={"minItems": 1})]


class VllmScoreBody(msgspec.Struct):
    """Pairs to score, in order: 1 with 1, 1 with N, or N with N; one name of each row."""

    text_1: Annotated[ManyAsked | None, Meta(description=f"Queries. {WHAT_CONTENT}")] = None
    text_2: Annotated[Many | None, Meta(description=f"Documents. {WHAT_CONTENT}")] = None
    queries: Annotated[ManyAsked | None, Meta(description="As text_1.")] = None
    documents: Annotated[Many | None, Meta(description="As text_2.")] = None
    items: Annotated[Many | None, Meta(description="As text_2.")] = None
    data_1: Annotated[ManyAsked | None, Meta(description="As text_1.")] = None
    data_2: Annotated[Many | None, Meta(description="As text_2.")] = None
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    instruction: Annotated[Said | None, Meta(description="For the models that take one.")] = None
    chat_template_kwargs: Annotated[
        Object | None, Meta(description='Only {"instruction": …}; the template is the model\'s.')
    ] = None
    use_activation: Annotated[
        YesNo | None, Meta(description="false: score is the model's logit.")
    ] = None
    max_tokens_per_doc: Annotated[
        NotNegative | None, Meta(description="Tokens of a document that count; 0: all.")
    ] = None
    max_tokens_per_query: Annotated[
        NotNegative | None, Meta(description="Tokens of the query that count; 0: all.")
    ] = None
    truncation_side: Annotated[Literal["left", "right"] | None, Meta(description="Only right.")] = (
        None
    )
    truncate_prompt_tokens: Annotated[
        Annotated[int, Meta(ge=-1)] | None,
        Meta(description="Only -1: a query that is too long is cut, too; documents into chunks."),
    ] = None
    priority: Annotated[int | None, Meta(description="Lower is served first; default 0.")] = None


class VllmScore(msgspec.Struct):
    """The score of one pair."""

    index: int
    object: Literal["score"]
    score: float


class VllmScoreAnswer(msgspec.Struct):
    """Scores, in the order of the pairs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[VllmScore]
    usage: VllmUsage


def parse_pairs(wire: WireRequest, options: Options) -> ParsedBody:
    """A /score body as one request for each distinct query. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, VllmScoreBody, fields.HINTS, as_pydantic=True)
    cuts.refuse(body)
    queries = _named(body, options, ("text_1", "queries", "data_1"))
    documents = _named(body, options, ("text_2", "documents", "items", "data_2"))
    if len(queries) == 1:
        queries = queries * len(documents)
    if len(queries) != len(documents):
        raise InvalidRequest("Input lengths must be either 1:1, 1:N or N:N", param="text_1")
    instruction = fields.first(body.instruction, instruction_of(body.chat_template_kwargs))
    members = grouped(queries)
    requests = tuple(
        RerankRequest(
            model=body.model or None,
            query=queries[places[0]],
            documents=tuple(documents[i] for i in places),
            instruction=instruction,
            return_documents=False,
            max_tokens_per_doc=body.max_tokens_per_doc or None,
            max_tokens_per_query=body.max_tokens_per_query or None,
            truncate_query=cuts.cuts_query(body),
            raw_scores=not fields.yes(body.use_activation, default=True),
            priority=max(body.priority or 0, 0),
        )
        for places in members
    )

    def render_pairs(rankings: Sequence[Ranking], envelope: Envelope) -> WireAnswer:
        scores = {
            places[hit.index]: hit.score
            for places, ranking in zip(members, rankings, strict=True)
            for hit in ranking.hits
        }
        tokens = calling.tokens_of(rankings)
        answer = VllmScoreAnswer(
            id=f"score-{envelope.uuid}",
            object="list",
            created=envelope.created,
            model=rankings[0].model,
            data=[VllmScore(i, "score", scores[i]) for i in range(len(documents))],
            usage=VllmUsage(tokens, tokens),
        )
        return WireAnswer(status=200, body=msgspec.json.encode(answer))

    return ParsedBody(requests=requests, render=render_pairs, places=members)


def _named(body: VllmScoreBody, options: Options, names: Sequence[str]) -> tuple[Content, ...]:
    """The row that was sent under one of its names. Raises InvalidRequest."""
    sent = [name for name in names if getattr(body, name) is not None]
    if not sent:
        raise InvalidRequest(f"{names[0]}: this field is required.", param=names[0])
    name, *others = sent
    if others:
        raise InvalidRequest(
            f"{others[0]}: is the same as {name}. Send one of them.", param=others[0]
        )
    found = contents(getattr(body, name), options, name)
    empty = name in ("text_1", "queries", "data_1") and not all(one.value for one in found)
    fields.refuse(empty, name, "at least 1 character is needed.")
    return found


SCORE = Scoring(
    name="vllm-score",
    prefix="vllm",
    paths=("/score", "/v1/score"),
    root=("/score", "/v1/score"),
    summary="vLLM's scores of pairs, in their order.",
    body=VllmScoreBody,
    answer=VllmScoreAnswer,
    errors=ERRORS,
    render_error=render_error,
    parse_body=parse_pairs,
)
