"""Mixedbread's POST /v1/reranking: documents under `input`, `top_k`, scores under `data`.

Source: package mixedbread 0.54.0 (types/client_rerank_params.py, rerank_response.py) and its
OpenAPI document, whose 422 is FastAPI's; read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import RerankError, UnknownModel
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.fastapi_errors import FastApiError, FastApiFieldErrors, fastapi_error
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class MixedbreadBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    input: Annotated[fields.Mixed, Meta(description="The documents, at least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    rank_fields: Annotated[
        list[str] | None, Meta(description='Keys of document objects to rank by; absent: "text".')
    ] = None
    top_k: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_input: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None
    rewrite_query: Annotated[
        YesNo | None, Meta(description="Only false: queries are ranked as they are sent.")
    ] = None


class MixedbreadResult(msgspec.Struct):
    """One ranked document; `input` as it was sent."""

    index: int
    score: float
    object: Literal["rank_result"]
    input: str | Object | UnsetType | None = UNSET


class MixedbreadUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int | None
    total_tokens: int | None
    completion_tokens: int | None = 0


class MixedbreadAnswer(msgspec.Struct):
    """A ranking, best first."""

    usage: MixedbreadUsage
    model: str
    data: list[MixedbreadResult]
    object: Literal["list"]
    top_k: int
    return_input: bool


class _ReadResult(msgspec.Struct):
    index: int
    score: float


class _ReadAnswer(msgspec.Struct):
    usage: MixedbreadUsage
    model: str
    data: list[_ReadResult]


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A Mixedbread body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, MixedbreadBody, fields.HINTS, as_pydantic=True)
    fields.refuse(
        fields.yes(body.rewrite_query, default=False),
        "rewrite_query",
        "queries are not rewritten here. Send false, or leave it out.",
    )
    rank_fields = fields.rank_fields_of(body.rank_fields)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.input, options, "input", rank_fields),
        top_n=body.top_k,
        return_documents=fields.echo(body.return_input, options, default=False),
        rank_fields=rank_fields,
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking under `data`; documents as they were sent."""
    echo = bool(request.return_documents)
    results: list[MixedbreadResult] = []
    for hit in ranking.hits:
        document = request.documents[hit.index]
        sent = document.value if document.echo is None else dict(document.echo)
        results.append(
            MixedbreadResult(hit.index, hit.score, "rank_result", sent if echo else UNSET)
        )
    tokens = ranking.input_tokens
    answer = MixedbreadAnswer(
        usage=MixedbreadUsage(tokens, tokens),
        model=ranking.model,
        data=results,
        object="list",
        top_k=request.top_n or len(request.documents),
        return_input=echo,
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """FastAPI's; an unknown model is a 404."""
    return fastapi_error(error, status=404 if isinstance(error, UnknownModel) else error.status)


def encode(request: RerankRequest) -> WireRequest:
    """The request for Mixedbread. Raises InvalidRequest for what is not text."""
    calling.texts_of(request, "Mixedbread")  # raises for what is not text
    return calling.post(
        "/v1/reranking",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Mixedbread"),
            "input": calling.documents_of(request, ranked=True),
            "top_k": request.top_n,
            "rank_fields": request.rank_fields or None,
            "return_input": request.return_documents,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Mixedbread's answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.score) for result in found.data),
        model=found.model,
        input_tokens=found.usage.total_tokens,
    )


DIALECT = Dialect(
    name="mixedbread",
    prefix="mixedbread",
    paths=("/v1/reranking", "/reranking", "/v1/rerank", "/rerank"),
    root=("/v1/reranking", "/reranking"),
    summary="Mixedbread's rerank API.",
    body=MixedbreadBody,
    answer=MixedbreadAnswer,
    errors={
        **dict.fromkeys((401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), FastApiError),
        422: FastApiFieldErrors,
    },
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n", "return_documents", "rank_fields"}),
    implies={"return_documents": False},
    tells=frozenset({"model", "input_tokens"}),
)
