"""Values as clients send them where another type belongs: 3.0 for 3, "3", 1 or "yes" for true."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from rerankd.dialects import json_numbers

B = TypeVar("B")
Path = tuple[str, ...]

_WANTED = ("Expected `int", "Expected `bool", "Invalid enum value")  # in msgspec's sentence
_DIGITS = re.compile(r"\s*[+-]?[0-9]{1,15}(\.0*)?\s*")
_WHOLE = 1e15  # below it every whole number is a float of its own
_YES, _NO = ("1", "on", "t", "true", "y", "yes"), ("0", "off", "f", "false", "n", "no")
_WORDS: dict[str, bool] = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}  # in any case


def may_mend(message: str, *, as_pydantic: bool) -> bool:
    """Whether what msgspec says of a body may be one of these."""
    return any(wanted in message for wanted in (_WANTED if as_pydantic else _WANTED[:1]))


def decode(raw: bytes, kind: type[B], *, digits: bool, booleans_too: bool) -> B:
    """JSON as a struct, with whole floats in the places of integers made integers.

    Args:
        raw: JSON.
        kind: a struct.
        digits: strings of digits as well.
        booleans_too: what pydantic takes for a boolean as well.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: as msgspec.
    """
    body = json_numbers.decode(raw, object)
    for path, is_integer in _places(kind):
        held: Any = body
        for key in path[:-1]:
            held = cast("dict[str, Any]", held).get(key) if isinstance(held, dict) else None
        if not (isinstance(held, dict) and path[-1] in held):
            continue
        if is_integer:
            held[path[-1]] = _whole(held[path[-1]], digits=digits)
        elif booleans_too:
            held[path[-1]] = _boolean(held[path[-1]])
    return msgspec.convert(body, kind)


def _whole(value: Any, *, digits: bool) -> Any:
    """The integer that a value is; the value when it is none."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    if digits and isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(float(value))
    return value


def _boolean(value: Any) -> Any:
    """The boolean that a value is; the value when it is none."""
    if isinstance(value, str):
        return _WORDS.get(value.lower(), value)
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else value


@functools.cache
def booleans(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The names of a struct's booleans, as errors write them."""
    return frozenset(".".join(path) for path, is_integer in _places(kind) if not is_integer)


@functools.cache
def _places(kind: type[msgspec.Struct]) -> tuple[tuple[Path, bool], ...]:
    """The paths of a struct's integers (True) and booleans, those of inner structs too."""
    return tuple(_paths(inspect.type_info(kind)))


def _paths(kind: inspect.Type) -> Iterator[tuple[Path, bool]]:
    match kind:
        case inspect.Metadata():
            yield from _paths(kind.type)
        case inspect.UnionType():
            for option in kind.types:
                yield from _paths(option)
        case inspect.StructType():
            for field in kind.fields:
                for path, is_integer in _paths(field.type):
                    yield (field.encode_name, *path), is_integer
        case inspect.IntType():
            yield (), True
        case inspect.BoolType():
            yield (), False
        case _:
            return
