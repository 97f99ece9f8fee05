"""Cohere's POST /v2/embed and /v1/embed, of texts.

v1 answers with a bare list of vectors where no embedding_types are asked for. Source: Cohere's
OpenAPI document (cohere-developer-experience e814c8a), package cohere 7.3.1; read 2026-11-28.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.embedding import Embedded, EmbedRequest
from rerankd.dialects import cohere, embeddings, fields
from rerankd.dialects.base import Embedding, ParsedTexts
from rerankd.dialects.embeddings import DOCUMENT, NUMBER_BYTES, QUERY, Encoding
from rerankd.dialects.fields import AtLeastOne, Object
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

_InputType = Literal["search_document", "search_query", "classification", "clustering", "image"]
_Type = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
_WHAT_TYPES = "float (default), base64, or both; the others are refused."
_WHAT_TRUNCATE = "END (default) cuts, NONE refuses a text that is too long; START is refused."
_WHAT_INPUT_TYPE = "Which of the model's prompts; image is refused. Absent: its default."


class CohereEmbedV2Body(msgspec.Struct):
    """Texts to embed."""

    texts: Annotated[embeddings.Texts, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=embeddings.WHAT_MODEL)] = None
    input_type: Annotated[_InputType | None, Meta(description=_WHAT_INPUT_TYPE)] = None
    embedding_types: Annotated[list[_Type] | None, Meta(description=_WHAT_TYPES)] = None
    output_dimension: Annotated[AtLeastOne | None, Meta(description=embeddings.WHAT_DIMENSIONS)] = (
        None
    )
    truncate: Annotated[
        Literal["NONE", "START", "END"] | None, Meta(description=_WHAT_TRUNCATE)
    ] = None
    priority: Annotated[
        Annotated[int, Meta(ge=0, le=999)] | None,
        Meta(description="0 (default) is served first, among requests of the same key."),
    ] = None
    images: Annotated[list[str] | None, Meta(description="Refused.")] = None
    inputs: Annotated[list[Object] | None, Meta(description="Refused: send texts.")] = None
    max_tokens: Annotated[
        AtLeastOne | None,
        Meta(description="Of a text; more are cut, or refused, as truncate says."),
    ] = None


class CohereEmbedV1Body(msgspec.Struct):
    """Texts to embed."""

    texts: Annotated[embeddings.Texts, Meta(description="At least 1.")]
    model: Annotated[str | None, Meta(description=embeddings.WHAT_MODEL)] = None
    input_type: Annotated[_InputType | None, Meta(description=_WHAT_INPUT_TYPE)] = None
    embedding_types: Annotated[list[_Type] | None, Meta(description=_WHAT_TYPES)] = None
    truncate: Annotated[
        Literal["NONE", "START", "END"] | None, Meta(description=_WHAT_TRUNCATE)
    ] = None
    images: Annotated[list[str] | None, Meta(description="Refused.")] = None


class CohereEmbedUnits(msgspec.Struct):
    """What a request costs."""

    input_tokens: int


class CohereEmbedMeta(msgspec.Struct):
    """Version, tokens, and what the caller should know of this answer."""

    api_version: cohere.CohereVersion
    billed_units: CohereEmbedUnits
    tokens: CohereEmbedUnits
    warnings: list[str] | UnsetType = UNSET


class CohereVectors(msgspec.Struct):
    """Vectors by type, each in the order of the texts."""

    floats: list[list[float]] | UnsetType = msgspec.field(default=UNSET, name="float")
    base64: list[str] | UnsetType = UNSET


class CohereEmbedByType(msgspec.Struct):
    """Vectors of texts."""

    id: str
    embeddings: CohereVectors
    texts: list[str]
    meta: CohereEmbedMeta
    response_type: Literal["embeddings_by_type"]


class CohereEmbedV1Answer(msgspec.Struct):
    """Vectors of texts, by type where types were asked for."""

    id: str
    embeddings: list[list[float]] | CohereVectors
    texts: list[str]
    meta: CohereEmbedMeta
    response_type: Literal["embeddings_floats", "embeddings_by_type"]


class _Answer(msgspec.Struct):
    """Either answer, its vectors JSON already."""

    id: str
    embeddings: list[msgspec.Raw] | dict[str, list[msgspec.Raw]]
    texts: tuple[str, ...]
    meta: CohereEmbedMeta
    response_type: str


def parse_v2(wire: WireRequest, options: Options) -> ParsedTexts:
    """A v2 body. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, CohereEmbedV2Body, embeddings.ENDS)
    fields.refuse(body.inputs is not None, "inputs", "not supported here. Send texts.")
    request = replace(
        _request(body, options),
        dimensions=body.output_dimension,
        max_tokens=body.max_tokens,
        priority=body.priority or 0,
    )
    return _parsed("2", request, _encodings(body.embedding_types) or ("float",))


def parse_v1(wire: WireRequest, options: Options) -> ParsedTexts:
    """A v1 body. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, CohereEmbedV1Body, embeddings.ENDS)
    return _parsed("1", _request(body, options), _encodings(body.embedding_types))


def _request(body: CohereEmbedV1Body | CohereEmbedV2Body, options: Options) -> EmbedRequest:
    """What both have. Raises InvalidRequest."""
    fields.refuse(body.images, "images", "only texts are embedded here. Send texts.")
    fields.refuse(body.input_type == "image", "input_type", "only texts are embedded here.")
    fields.refuse(body.truncate == "START", "truncate", "only the end of a text is cut. Send END.")
    prompts = {None: (), "search_query": QUERY, "search_document": DOCUMENT}
    return EmbedRequest(
        texts=embeddings.texts_of(body.texts, options, "texts"),
        field="texts",
        model=body.model or None,
        prompts=prompts.get(body.input_type, (body.input_type or "",)),
        truncation=body.truncate != "NONE",
    )


def _encodings(types: list[_Type] | None) -> tuple[Encoding, ...]:
    """Those asked for, each once. Raises InvalidRequest."""
    found: dict[Encoding, None] = {}
    for kind in types or ():
        if kind not in ("float", "base64"):
            fields.refuse(
                True, "embedding_types", f"{kind} is not made here: float and base64 are."
            )
        else:
            found[kind] = None
    return tuple(found)


def _parsed(version: str, request: EmbedRequest, encodings: tuple[Encoding, ...]) -> ParsedTexts:
    """`encodings` of none: v1's bare list of vectors."""

    def render(embedded: Embedded, envelope: Envelope) -> WireAnswer:
        tokens = CohereEmbedUnits(embedded.input_tokens)
        vectors = embedded.vectors
        by_type = {kind: embeddings.written(vectors, kind) for kind in encodings}
        answer = _Answer(
            id=envelope.uuid,
            embeddings=by_type or embeddings.written(vectors, "float"),
            texts=request.texts,
            meta=CohereEmbedMeta(
                api_version=cohere.CohereVersion(version),
                billed_units=tokens,
                tokens=tokens,
                warnings=list(embedded.warnings) or UNSET,
            ),
            response_type="embeddings_by_type" if by_type else "embeddings_floats",
        )
        return WireAnswer(status=200, body=msgspec.json.encode(answer))

    size = sum(NUMBER_BYTES[kind] for kind in encodings or ("float",))
    return ParsedTexts(request=request, render=render, number_bytes=size, echoes=True)


V2 = Embedding(
    name="cohere-v2-embed",
    prefix="cohere",
    paths=("/v2/embed", "/embed"),
    root=("/v2/embed",),
    summary="Cohere's embed API, version 2, of texts.",
    body=CohereEmbedV2Body,
    answer=CohereEmbedByType,
    errors=cohere.V2.errors,
    render_error=cohere.render_error,
    parse_body=parse_v2,
)

V1 = Embedding(
    name="cohere-v1-embed",
    prefix="cohere",
    paths=("/v1/embed",),
    root=("/v1/embed",),
    summary="Cohere's embed API, version 1, of texts.",
    body=CohereEmbedV1Body,
    answer=CohereEmbedV1Answer,
    errors=cohere.V1.errors,
    render_error=cohere.render_error,
    parse_body=parse_v1,
)

DIALECTS = (V2, V1)
