"""Text Embeddings Inference: POST /embed, and its /v1/embeddings.

/embed answers with a bare array of vectors and its counts in headers. Source:
text-embeddings-inference 0d124dc (v1.9.3), router/src/http/{types,server}.rs; read 2026-11-28.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from rerankd.core.embedding import Embedded, EmbedRequest
from rerankd.core.errors import RerankError
from rerankd.dialects import embeddings, fields, tei
from rerankd.dialects.base import Embedding, ParsedTexts
from rerankd.dialects.embeddings import NUMBER_BYTES, Encoding, OpenAiEmbeddings
from rerankd.dialects.fields import AtLeastOne, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class TeiEmbedBody(msgspec.Struct):
    """Texts to embed."""

    inputs: Annotated[fields.Said | embeddings.Texts, Meta(description=embeddings.WHAT_INPUT)]
    truncate: Annotated[
        YesNo | None, Meta(description="false: refuse a text that would be cut.")
    ] = None
    truncation_direction: tei.Direction = None
    prompt_name: Annotated[
        str | None, Meta(description="One of the model's prompts; absent: its default.")
    ] = None
    normalize: Annotated[
        YesNo | None, Meta(description="false: vectors as they are before they get length 1.")
    ] = None
    dimensions: Annotated[AtLeastOne | None, Meta(description=embeddings.WHAT_DIMENSIONS)] = None


class TeiOpenAiBody(msgspec.Struct):
    """Texts to embed, in OpenAI's form."""

    input: Annotated[fields.Said | embeddings.Texts, Meta(description=embeddings.WHAT_INPUT)]
    model: Annotated[str | None, Meta(description=embeddings.WHAT_MODEL)] = None
    encoding_format: Annotated[Encoding | None, Meta(description=embeddings.WHAT_ENCODING)] = None
    dimensions: Annotated[AtLeastOne | None, Meta(description=embeddings.WHAT_DIMENSIONS)] = None
    user: Annotated[str | None, Meta(description="Not used.")] = None


class TeiOpenAiError(msgspec.Struct):
    """What went wrong."""

    message: str
    code: int
    type: str


def parse(wire: WireRequest, options: Options) -> ParsedTexts:
    """A body of /embed. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, TeiEmbedBody, embeddings.HINTS)
    tei.check_direction(body.truncation_direction)
    if not body.inputs:
        raise tei.NoTexts("`inputs` cannot be empty", param="inputs")
    request = EmbedRequest(
        texts=embeddings.texts_of(body.inputs, options, "inputs"),
        field="inputs",
        prompts=() if body.prompt_name is None else (body.prompt_name,),
        needs_prompt=True,
        dimensions=body.dimensions,
        is_unit=fields.yes(body.normalize, default=True),
        truncation=fields.yes(body.truncate, default=True),
    )

    def render(embedded: Embedded, envelope: Envelope) -> WireAnswer:
        vectors = embeddings.written(embedded.vectors, "float")
        characters = sum(map(len, request.texts))
        return WireAnswer(
            status=200,
            body=msgspec.json.encode(vectors),
            headers=tei.compute_headers(characters, embedded.input_tokens, envelope),
        )

    return ParsedTexts(request=request, render=render, number_bytes=NUMBER_BYTES["float"])


def parse_openai(wire: WireRequest, options: Options) -> ParsedTexts:
    """A body of /v1/embeddings, whose vectors always have length 1. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, TeiOpenAiBody, embeddings.HINTS)
    encoding: Encoding = body.encoding_format or "float"
    request = EmbedRequest(
        texts=embeddings.texts_of(body.input, options),
        model=body.model or None,
        dimensions=body.dimensions,
        is_unit=True,
    )
    return ParsedTexts(
        request=request,
        render=lambda embedded, _: embeddings.openai_list(embedded, encoding),
        number_bytes=NUMBER_BYTES[encoding],
    )


def render_openai_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """TEI's error, in its other form."""
    answer = tei.render_error(error, envelope, options)
    if not answer.body:
        return answer
    found = msgspec.json.decode(answer.body, type=tei.TeiError)
    body = TeiOpenAiError(found.error, answer.status, found.error_type)
    return WireAnswer(status=answer.status, body=msgspec.json.encode(body), headers=answer.headers)


EMBED = Embedding(
    name="tei-embed",
    prefix="tei",
    paths=("/embed",),
    root=("/embed",),
    summary="Text Embeddings Inference's embeddings.",
    body=TeiEmbedBody,
    answer=list[list[float]],
    errors=tei.RERANK.errors,
    render_error=tei.render_error,
    parse_body=parse,
)

OPENAI = Embedding(
    name="tei-openai",
    prefix="tei",
    paths=("/v1/embeddings", "/embeddings"),
    summary="Text Embeddings Inference's embeddings, in OpenAI's form.",
    body=TeiOpenAiBody,
    answer=OpenAiEmbeddings,
    errors={
        status: None if kind is None else TeiOpenAiError
        for status, kind in tei.RERANK.errors.items()
    },
    render_error=render_openai_error,
    parse_body=parse_openai,
)

DIALECTS = (EMBED, OPENAI)
