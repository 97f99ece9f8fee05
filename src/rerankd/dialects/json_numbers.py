"""Numbers as JSON writes them: none costs much to read."""

from __future__ import annotations

import functools
import math
from typing import Any, TypeVar

import msgspec

B = TypeVar("B")


def decode(raw: bytes, kind: type[B]) -> B:
    """As msgspec decodes; raises what it raises.

    Floats of no declared type go through Python's float(): msgspec's own takes up to 9 us for one
    of many digits and a large exponent, which is 12 s for a body of 32 MB.
    """
    return _decoder(kind).decode(raw)


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, float_hook=_number)


def _number(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value
