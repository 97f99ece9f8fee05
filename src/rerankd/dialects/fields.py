"""Fields that dialects share: their types, how clients really fill them, how they become canonical.

null counts as absent and booleans may be "true"/"false" in every dialect: real clients send both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta

from rerankd.core.errors import InvalidRequest, too_many
from rerankd.core.request import Content, Modality
from rerankd.dialects import json_lax, json_numbers
from rerankd.dialects.json_mend import SURROGATE, LoneSurrogate, is_half_at_end
from rerankd.dialects.wire import Options

B = TypeVar("B")
V = TypeVar("V")

AtLeastOne = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
YesNo = bool | Literal["true", "false", "True", "False"]
Object = dict[str, Any]

# What the OpenAPI document says of length; `query_of` and `documents_of` hold it, in better words.
Said = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
Texts = Annotated[list[str], Meta(extra_json_schema={"minItems": 1})]
Mixed = Annotated[list[str | Object], Meta(extra_json_schema={"minItems": 1})]

WHAT_QUERY = "What is searched for, at least 1 character."
WHAT_ANY_QUERY = "What is searched for; may be empty."
WHAT_TOP = "How many results; absent: all documents."
WHAT_MODEL = "Absent: the server's default model."

HINTS = {
    "query": "Send a non-empty string.",
    "documents": "Send a list of at least one document.",
    "texts": "Send a list of at least one string.",
    "top_n": "Leave it out to rank all documents.",
    "top_k": "Leave it out to rank all documents.",
    "instruction": "Leave it out for the model's own instruction.",
    "max_chunks_per_doc": "Leave it out for the default, 1024; 1 scores only the first chunk.",
    "max_chunk_per_doc": "Leave it out for the default, 1024; 1 scores only the first chunk.",
    "overlap_tokens": "Send 0 to 80, or leave it out.",
    "return_documents": "Send true or false, or leave it out.",
    "return_text": "Send true or false, or leave it out.",
    "truncation": "Send true or false, or leave it out.",
    "truncate_query": "Send true or false, or leave it out.",
    "max_tokens_per_query": "Send 0, or leave it out, for the whole query.",
    "truncate": "Send true or false, or leave it out.",
    "raw_scores": "Send true or false, or leave it out.",
    "model": "GET /v1/models lists what is served; leave it out for the default model.",
}

_ECHO_DEPTH = 64  # levels of a document object
_RANK_FIELDS = 100
_SHOWN = 100  # characters of what a caller wrote, in a message
_REQUIRED = "this field is required"
_MODALITIES: tuple[Modality, ...] = ("image", "video", "text")


def first(*values: V | None) -> V | None:
    """The first that is not None: several spellings of one field."""
    for value in values:
        if value is not None:
            return value
    return None


def yes(value: YesNo | None, *, default: bool) -> bool:
    """A boolean as clients send it: true, "true", or null for the default."""
    if isinstance(value, str):
        return value.lower() == "true"
    return default if value is None else value


def echo(value: YesNo | None, options: Options, *, default: bool) -> bool:
    """Whether to echo documents: the caller's wish, else the operator's, else the dialect's."""
    return yes(value, default=first(options.return_documents, default) or False)


def query_of(
    value: str | Object, hint: str | None = None, *, may_be_empty: bool = False
) -> Content:
    """The query. Raises InvalidRequest when it is empty, unless it may be."""
    query = content(value, "query")
    if may_be_empty:
        return query
    if not query.value:
        raise InvalidRequest(
            f"query: at least 1 character is needed. {hint or HINTS['query']}",
            param="query",
            fault="string_too_short",
        )
    return query


def documents_of(
    values: str | Sequence[str | Object],
    options: Options,
    name: str = "documents",
    rank_fields: Sequence[str] = (),
) -> tuple[Content, ...]:
    """The documents, counted before any is looked at; `name` is the field's name for errors.

    Raises:
        InvalidRequest: none, too many, or one is wrong; names the document.
    """
    documents = [values] if isinstance(values, str) else values
    at_least_one(documents, name)
    at_most(documents, options, name)
    return tuple(
        [
            Content(value=document)
            if isinstance(document, str)
            else content(document, f"{name}[{i}]", rank_fields)
            for i, document in enumerate(documents)
        ]
    )


def at_least_one(documents: Sequence[object], name: str) -> None:
    """Raises InvalidRequest when there is no document; `name` is the field's name."""
    if not documents:
        raise InvalidRequest(
            f"{name}: at least 1 document is needed. {HINTS.get(name, '')}".strip(),
            param=name,
            fault="too_short",
        )


def at_most(documents: Sequence[object], options: Options, name: str) -> None:
    """Raises InvalidRequest when there are more documents or pairs than a request may have."""
    if options.documents is not None and len(documents) > options.documents:
        raise too_many(len(documents), options.documents, name)


def rank_fields_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The keys to rank by, each once: so that no document's text grows by them.

    Raises:
        InvalidRequest: too many, or one twice.
    """
    found = tuple(names or ())
    if len(found) > _RANK_FIELDS:
        raise InvalidRequest(
            f"rank_fields: {len(found)} were sent; the limit is {_RANK_FIELDS}. Send the keys that "
            "hold text to rank.",
            param="rank_fields",
        )
    for i, name in enumerate(found):
        refuse(name in found[:i], "rank_fields", f"names {shown(name)!r} twice. Send it once.")
    return found


def shown(text: str) -> str:
    """What a caller wrote, for a message: its start, when it is long."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def content(value: str | Mapping[str, Any], name: str, rank_fields: Sequence[str] = ()) -> Content:
    """A string or an object as Content; `name` is the field's name for errors."""
    if isinstance(value, str):
        return Content(value=value)
    if _deeper_than(value, _ECHO_DEPTH):
        raise InvalidRequest(f"{name}: nested deeper than {_ECHO_DEPTH}.", param=name)
    if rank_fields:
        return Content(value=_ranked_text(value, name, rank_fields), echo=value)
    present: list[Modality] = [kind for kind in _MODALITIES if value.get(kind) is not None]
    for modality in present:
        if not isinstance(value[modality], str):
            raise InvalidRequest(
                f"{name}.{modality}: expected a string.", param=f"{name}.{modality}"
            )
    # An empty one beside another says nothing: `{"text": "", "image": …}` is an image.
    said: list[Modality] = [kind for kind in present if value[kind]] or present[:1]
    if not said:
        raise InvalidRequest(
            f'{name}: an object needs "text", "image" or "video"; or name its keys in rank_fields.',
            param=name,
        )
    if len(said) > 1:
        raise InvalidRequest(
            f"{name}: has {' and '.join(said)}; only one of them can be ranked. Send one.",
            param=name,
        )
    return Content(modality=said[0], value=value[said[0]], echo=value)


def echoed(found: Content) -> Object:
    """A document as an answer's object: as it was sent, `text` added where it has none."""
    if found.echo is None:
        return {"text": found.value}
    if found.modality == "text" and "text" not in found.echo:
        return {**found.echo, "text": found.value}
    return dict(found.echo)


def refuse(present: object, name: str, reason: str) -> None:
    """A field that cannot be honoured is a 400, never dropped.

    Raises:
        InvalidRequest: `present` is true.
    """
    if present:
        raise InvalidRequest(f"{name}: {reason}", param=name)


def _deeper_than(value: object, levels: int) -> bool:
    """Whether JSON nests deeper than what an answer echoes: level by level, each value once."""
    level = [value]
    for _ in range(levels):
        level = [child for found in level for child in _in(found)]
        if not level:
            return False
    return any(isinstance(found, (dict, list)) for found in level)


def _in(value: object) -> Iterable[object]:
    """The values of a JSON object or array; none of another value."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _ranked_text(value: Mapping[str, Any], name: str, rank_fields: Sequence[str]) -> str:
    """The named fields as text: one field as it is, several as "name: value" lines."""
    present = [(field, value[field]) for field in rank_fields if value.get(field) is not None]
    if not present:
        raise InvalidRequest(
            f"{name}: has none of the rank_fields {', '.join(map(shown, rank_fields))}.",
            param=name,
        )
    if len(present) == 1:
        return _as_text(present[0][1])
    return "\n".join(f"{field}: {_as_text(found)}" for field, found in present)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def decode_body(
    raw: bytes,
    kind: type[B],
    hints: Mapping[str, str],
    *,
    reads_digits: bool = False,
    as_pydantic: bool = False,
) -> B:
    """JSON bytes as a msgspec struct.

    Args:
        raw: the request body, unpacked.
        kind: the struct; unknown keys are ignored.
        hints: field name -> one sentence with the way out, added to the error of that field.
        reads_digits: whether "3" is 3; 3.0 is everywhere.
        as_pydantic: whether the provider's server reads bodies with pydantic, which takes "3" for
            3 and 1 or "yes" for true.

    Raises:
        InvalidRequest: not JSON, not UTF-8, a lone surrogate, NaN, nested too deep, a field
            missing, of the wrong type or out of range; the message names the field.
    """
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        try:
            return json_numbers.decode(raw, kind)
        except msgspec.ValidationError as error:
            if not json_lax.may_mend(str(error), as_pydantic=as_pydantic):
                raise
            digits = reads_digits or as_pydantic
            return json_lax.decode(raw, kind, digits=digits, booleans_too=as_pydantic)
    except msgspec.ValidationError as error:
        raise _explain(str(error), hints, json_lax.booleans(kind)) from None
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if SURROGATE in reason or is_half_at_end(reason, raw):
            raise LoneSurrogate(f"The body is not valid JSON: {reason}.") from None
        fault = "json_invalid" if raw.strip() else "missing"
        raise InvalidRequest(f"The body is not valid JSON: {reason}.", fault=fault) from None
    except UnicodeDecodeError as error:
        raise LoneSurrogate(f"The body is not UTF-8: {error.reason}.") from None
    except RecursionError:
        raise InvalidRequest(
            "The body is not valid JSON here: nested too deep.", fault="json_invalid"
        ) from None


def _explain(message: str, hints: Mapping[str, str], booleans: frozenset[str]) -> InvalidRequest:
    """msgspec's message as a sentence that starts with the field."""
    text, _, path = message.rpartition(" - at `$")
    name = path.rstrip("`").lstrip(".")
    if not text:
        text, missing = message, re.search(r"required field `(\w+)`", message)
        name = missing[1] if missing else ""
        if missing:
            text = _REQUIRED
    fault = _fault(text, named=bool(name), is_boolean=name in booleans)
    text = text.replace("`", "").replace(" | null", "").replace("str", "string", 1)
    hint = hints.get(name.split("[")[0].split(".")[0], "")
    sentence = f"{name}: {text[0].lower()}{text[1:]}." if name else f"The body: {text}."
    return InvalidRequest(f"{sentence} {hint}".strip(), param=name or None, fault=fault)


def _fault(text: str, *, named: bool, is_boolean: bool) -> str:
    """pydantic's word for what msgspec says of a value: `Expected `str`, got `int``."""
    wanted, got = [*re.findall(r"`(\w+)", text), "", ""][:2]
    of_type = {
        "str": "string_type",
        "array": "list_type",
        "float": "float_type",
        "int": {"str": "int_parsing", "float": "int_from_float"}.get(got, "int_type"),
        "object": "dict_type" if named else "model_attributes_type",
    }
    rules = (
        (text == _REQUIRED, "missing"),
        (">" in text, "greater_than"),
        ("<" in text, "less_than_equal"),
        (is_boolean, "bool_type" if got in ("array", "object") else "bool_parsing"),
        (text.startswith("Invalid enum value"), "literal_error"),
    )
    return next((word for holds, word in rules if holds), of_type.get(wanted, "value_error"))
