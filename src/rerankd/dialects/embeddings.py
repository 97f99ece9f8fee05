"""What the formats of embeddings share: their texts, their vectors, and OpenAI's form of answer.

Numbers are written with all digits that a float32 has, so that a vector as numbers and as base64 is
the same.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.core.embedding import Embedded
from rerankd.core.errors import InvalidRequest, too_many_texts
from rerankd.core.rows import Vectors
from rerankd.dialects import fields
from rerankd.dialects.wire import Options, WireAnswer

Encoding = Literal["float", "base64"]
Texts = Annotated[list[fields.Said], Meta(extra_json_schema={"minItems": 1})]

# Bytes of one number: -1.2345678901234567e-10 and a comma, or a third more than four.
NUMBER_BYTES: Final = {"float": 24, "base64": 6}
QUERY: Final = ("query",)
DOCUMENT: Final = ("document", "passage", "corpus")  # as sentence-transformers looks for it

WHAT_INPUT = "A text, or a list of at least 1; token ids are refused."
WHAT_MODEL = "Absent: the server's first model that embeds."
WHAT_DIMENSIONS = "Only the first so many numbers of each vector, brought to length 1 again."
WHAT_ENCODING = '"float" (default), or "base64" of little-endian float32.'

_NO_IDS = (
    "Send texts: token ids are of another model's tokenizer (LangChain: "
    "check_embedding_ctx_length=False)."
)
HINTS = {
    **fields.HINTS,
    "input": _NO_IDS,
    "inputs": _NO_IDS,
    "texts": "Send a list of at least one string.",
    "dimensions": "Leave it out for whole vectors.",
    "output_dimension": "Leave it out for whole vectors.",
    "model": "GET /v1/models lists what is served; leave it out for the first that embeds.",
    "encoding_format": 'Send "float" or "base64", or leave it out.',
    "embedding_type": 'Send "float" or "base64", or leave it out.',
    "embedding_types": 'Send ["float"] or ["base64"], or leave it out.',
    "input_type": "Leave it out for the model's default prompt.",
    "task": "Leave it out for the model's default prompt.",
    "prompt_name": "Leave it out for the model's default prompt.",
    "normalize": "Send true or false, or leave it out.",
    "normalized": "Send true or false, or leave it out.",
    "user": "Send a string, or leave it out.",
}
# Of the formats whose `truncate` says which end is cut.
ENDS = {**HINTS, "truncate": "Send END or NONE, or leave it out."}


class OpenAiVector(msgspec.Struct):
    """One text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str  # base64 of little-endian float32


class OpenAiTokens(msgspec.Struct):
    """Exact counts of the model's own tokenizer, prompts and special tokens included."""

    prompt_tokens: int
    total_tokens: int


class OpenAiEmbeddings(msgspec.Struct):
    """Vectors, in the order of the texts."""

    object: Literal["list"]
    data: list[OpenAiVector]
    model: str
    usage: OpenAiTokens


class _Vector(msgspec.Struct):
    """OpenAiVector whose vector is JSON already."""

    object: str
    index: int
    embedding: msgspec.Raw


class _Vectors(msgspec.Struct):
    object: str
    data: list[_Vector]
    model: str
    usage: msgspec.Struct


def texts_of(value: str | Sequence[str], options: Options, name: str = "input") -> tuple[str, ...]:
    """The texts, counted before any is looked at; `name` is the field's name for errors.

    Raises:
        InvalidRequest: none, too many, or an empty one.
    """
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not texts:
        raise InvalidRequest(
            f"{name}: at least 1 text is needed. {HINTS[name]}", param=name, fault="too_short"
        )
    if options.documents is not None and len(texts) > options.documents:
        raise too_many_texts(len(texts), options.documents, name)
    for i, text in enumerate(texts):
        if not text:
            where = name if isinstance(value, str) else f"{name}[{i}]"
            raise InvalidRequest(
                f"{where}: at least 1 character is needed. Leave the text out, or send a blank.",
                param=where,
                fault="string_too_short",
            )
    return texts


def written(vectors: Vectors, encoding: Encoding) -> list[msgspec.Raw]:
    """Each vector as JSON: one at a time, since Python's floats take eight times as much."""
    if encoding == "float":
        return [msgspec.Raw(msgspec.json.encode(row.tolist())) for row in vectors]
    whole = vectors.astype("<f4", copy=False)
    return [msgspec.Raw(b'"' + base64.b64encode(row.tobytes()) + b'"') for row in whole]


def openai_list(
    embedded: Embedded, encoding: Encoding, usage: msgspec.Struct | None = None
) -> WireAnswer:
    """The answer in OpenAI's form; `usage` instead of OpenAI's."""
    tokens = embedded.input_tokens
    vectors = enumerate(written(embedded.vectors, encoding))
    answer = _Vectors(
        "list",
        [_Vector("embedding", i, vector) for i, vector in vectors],
        embedded.model,
        usage or OpenAiTokens(tokens, tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))
