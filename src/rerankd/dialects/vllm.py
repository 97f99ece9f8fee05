"""vLLM: POST /rerank and its versions, and /score for pairs.

Every result carries its document, whether asked for or not. A query or document may be an object
with content parts. Source: vllm 0.33.0 (entrypoints/pooling/scoring); read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, RerankError, UnknownModel
from rerankd.core.request import Content, Modality, RerankRequest
from rerankd.dialects import fields, upstream
from rerankd.dialects import vllm_cuts as cuts
from rerankd.dialects.base import Dialect, ParsedBody, Scoring, grouped
from rerankd.dialects.fields import NotNegative, Object, YesNo
from rerankd.dialects.openai_errors import OpenAiError, openai_error
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

Said = Annotated[str, Meta(min_length=1)]
One = str | Object
Asked = fields.Said | Object
Several = Annotated[list[One], Meta(extra_json_schema={"minItems": 1})]

_WHAT_CONTENT = 'A string, or {"content": [parts]} with text, or one image_url or video_url.'


class VllmBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[Asked, Meta(description=_WHAT_CONTENT)]
    documents: Annotated[One | Several, Meta(description=f"One or several. {_WHAT_CONTENT}")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[
        NotNegative | None, Meta(description="How many results; 0 or absent: all documents.")
    ] = None
    max_tokens_per_doc: Annotated[
        NotNegative | None, Meta(description="Tokens of a document that count; 0: all.")
    ] = None
    max_tokens_per_query: Annotated[
        NotNegative | None, Meta(description="Tokens of the query that count; 0: all.")
    ] = None
    instruction: Annotated[Said | None, Meta(description="For the models that take one.")] = None
    chat_template_kwargs: Annotated[
        Object | None, Meta(description='Only {"instruction": …}; the template is the model\'s.')
    ] = None
    use_activation: Annotated[
        YesNo | None, Meta(description="false: relevance_score is the model's logit.")
    ] = None
    truncate_prompt_tokens: Annotated[
        Annotated[int, Meta(ge=-1)] | None,
        Meta(description="Only -1: a query that is too long is cut, too; documents into chunks."),
    ] = None
    truncation_side: Annotated[Literal["left", "right"] | None, Meta(description="Only right.")] = (
        None
    )
    priority: Annotated[int | None, Meta(description="Lower is served first; default 0.")] = None
    request_id: Annotated[str | None, Meta(description="Read; the answer has its own id.")] = None
    user: Annotated[str | None, Meta(description="Read; not used.")] = None


class VllmDocument(msgspec.Struct):
    """A document: its text, or its parts."""

    text: str | None
    multi_modal: list[Any] | None


class VllmResult(msgspec.Struct):
    """One ranked document."""

    index: int
    document: VllmDocument
    relevance_score: float


class VllmUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int
    total_tokens: int


class VllmAnswer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    model: str
    usage: VllmUsage
    results: list[VllmResult]


class VllmUnauthorized(msgspec.Struct):
    """vLLM's 401."""

    error: str


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadAnswer(msgspec.Struct):
    model: str
    usage: VllmUsage
    results: list[_ReadResult]


Many = One | Several
ManyAsked = Asked | Annotated[list[Asked], Meta(extra_json_schema={"minItems": 1})]


class VllmScoreBody(msgspec.Struct):
    """Pairs to score, in order: 1 with 1, 1 with N, or N with N; one name of each row."""

    text_1: Annotated[ManyAsked | None, Meta(description=f"Queries. {_WHAT_CONTENT}")] = None
    text_2: Annotated[Many | None, Meta(description=f"Documents. {_WHAT_CONTENT}")] = None
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


_PARTS: dict[str, Modality] = {"image_url": "image", "video_url": "video"}
_KINDS = {400: "BadRequestError", 403: "Forbidden", 404: "NotFoundError", 413: "BadRequestError"}


def content(value: One, name: str) -> Content:
    """A string, or an object with content parts. Raises InvalidRequest naming the field."""
    if isinstance(value, str):
        return Content(value=value)
    parts: Any = value.get("content")
    if parts is None and "text" in value:
        return fields.content(value, name)
    if not isinstance(parts, list) or not parts:
        raise InvalidRequest(f'{name}: an object needs "content", a list of parts.', param=name)
    found = [_part(part, f"{name}.content[{i}]") for i, part in enumerate(cast("list[Any]", parts))]
    if all(modality == "text" for modality, _ in found):
        return Content(value="\n".join(text for _, text in found), echo=value)
    if len(found) > 1:
        raise InvalidRequest(
            f"{name}: send texts, or one image or video; no mixture.", param=f"{name}.content"
        )
    modality, reference = found[0]
    return Content(modality=modality, value=reference, echo=value)


def _part(part: object, name: str) -> tuple[Modality, str]:
    found = cast("Object", part) if isinstance(part, dict) else {}
    kind = found.get("type")
    kind = kind if isinstance(kind, str) else ""
    inner: Any = found.get(kind)
    if kind in _PARTS and isinstance(inner, dict):
        inner = cast("Object", inner).get("url")
    if kind not in ("text", *_PARTS) or not isinstance(inner, str):
        raise InvalidRequest(
            f'{name}: expected {{"type": "text", "text": …}}, or an image_url or video_url with a '
            "url.",
            param=name,
        )
    return _PARTS.get(kind, "text"), inner


def _contents(value: Many, options: Options, name: str) -> tuple[Content, ...]:
    values = value if isinstance(value, list) else [value]
    fields.refuse(not values, name, "at least 1 is needed. Send a string, or a list of them.")
    fields.at_most(values, options, name)
    if not isinstance(value, list):
        return (content(value, name),)
    return tuple(content(found, f"{name}[{i}]") for i, found in enumerate(value))


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A vLLM body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, VllmBody, fields.HINTS, as_pydantic=True)
    cuts.refuse(body)
    query = content(body.query, "query")
    fields.refuse(not query.value, "query", "at least 1 character is needed.")
    return RerankRequest(
        model=body.model or None,
        query=query,
        documents=_contents(body.documents, options, "documents"),
        top_n=body.top_n or None,
        instruction=fields.first(body.instruction, _instruction(body.chat_template_kwargs)),
        return_documents=True,
        max_tokens_per_doc=body.max_tokens_per_doc or None,
        max_tokens_per_query=body.max_tokens_per_query or None,
        truncate_query=cuts.cuts_query(body),
        raw_scores=not fields.yes(body.use_activation, default=True),
        priority=max(body.priority or 0, 0),  # nobody can push ahead of the default
    )


def _instruction(kwargs: Object | None) -> str | None:
    """What chat_template_kwargs says. Raises InvalidRequest for anything else in it."""
    said = {key: value for key, value in (kwargs or {}).items() if value is not None}
    instruction = said.pop("instruction", None)
    if said or not (instruction is None or (isinstance(instruction, str) and instruction)):
        raise InvalidRequest(
            'chat_template_kwargs: only a non-empty "instruction" is supported; the template is '
            "the model's own.",
            param="chat_template_kwargs",
        )
    return instruction


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking, always with documents."""
    answer = VllmAnswer(
        id=f"score-{envelope.uuid}",
        model=ranking.model,
        usage=VllmUsage(ranking.input_tokens, ranking.input_tokens),
        results=[
            VllmResult(hit.index, _document(request.documents[hit.index]), hit.score)
            for hit in ranking.hits
        ],
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def _document(found: Content) -> VllmDocument:
    if found.modality == "text":
        return VllmDocument(found.value, None)
    parts: Any = (found.echo or {}).get("content")
    return VllmDocument(None, parts or [{"type": f"{found.modality}_url", "url": found.value}])


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """OpenAI's form with the status as its code; an unknown model is a 404."""
    if error.status == 401:
        body = msgspec.json.encode(VllmUnauthorized("Unauthorized"))
        answer = openai_error(error, status=401, kinds=_KINDS, code=401)
        return WireAnswer(status=401, body=body, headers=answer.headers)
    status = 404 if isinstance(error, UnknownModel) else error.status
    return openai_error(error, status=status, kinds=_KINDS, code=status)


def encode(request: RerankRequest) -> WireRequest:
    """The request for vLLM."""
    return upstream.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": _as_sent(request.query),
            "documents": [_as_sent(document) for document in request.documents],
            "top_n": request.top_n,
            "instruction": request.instruction,
            "max_tokens_per_doc": request.max_tokens_per_doc,
            "max_tokens_per_query": request.max_tokens_per_query,
            "truncate_prompt_tokens": cuts.cut_to_window(request),
            "use_activation": False if request.raw_scores else None,
            "priority": upstream.changed(request.priority, 0),
        },
    )


def _as_sent(found: Content) -> One:
    """The caller's parts, or what makes the same of the text, image or video."""
    if found.echo is not None and content_or_none(found.echo) == found:
        return dict(found.echo)
    if found.modality == "text":
        return found.value
    kind = f"{found.modality}_url"
    return {"content": [{"type": kind, kind: {"url": found.value}}]}


def content_or_none(value: Any) -> Content | None:
    """As content(); None for an object that is not vLLM's."""
    try:
        return content(value, "")
    except InvalidRequest:
        return None


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """vLLM's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return upstream.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


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
    instruction = fields.first(body.instruction, _instruction(body.chat_template_kwargs))
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
        tokens = sum(ranking.input_tokens for ranking in rankings)
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
    found = _contents(getattr(body, name), options, name)
    empty = name in ("text_1", "queries", "data_1") and not all(one.value for one in found)
    fields.refuse(empty, name, "at least 1 character is needed.")
    return found


_ERRORS: dict[int, Any] = {
    401: VllmUnauthorized,
    **dict.fromkeys((400, 403, 404, 408, 413, 429, 500, 503, 504), OpenAiError),
}

RERANK = Dialect(
    name="vllm",
    prefix="vllm",
    paths=("/v1/rerank", "/rerank", "/v2/rerank"),
    summary="vLLM's rerank API.",
    body=VllmBody,
    answer=VllmAnswer,
    errors=_ERRORS,
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset(
        {
            "model",
            "top_n",
            "instruction",
            "max_tokens_per_doc",
            "max_tokens_per_query",
            "truncate_query",
            "raw_scores",
            "priority",
        }
    ),
    implies={"return_documents": True},
    tells=frozenset({"model", "input_tokens"}),
)

SCORE = Scoring(
    name="vllm-score",
    prefix="vllm",
    paths=("/score", "/v1/score"),
    root=("/score", "/v1/score"),
    summary="vLLM's scores of pairs, in their order.",
    body=VllmScoreBody,
    answer=VllmScoreAnswer,
    errors=_ERRORS,
    render_error=render_error,
    parse_body=parse_pairs,
)

DIALECTS = (RERANK, SCORE)
