"""OpenAI's POST /v1/embeddings, as vLLM, Infinity and others have it too.

`input_type` and `truncate` are those of NVIDIA's NIM, which has the same form: OpenAI's own models
know no queries and documents. Source: OpenAI's OpenAPI document (openai/openai-openapi), package
openai 3.57.0, docs.nvidia.com/nim/nemo-retriever/text-embedding; read 2026-11-28.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import (
    InvalidRequest,
    QuotaExceeded,
    RateLimited,
    RerankError,
    UnknownModel,
)
from rerankd.dialects import embeddings, fields
from rerankd.dialects.base import Embedding, ParsedTexts
from rerankd.dialects.embeddings import DOCUMENT, NUMBER_BYTES, QUERY, Encoding, OpenAiEmbeddings
from rerankd.dialects.fields import AtLeastOne
from rerankd.dialects.openai_errors import OpenAiError, openai_error
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class OpenAiEmbeddingBody(msgspec.Struct):
    """Texts to embed."""

    input: Annotated[fields.Said | embeddings.Texts, Meta(description=embeddings.WHAT_INPUT)]
    model: Annotated[str | None, Meta(description=embeddings.WHAT_MODEL)] = None
    encoding_format: Annotated[Encoding | None, Meta(description=embeddings.WHAT_ENCODING)] = None
    dimensions: Annotated[AtLeastOne | None, Meta(description=embeddings.WHAT_DIMENSIONS)] = None
    input_type: Annotated[
        Literal["query", "passage", "document"] | None,
        Meta(description="NVIDIA's: which of the model's prompts; absent: its default."),
    ] = None
    truncate: Annotated[
        Literal["NONE", "START", "END"] | None,
        Meta(description="NVIDIA's: NONE refuses a text that is too long, START is refused."),
    ] = None
    user: Annotated[str | None, Meta(description="Not used.")] = None


_KINDS = {
    **dict.fromkeys((400, 401, 404, 408, 413), "invalid_request_error"),
    403: "permission_error",
    **dict.fromkeys((500, 502, 503, 504), "server_error"),
}


def parse(wire: WireRequest, options: Options) -> ParsedTexts:
    """An OpenAI body. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, OpenAiEmbeddingBody, embeddings.ENDS)
    fields.refuse(body.truncate == "START", "truncate", "only the end of a text is cut. Send END.")
    encoding: Encoding = body.encoding_format or "float"
    prompts = {None: (), "query": QUERY}.get(body.input_type, DOCUMENT)
    request = EmbedRequest(
        texts=embeddings.texts_of(body.input, options),
        model=body.model or None,
        prompts=prompts,
        dimensions=body.dimensions,
        truncation=body.truncate != "NONE",
    )
    return ParsedTexts(
        request=request,
        render=lambda embedded, _: embeddings.openai_list(embedded, encoding),
        number_bytes=NUMBER_BYTES[encoding],
    )


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """OpenAI's error: an unknown model is a 404.

    A used-up budget has OpenAI's code, and not its 429, which clients would send again.
    """
    status, code, message, kinds = error.status, None, None, _KINDS
    if isinstance(error, UnknownModel):
        status, code = 404, "model_not_found"
    elif status == 401:
        code, message = "invalid_api_key", "Incorrect API key provided."
    elif isinstance(error, QuotaExceeded):
        code, kinds = "insufficient_quota", {402: "insufficient_quota"}
    elif isinstance(error, RateLimited):
        code = "rate_limit_exceeded"
        kinds = {429: "tokens" if error.counts_tokens else "requests"}
    elif isinstance(error, InvalidRequest):
        code = error.fault if error.param else None
    return openai_error(error, status=status, kinds=kinds, code=code, message=message)


ERRORS: dict[int, Any] = dict.fromkeys(
    (400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), OpenAiError
)

DIALECT = Embedding(
    name="openai-embeddings",
    prefix="openai",
    paths=("/v1/embeddings", "/embeddings"),
    root=("/v1/embeddings", "/embeddings"),
    summary="OpenAI's embeddings API.",
    body=OpenAiEmbeddingBody,
    answer=OpenAiEmbeddings,
    errors=ERRORS,
    render_error=render_error,
    parse_body=parse,
)
