"""Numbers as clients send them: 3.0 for 3, "3" where the provider takes it; none costs much."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

B = TypeVar("B")

WANTED = "Expected `int"  # what msgspec says of a value where an integer should be
_DIGITS = re.compile(r"\s*[+-]?[0-9]{1,15}(\.0*)?\s*")
_WHOLE = 1e15  # below it every whole number is a float of its own


def decode(raw: bytes, kind: type[B]) -> B:
    """As msgspec decodes; raises what it raises.

    Floats of no declared type go through Python's float(): msgspec's own takes up to 9 us for one
    of many digits and a large exponent, which is 12 s for a body of 32 MB.
    """
    return _decoder(kind).decode(raw)


def decode_mended(raw: bytes, kind: type[B], *, digits: bool) -> B:
    """As `decode`, with whole floats in the places of integers made integers.

    Args:
        raw: JSON.
        kind: a struct.
        digits: strings of digits as well.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: as msgspec.
    """
    body = _decoder(object).decode(raw)
    for path in _integers(kind):
        held: Any = body
        for key in path[:-1]:
            held = cast("dict[str, Any]", held).get(key) if isinstance(held, dict) else None
        if isinstance(held, dict) and path[-1] in held:
            held[path[-1]] = _whole(held[path[-1]], digits=digits)
    return msgspec.convert(body, kind)


def _whole(value: Any, *, digits: bool) -> Any:
    """The integer that a value is; the value when it is none."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    if digits and isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(float(value))
    return value


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, float_hook=_number)


def _number(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value


@functools.cache
def _integers(kind: type[msgspec.Struct]) -> tuple[tuple[str, ...], ...]:
    """The paths of a struct's integer fields, those of inner structs too."""
    return tuple(_paths(inspect.type_info(kind)))


def _paths(kind: inspect.Type) -> Iterator[tuple[str, ...]]:
    match kind:
        case inspect.Metadata():
            yield from _paths(kind.type)
        case inspect.UnionType():
            for option in kind.types:
                yield from _paths(option)
        case inspect.StructType():
            for field in kind.fields:
                yield from ((field.encode_name, *path) for path in _paths(field.type))
        case inspect.IntType():
            yield ()
        case _:
            return
