"""Pinecone's POST /rerank: its own key header, documents as objects, units of 100 documents.

Source: package pinecone 10.2.0 (client/inference.py, models/inference/rerank.py,
_internal/http_client.py) and docs.pinecone.io/reference/api/inference/rerank; read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import RerankError, UnknownModel
from rerankd.core.facts import ModelFacts
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect, Mark, Probe, ServerFacts
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

_CHUNKS = RerankRequest.__dataclass_fields__["max_chunks_per_doc"].default


class PineconeParameters(msgspec.Struct, forbid_unknown_fields=True):
    """Settings of single models."""

    truncate: Annotated[
        Literal["END", "NONE"] | None,
        Meta(
            description="NONE: refuse a document of which something would be cut. END: cut a query "
            "that is too long, too; absent: refuse that query."
        ),
    ] = None
    max_chunks_per_doc: Annotated[
        AtLeastOne | None, Meta(description="How many chunks of a document count.")
    ] = None


class PineconeBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[fields.Said, Meta(description=fields.WHAT_QUERY)]
    documents: Annotated[fields.Mixed, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    rank_fields: Annotated[
        list[str] | None, Meta(description='Keys of document objects to rank by; absent: "text".')
    ] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default true.")
    ] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    parameters: Annotated[
        PineconeParameters | None, Meta(description="Settings of single models.")
    ] = None


class PineconeResult(msgspec.Struct):
    """One ranked document."""

    index: int
    score: float
    document: Object | UnsetType = UNSET


class PineconeUsage(msgspec.Struct):
    """One unit for each 100 documents begun."""

    rerank_units: int


class PineconeAnswer(msgspec.Struct):
    """A ranking, best first."""

    model: str
    data: list[PineconeResult]
    usage: PineconeUsage


class PineconeErrorDetail(msgspec.Struct):
    """What went wrong."""

    code: str
    message: str


class PineconeError(msgspec.Struct):
    """What went wrong."""

    error: PineconeErrorDetail
    status: int


class PineconeParameter(msgspec.Struct):
    """One key of `parameters`."""

    parameter: str
    type: str
    value_type: str
    required: bool
    allowed_values: list[str] | None = None
    default: str | None = None


class PineconeModel(msgspec.Struct):
    """One served name."""

    model: str
    short_description: str
    type: str
    supported_parameters: list[PineconeParameter]
    modality: str
    max_sequence_length: int | None
    max_batch_size: int
    provider_name: str


class PineconeModels(msgspec.Struct):
    """All served names, the default first."""

    models: list[PineconeModel]


class _ReadResult(msgspec.Struct):
    index: int
    score: float


class _ReadAnswer(msgspec.Struct):
    model: str
    data: list[_ReadResult]


_HINTS = fields.HINTS | {"parameters": "Send truncate and max_chunks_per_doc, or leave it out."}
_CUTS = {True: "END", False: "NONE", None: None}
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A Pinecone body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, PineconeBody, _HINTS)
    rank_fields = fields.rank_fields_of(body.rank_fields)
    parameters = body.parameters or PineconeParameters()
    fields.at_most(body.documents, options, "documents")
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(
            [_plain(document) for document in body.documents], options, rank_fields=rank_fields
        ),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=True),
        truncation=parameters.truncate != "NONE",
        truncate_query=parameters.truncate == "END",
        max_chunks_per_doc=parameters.max_chunks_per_doc or _CHUNKS,
        rank_fields=rank_fields,
    )


def _plain(document: str | Object) -> str | Object:
    """`{"text": …}` alone is what Pinecone's client makes of a string."""
    text = document.get("text") if isinstance(document, dict) and len(document) == 1 else None
    return text if isinstance(text, str) else document


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking under `data`."""
    answer = PineconeAnswer(
        model=ranking.model,
        data=[
            PineconeResult(
                hit.index,
                hit.score,
                _echoed(request.documents[hit.index]) if request.return_documents else UNSET,
            )
            for hit in ranking.hits
        ],
        usage=PineconeUsage(-(-ranking.documents // 100)),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def _echoed(found: Content) -> Object:
    """A document as it was sent; a string as Pinecone's client would have sent it."""
    return {"text": found.value} if found.echo is None else dict(found.echo)


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`error` with a code of gRPC's names; an unknown model is a 404."""
    status = 404 if isinstance(error, UnknownModel) else error.status
    detail = PineconeErrorDetail(_CODES.get(status, "UNKNOWN"), error.message)
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(PineconeError(detail, status)),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for Pinecone. Raises InvalidRequest for what is not text."""
    calling.texts_of(request, "Pinecone")  # raises for what is not text
    parameters = {
        "truncate": _CUTS[calling.cut(request)],
        "max_chunks_per_doc": calling.changed(request.max_chunks_per_doc, _CHUNKS),
    }
    said = {name: value for name, value in parameters.items() if value is not None}
    return calling.post(
        "/rerank",
        {
            "model": request.model,
            "query": calling.as_text(request.query, "query", "Pinecone"),
            "documents": [
                {"text": sent} if isinstance(sent, str) and not request.rank_fields else sent
                for sent in calling.documents_of(request, ranked=True)
            ],
            "top_n": request.top_n,
            "rank_fields": request.rank_fields or None,
            "return_documents": request.return_documents,
            "parameters": said or None,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Pinecone's answer as a ranking; it counts units, not tokens."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.score) for result in found.data),
        model=found.model,
        input_tokens=None,
    )


def models(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """The model list."""
    listed = PineconeModels([_model(facts, found) for found in facts.models])
    return WireAnswer(status=200, body=msgspec.json.encode(listed))


def model(facts: ServerFacts, params: Mapping[str, str]) -> WireAnswer:
    """One model. Raises UnknownModel."""
    name = params["name"]
    for found in facts.models:
        if found.name == name:
            return WireAnswer(status=200, body=msgspec.json.encode(_model(facts, found)))
    raise UnknownModel(f"model: {name!r} is not served to this key.")


def _model(facts: ServerFacts, found: ModelFacts) -> PineconeModel:
    return PineconeModel(
        model=found.name,
        short_description=f"{found.root} on rerankd",
        type="rerank",
        supported_parameters=[
            PineconeParameter("truncate", "one_of", "string", False, ["END", "NONE"], "END"),
            PineconeParameter("max_chunks_per_doc", "any", "integer", False),
        ],
        modality="text",
        max_sequence_length=found.window_tokens,
        max_batch_size=facts.documents,
        provider_name="rerankd",
    )


DIALECT = Dialect(
    name="pinecone",
    prefix="pinecone",
    paths=("/rerank", "/v1/rerank"),
    marks=(Mark(paths=("/rerank",), header="x-pinecone-api-version"),),
    summary="Pinecone's rerank API.",
    body=PineconeBody,
    answer=PineconeAnswer,
    errors=dict.fromkeys(
        (400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), PineconeError
    ),
    key_headers=("api-key", "authorization"),
    parse=parse,
    render=render,
    render_error=render_error,
    probes=(
        Probe(paths=("/models",), summary="The model list.", answer=PineconeModels, render=models),
        Probe(paths=("/models/{name}",), summary="One model.", answer=PineconeModel, render=model),
    ),
    encode=encode,
    decode=decode,
    carries=frozenset(
        {
            "model",
            "top_n",
            "return_documents",
            "truncation",
            "truncate_query",
            "max_chunks_per_doc",
            "rank_fields",
        }
    ),
    implies={"return_documents": True},
    unsaid=calling.uncut,
    tells=frozenset({"model"}),
)
