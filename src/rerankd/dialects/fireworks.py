"""Fireworks AI's POST /inference/v1/rerank: a list under `data`, documents as strings.

Source: docs.fireworks.ai/api-reference/rerank-documents, and LiteLLM 1.109.1
(llms/fireworks_ai/rerank/transformation.py); read 2026-11-21.
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
from rerankd.dialects.fields import AtLeastOne, YesNo
from rerankd.dialects.openai_errors import OpenAiError, openai_error
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class FireworksBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[fields.Texts, Meta(description="At least 1.")]
    model: Annotated[
        str | None,
        Meta(description=f"{fields.WHAT_MODEL} `fireworks/` before a name is left away."),
    ] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default true.")
    ] = None


class FireworksResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: str | UnsetType = UNSET


class FireworksUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    total_tokens: int | None
    prompt_tokens: int | None = None
    completion_tokens: int = 0


class FireworksAnswer(msgspec.Struct):
    """A ranking, best first."""

    object: Literal["list"]
    model: str
    data: list[FireworksResult]
    usage: FireworksUsage


_KINDS = {  # 401 and 404 as observed, the others OpenAI's names
    400: "invalid_request_error",
    401: "error",
    403: "permission_error",
    404: "error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadAnswer(msgspec.Struct):
    model: str
    data: list[_ReadResult]
    usage: FireworksUsage | None = None


_CODES = {401: "UNAUTHORIZED", 404: "NOT_FOUND"}
_OWN = "fireworks/"  # what LiteLLM puts before a model's name


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A Fireworks body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, FireworksBody, fields.HINTS)
    return RerankRequest(
        model=(body.model or "").removeprefix(_OWN) or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=True),
    )


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking under `data`."""
    answer = FireworksAnswer(
        object="list",
        model=ranking.model,
        data=[
            FireworksResult(
                hit.index,
                hit.score,
                request.documents[hit.index].value if request.return_documents else UNSET,
            )
            for hit in ranking.hits
        ],
        usage=FireworksUsage(ranking.input_tokens, ranking.input_tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """OpenAI's form; an unknown model is a 404."""
    status = 404 if isinstance(error, UnknownModel) else error.status
    message = "The API key you provided is invalid." if status == 401 else None
    return openai_error(
        error, status=status, kinds=_KINDS, code=_CODES.get(status), message=message
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for Fireworks. Raises InvalidRequest for what is not text."""
    return calling.post(
        "/inference/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Fireworks"),
            "documents": calling.texts_of(request, "Fireworks"),
            "top_n": request.top_n,
            "return_documents": request.return_documents,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Fireworks' answer as a ranking."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.data),
        model=found.model,
        input_tokens=found.usage.total_tokens if found.usage else None,
    )


DIALECT = Dialect(
    name="fireworks",
    prefix="fireworks",
    paths=("/inference/v1/rerank", "/v1/rerank", "/rerank"),
    root=("/inference/v1/rerank",),
    summary="Fireworks AI's rerank API.",
    body=FireworksBody,
    answer=FireworksAnswer,
    errors=dict.fromkeys((400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), OpenAiError),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n", "return_documents"}),
    implies={"return_documents": True},
    tells=frozenset({"model", "input_tokens"}),
)
