"""What a dialect is: pure functions between bytes and the canonical request and answer.

A dialect owns its paths, its fields with their ranges, and the look of its answers and errors.
Adding one is adding one file; nothing else asks which dialect a request speaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from rerankd.core.errors import InvalidRequest, RerankError
from rerankd.core.types import Ranking, RerankRequest

B = TypeVar("B")

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator decides for all dialects."""

    contact: str | None = None  # whom to ask for more, named in rate limit errors
    return_documents: bool | None = None  # None = each dialect's own default


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an answer carries beside the ranking."""

    request_id: str
    created: int  # unix time, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """A finished HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One provider's wire format.

    `parse` raises InvalidRequest naming the field; `render` and `render_error` never fail.
    `body` and `answer` are the msgspec types of the request and of the answer, for OpenAPI.
    """

    name: str
    paths: tuple[str, ...]
    summary: str
    body: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    errors: Mapping[int, Any]  # status -> msgspec type of the error body, for OpenAPI
    parse: Callable[[bytes, Options], RerankRequest]
    render: Callable[[RerankRequest, Ranking, Envelope], WireAnswer]
    render_error: Callable[[RerankError, Envelope, Options], WireAnswer]


def bearer(headers: Mapping[str, str]) -> bytes | None:
    """The key of `Authorization: Bearer KEY`, as the bytes that were sent; None when absent.

    Args:
        headers: lower-case names, latin-1 values as ASGI frameworks give them.
    """
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip().encode("latin-1") if scheme.lower() == "bearer" and value else None


def decode_body(raw: bytes, kind: type[B], hints: Mapping[str, str]) -> B:
    """JSON bytes as a msgspec struct.

    Args:
        raw: the request body, unpacked.
        kind: the struct; unknown keys are ignored.
        hints: field name -> one sentence with the way out, added to the error of that field.

    Raises:
        InvalidRequest: not JSON, not UTF-8, a lone surrogate, NaN, nested too deep, a field
            missing, of the wrong type or out of range; the message names the field.
    """
    try:
        return msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"), type=kind)
    except msgspec.ValidationError as error:
        raise _explain(str(error), hints) from None
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise InvalidRequest(f"The body is not valid JSON: {reason}.") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: {error.reason}.") from None
    except RecursionError:
        raise InvalidRequest("The body is not valid JSON here: nested too deep.") from None


def _explain(message: str, hints: Mapping[str, str]) -> InvalidRequest:
    """msgspec's message as a sentence that starts with the field."""
    text, _, path = message.rpartition(" - at `$")
    name = path.rstrip("`").lstrip(".")
    if not text:
        text, missing = message, re.search(r"required field `(\w+)`", message)
        name = missing[1] if missing else ""
        if missing:
            text = "this field is required"
    text = text.replace("`", "").replace(" | null", "").replace("str", "string", 1)
    hint = hints.get(name.split("[")[0].split(".")[0], "")
    sentence = f"{name}: {text[0].lower()}{text[1:]}." if name else f"The body: {text}."
    return InvalidRequest(f"{sentence} {hint}".strip(), param=name or None)
