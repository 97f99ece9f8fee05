"""Voyage AI's POST /v1/embeddings.

Source: docs.voyageai.com/reference/embeddings-api, package voyageai 0.5.0; read 2026-11-28.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.embedding import EmbedRequest
from rerankd.dialects import embeddings, fields, voyage
from rerankd.dialects.base import Embedding, Mark, ParsedTexts
from rerankd.dialects.embeddings import DOCUMENT, NUMBER_BYTES, QUERY, Encoding, OpenAiVector
from rerankd.dialects.fields import AtLeastOne, YesNo
from rerankd.dialects.wire import Options, WireRequest


class VoyageEmbeddingBody(msgspec.Struct):
    """Texts to embed."""

    input: Annotated[fields.Said | embeddings.Texts, Meta(description=embeddings.WHAT_INPUT)]
    model: Annotated[str | None, Meta(description=embeddings.WHAT_MODEL)] = None
    input_type: Annotated[
        Literal["query", "document"] | None,
        Meta(description="Which of the model's prompts; absent: its default."),
    ] = None
    truncation: Annotated[
        YesNo | None, Meta(description="false: refuse a text that would be cut.")
    ] = None
    output_dimension: Annotated[AtLeastOne | None, Meta(description=embeddings.WHAT_DIMENSIONS)] = (
        None
    )
    output_dtype: Annotated[
        Literal["float", "int8", "uint8", "binary", "ubinary"] | None,
        Meta(description="float (default); the others are refused."),
    ] = None
    encoding_format: Annotated[
        Literal["base64"] | None, Meta(description="base64 of little-endian float32.")
    ] = None


class VoyageEmbeddingUsage(msgspec.Struct):
    """Exact count of the model's own tokenizer, prompts and special tokens included."""

    total_tokens: int


class VoyageEmbeddings(msgspec.Struct):
    """Vectors, in the order of the texts."""

    object: Literal["list"]
    data: list[OpenAiVector]
    model: str
    usage: VoyageEmbeddingUsage


def parse(wire: WireRequest, options: Options) -> ParsedTexts:
    """A Voyage body. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, VoyageEmbeddingBody, embeddings.HINTS)
    fields.refuse(
        body.output_dtype not in (None, "float"), "output_dtype", "only float here. Leave it out."
    )
    encoding: Encoding = body.encoding_format or "float"
    prompts = {None: (), "query": QUERY, "document": DOCUMENT}[body.input_type]
    request = EmbedRequest(
        texts=embeddings.texts_of(body.input, options),
        model=body.model or None,
        prompts=prompts,
        dimensions=body.output_dimension,
        truncation=fields.yes(body.truncation, default=True),
    )
    return ParsedTexts(
        request=request,
        render=lambda embedded, _: embeddings.openai_list(
            embedded, encoding, VoyageEmbeddingUsage(embedded.input_tokens)
        ),
        number_bytes=NUMBER_BYTES[encoding],
    )


_ROOT = ("/v1/embeddings",)

DIALECT = Embedding(
    name="voyage-embeddings",
    prefix="voyage",
    paths=("/v1/embeddings", "/embeddings"),
    marks=tuple(
        Mark(paths=_ROOT, keys=frozenset({key}))
        for key in ("truncation", "output_dimension", "output_dtype")
    ),
    summary="Voyage AI's embeddings API.",
    body=VoyageEmbeddingBody,
    answer=VoyageEmbeddings,
    errors=voyage.DIALECT.errors,
    render_error=voyage.render_error,
    parse_body=parse,
)
