"""vLLM: POST /rerank and its versions, and /score for pairs.

Every result carries its document, whether asked for or not. A query or document may be an object
with content parts. Source: vllm 0.33.0 (entrypoints/pooling/scoring); read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects import vllm_cuts as cuts
from rerankd.dialects.base import Dialect
from rerankd.dialects.fields import NotNegative, Object, YesNo
from rerankd.dialects.vllm_score import SCORE
from rerankd.dialects.vllm_shared import (
    ERRORS,
    WHAT_CONTENT,
    Asked,
    One,
    Said,
    Several,
    VllmUsage,
    content,
    content_or_none,
    contents,
    instruction_of,
    render_error,
)
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class VllmBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[Asked, Meta(description=WHAT_CONTENT)]
    documents: Annotated[One | Several, Meta(description=f"One or several. {WHAT_CONTENT}")]
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


class VllmAnswer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    model: str
    usage: VllmUsage
    results: list[VllmResult]


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadAnswer(msgspec.Struct):
    model: str
    usage: VllmUsage
    results: list[_ReadResult]


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A vLLM body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, VllmBody, fields.HINTS, as_pydantic=True)
    cuts.refuse(body)
    query = content(body.query, "query")
    fields.refuse(not query.value, "query", "at least 1 character is needed.")
    return RerankRequest(
        model=body.model or None,
        query=query,
        documents=contents(body.documents, options, "documents"),
        top_n=body.top_n or None,
        instruction=fields.first(body.instruction, instruction_of(body.chat_template_kwargs)),
        return_documents=True,
        max_tokens_per_doc=body.max_tokens_per_doc or None,
        max_tokens_per_query=body.max_tokens_per_query or None,
        truncate_query=cuts.cuts_query(body),
        raw_scores=not fields.yes(body.use_activation, default=True),
        priority=max(body.priority or 0, 0),  # nobody can push ahead of the default
    )


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


def encode(request: RerankRequest) -> WireRequest:
    """The request for vLLM."""
    return calling.post(
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
            "priority": calling.changed(request.priority, 0),
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


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """vLLM's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


RERANK = Dialect(
    name="vllm",
    prefix="vllm",
    paths=("/v1/rerank", "/rerank", "/v2/rerank"),
    summary="vLLM's rerank API.",
    body=VllmBody,
    answer=VllmAnswer,
    errors=ERRORS,
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

DIALECTS = (RERANK, SCORE)
