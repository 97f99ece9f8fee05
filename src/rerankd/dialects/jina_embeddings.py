"""Jina AI's POST /v1/embeddings, of texts.

Source: Jina's OpenAPI document, version 2026.04.02 (as kept in tryAGI/Jina 2a3f424); read
2026-11-28.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import too_many_texts
from rerankd.dialects import embeddings, fields, jina
from rerankd.dialects.base import Embedding, Mark, ParsedTexts
from rerankd.dialects.embeddings import DOCUMENT, NUMBER_BYTES, QUERY, Encoding, OpenAiEmbeddings
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.wire import Options, WireRequest

_Type = Literal["float", "base64", "binary", "ubinary", "int8", "uint8"]


class JinaEmbeddingBody(msgspec.Struct):
    """Texts to embed."""

    input: Annotated[
        fields.Said | fields.Mixed, Meta(description='A text, or a list of at least 1; {"text"}.')
    ]
    model: Annotated[str | None, Meta(description=embeddings.WHAT_MODEL)] = None
    task: Annotated[
        str | None,
        Meta(
            description="retrieval.query, retrieval.passage, or the name of another of the model's "
            "prompts; absent: its default."
        ),
    ] = None
    dimensions: Annotated[AtLeastOne | None, Meta(description=embeddings.WHAT_DIMENSIONS)] = None
    normalized: Annotated[
        YesNo | None, Meta(description="true: vectors of length 1; else as the model has them.")
    ] = None
    embedding_type: Annotated[
        _Type | None, Meta(description="float (default) or base64; the others are refused.")
    ] = None
    truncate: Annotated[
        YesNo | None, Meta(description="false: refuse a text that would be cut.")
    ] = None
    late_chunking: Annotated[YesNo | None, Meta(description="true is refused.")] = None
    return_multivector: Annotated[YesNo | None, Meta(description="true is refused.")] = None


def parse(wire: WireRequest, options: Options) -> ParsedTexts:
    """A Jina body. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, JinaEmbeddingBody, embeddings.HINTS, as_pydantic=True)
    for name in ("late_chunking", "return_multivector"):
        fields.refuse(
            fields.yes(getattr(body, name), default=False), name, "not supported. Leave it out."
        )
    if body.embedding_type not in (None, "float", "base64"):
        fields.refuse(True, "embedding_type", "only float and base64 here. Leave it out.")
    encoding: Encoding = "base64" if body.embedding_type == "base64" else "float"
    request = EmbedRequest(
        texts=embeddings.texts_of(_texts(body.input, options), options),
        model=body.model or None,
        prompts=_prompts(body.task),
        dimensions=body.dimensions,
        is_unit=True if fields.yes(body.normalized, default=False) else None,
        truncation=fields.yes(body.truncate, default=True),
    )
    return ParsedTexts(
        request=request,
        render=lambda embedded, _: embeddings.openai_list(embedded, encoding),
        number_bytes=NUMBER_BYTES[encoding],
    )


def _texts(values: str | list[str | Object], options: Options) -> str | list[str]:
    """The texts of strings and objects. Raises InvalidRequest for what is not text."""
    if isinstance(values, str):
        return values
    if options.documents is not None and len(values) > options.documents:
        raise too_many_texts(len(values), options.documents, "input")
    found: list[str] = []
    for i, value in enumerate(values):
        content = fields.content(value, f"input[{i}]")
        fields.refuse(
            content.modality != "text",
            f"input[{i}]",
            "is no text, and only texts are embedded. Send strings.",
        )
        found.append(content.value)
    return found


def _prompts(task: str | None) -> tuple[str, ...]:
    """The names of prompts that a task may have."""
    if task is None:
        return ()
    known = {"retrieval.query": QUERY, "retrieval.passage": DOCUMENT}
    return (task, *known.get(task, ()))


_ROOT = ("/v1/embeddings",)

DIALECT = Embedding(
    name="jina-embeddings",
    prefix="jina",
    paths=("/v1/embeddings", "/embeddings"),
    marks=tuple(
        Mark(paths=_ROOT, keys=frozenset({key}))
        for key in ("task", "normalized", "embedding_type", "late_chunking")
    ),
    summary="Jina AI's embeddings API, of texts.",
    body=JinaEmbeddingBody,
    answer=OpenAiEmbeddings,
    errors=jina.DIALECT.errors,
    render_error=jina.render_error,
    parse_body=parse,
)
