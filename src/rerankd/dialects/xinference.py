"""Xinference's POST /v1/rerank, and the probes that its client makes before it.

Its client sends every argument twice: by name, and in `kwargs`, a JSON string. Source: inference
7ecec16 (api/restful_api.py, types.py) and package xinference-client 4.1.0, read 2026-11-21; package
xinference 4.1.0 (tests/servers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, Overloaded, RerankError, UnknownModel
from rerankd.core.facts import ModelFacts
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, fields, json_numbers
from rerankd.dialects.base import Dialect, Mark, Probe, ServerFacts
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.json_size import count_values
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

_CHUNKS = RerankRequest.__dataclass_fields__["max_chunks_per_doc"].default
Said = Annotated[str, Meta(min_length=1)]


class XinferenceBody(msgspec.Struct):
    """A rerank request."""

    query: Annotated[str | Object, Meta(description=fields.WHAT_ANY_QUERY)]
    documents: Annotated[fields.Mixed, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None
    max_chunks_per_doc: Annotated[
        AtLeastOne | None, Meta(description="How many chunks of a document count.")
    ] = None
    return_documents: Annotated[
        YesNo | None, Meta(description="Echo the documents, default false.")
    ] = None
    return_len: Annotated[
        YesNo | None, Meta(description="Read; token counts are always in the answer.")
    ] = None
    instruction: Annotated[Said | None, Meta(description="For the models that take one.")] = None
    kwargs: Annotated[
        str | None,
        Meta(description='The same arguments again, as JSON in a string; may add "instruction".'),
    ] = None


class XinferenceResult(msgspec.Struct):
    """One ranked document; null when it was not asked for."""

    index: int
    relevance_score: float
    document: Object | None = None


class XinferenceTokens(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    input_tokens: int | None
    output_tokens: int


class XinferenceMeta(msgspec.Struct):
    """Counts, and what the caller should know of this answer."""

    api_version: None
    billed_units: None
    tokens: XinferenceTokens | None
    warnings: list[str] | None


class XinferenceAnswer(msgspec.Struct):
    """A ranking, best first."""

    id: str
    results: list[XinferenceResult]
    meta: XinferenceMeta


class XinferenceError(msgspec.Struct):
    """What went wrong."""

    detail: str


class XinferenceModel(msgspec.Struct):
    """One served name."""

    id: str
    object: str
    created: int
    owned_by: str
    model_type: str
    model_name: str
    max_tokens: int | None


class XinferenceModels(msgspec.Struct):
    """All served names, the default first."""

    object: str
    data: list[XinferenceModel]


class XinferenceAuth(msgspec.Struct):
    """Whether the client shall send its key: with false it never does."""

    auth: bool


class _ReadResult(msgspec.Struct):
    index: int
    relevance_score: float


class _ReadAnswer(msgspec.Struct):
    results: list[_ReadResult]
    meta: XinferenceMeta | None = None


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """An Xinference body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, XinferenceBody, fields.HINTS, as_pydantic=True)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query, may_be_empty=True),
        truncate_query=True,
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        instruction=fields.first(body.instruction, _instruction(body, options)),
        return_documents=fields.echo(body.return_documents, options, default=False),
        max_chunks_per_doc=body.max_chunks_per_doc or _CHUNKS,
    )


def _instruction(body: XinferenceBody, options: Options) -> str | None:
    """What `kwargs` adds: an instruction. Its client sends all of it as fields of the body too.

    Raises:
        InvalidRequest: it is no object, or says something that no field of the body says.
    """
    if not body.kwargs:
        return None
    raw = body.kwargs.encode()
    if options.json_values is not None:
        count_values(raw, options.json_values)
    try:
        found: Any = json_numbers.decode(raw, object)
        if not isinstance(found, dict):
            raise InvalidRequest("kwargs: a string with a JSON object is expected.", param="kwargs")
        said = {key: value for key, value in cast("Object", found).items() if value is not None}
        instruction = said.pop("instruction", None)
        unsaid = [key for key, value in said.items() if getattr(body, key, None) != value]
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(
            "kwargs: a string with a JSON object is expected.", param="kwargs"
        ) from None
    if unsaid:
        raise InvalidRequest(
            f"kwargs: {fields.shown(unsaid[0])!r} is not supported here. Send it as a field, if it "
            "is one.",
            param="kwargs",
        )
    if not (instruction is None or (isinstance(instruction, str) and instruction)):
        raise InvalidRequest("kwargs: instruction: a non-empty string is expected.", param="kwargs")
    return instruction


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking, with documents as objects or null."""
    answer = XinferenceAnswer(
        id=envelope.uuid,
        results=[
            XinferenceResult(
                hit.index,
                hit.score,
                fields.echoed(request.documents[hit.index]) if request.return_documents else None,
            )
            for hit in ranking.hits
        ],
        meta=XinferenceMeta(
            None, None, XinferenceTokens(ranking.input_tokens, 0), list(ranking.warnings) or None
        ),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """`detail`, which the client shows; a full queue is a 429, an unknown model a 404."""
    status = 429 if isinstance(error, Overloaded) else error.status
    status = 404 if isinstance(error, UnknownModel) else status
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(XinferenceError(error.message)),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for Xinference."""
    return calling.post(
        "/v1/rerank",
        {
            "model": request.model,
            "query": calling.as_sent(request.query),
            "documents": calling.documents_of(request),
            "top_n": request.top_n,
            "instruction": request.instruction,
            "return_documents": request.return_documents,
            "max_chunks_per_doc": calling.changed(request.max_chunks_per_doc, _CHUNKS),
            "return_len": True,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """Xinference's answer as a ranking; it names no model."""
    found = msgspec.json.decode(answer.body, type=_ReadAnswer)
    tokens = found.meta.tokens if found.meta else None
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        input_tokens=tokens.input_tokens if tokens else None,
        warnings=tuple(found.meta.warnings or ()) if found.meta else (),
    )


def models(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """The model list."""
    listed = XinferenceModels("list", [_model(facts, model) for model in facts.models])
    return WireAnswer(status=200, body=msgspec.json.encode(listed))


def model(facts: ServerFacts, params: Mapping[str, str]) -> WireAnswer:
    """One model, which the client asks what it can do. Raises InvalidRequest: here it is a 400."""
    name = params["name"]
    for found in facts.models:
        if found.name == name:
            return WireAnswer(status=200, body=msgspec.json.encode(_model(facts, found)))
    raise InvalidRequest(f"model: {name!r} is not served to this key.", param="model")


def auth(facts: ServerFacts, _: Mapping[str, str]) -> WireAnswer:
    """True, with keys or without: the client sends the key that it has only then."""
    return WireAnswer(status=200, body=msgspec.json.encode(XinferenceAuth(auth=True)))


def _model(facts: ServerFacts, found: ModelFacts) -> XinferenceModel:
    return XinferenceModel(
        found.name, "model", facts.created, "rerankd", "rerank", found.root, found.window_tokens
    )


_ROOT = ("/v1/rerank",)

DIALECT = Dialect(
    name="xinference",
    prefix="xinference",
    paths=("/v1/rerank", "/rerank"),
    marks=(
        Mark(paths=_ROOT, keys=frozenset({"return_len"})),
        Mark(paths=_ROOT, keys=frozenset({"kwargs"})),
    ),
    summary="Xinference's rerank API.",
    body=XinferenceBody,
    answer=XinferenceAnswer,
    any_content_type=True,
    errors=dict.fromkeys(
        (400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), XinferenceError
    ),
    parse=parse,
    render=render,
    render_error=render_error,
    probes=(
        Probe(
            paths=("/v1/models",),
            summary="The model list.",
            answer=XinferenceModels,
            render=models,
        ),
        Probe(
            paths=("/v1/models/{name}",),
            summary="One model.",
            answer=XinferenceModel,
            render=model,
        ),
        Probe(
            paths=("/v1/cluster/auth",),
            root=("/v1/cluster/auth",),
            summary="Whether the client shall send its key.",
            answer=XinferenceAuth,
            render=auth,
            public=True,
        ),
    ),
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n", "instruction", "return_documents", "max_chunks_per_doc"}),
    implies={"return_documents": False, "truncate_query": True},
    tells=frozenset({"input_tokens", "warnings"}),
    assumes={"truncate_query": True},
)
