"""Half a character in a body: read as U+FFFD, and the caller is told where.

A text cut between the two halves of a surrogate pair (a JavaScript chunker's slice()) makes JSON
that strict decoders refuse whole. Only a body that was refused for that comes here.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn, cast

import msgspec

from rerankd.core.errors import InvalidRequest

SURROGATE = "surrogate"  # in msgspec's sentence of one
_LONE = re.compile("[\ud800-\udfff]")
_HIGH = re.compile(rb"\\u[dD][89abAB]")
_PAIR_BYTES = 12  # of both halves, as JSON writes them
_NAMED = 5  # places that a warning names
_DEPTH = 200


class LoneSurrogate(InvalidRequest):
    """The body has half a surrogate pair, or bytes that are not UTF-8."""


def is_half_at_end(reason: str, raw: bytes) -> bool:
    """Whether msgspec missed the other half of a pair because the body ends before it could be."""
    return "truncated" in reason and _HIGH.search(raw[-_PAIR_BYTES:]) is not None


def mended(raw: bytes) -> tuple[bytes, str]:
    """The body with U+FFFD for every lone surrogate, and the sentence that says where.

    Raises:
        InvalidRequest: that is not (all) what is wrong with it.
    """
    try:
        text = raw.decode("utf-8-sig", "surrogatepass")
        body = json.loads(text, parse_float=_number, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: {error.reason}.") from None
    except RecursionError:
        raise InvalidRequest("The body is not valid JSON here: nested too deep.") from None
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
    found: list[str] = []
    body = _mended(body, "", found, _DEPTH)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return msgspec.json.encode(body), (
        f"{', '.join(found[:_NAMED])}{more}: half of a surrogate pair was read as U+FFFD. Cut "
        "texts between characters."
    )


def _mended(value: Any, name: str, found: list[str], levels: int) -> Any:
    """The value, mended; appends the names of the texts that needed it."""
    if levels == 0:
        raise InvalidRequest("The body is not valid JSON here: nested too deep.")
    if isinstance(value, str):
        return _text(value, name or "body", found)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_mended(one, f"{name}[{i}]", found, levels - 1) for i, one in enumerate(items)]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        dot = f"{name}." if name else ""
        return {
            _text(key, name or "body", found): _mended(one, f"{dot}{key[:40]}", found, levels - 1)
            for key, one in pairs
        }
    return value


def _text(value: str, name: str, found: list[str]) -> str:
    if value.isascii() or not _LONE.search(value):
        return value
    found.append(_LONE.sub("\ufffd", name))
    return _LONE.sub("\ufffd", value)


def _number(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError("number out of range")
    return value


def _no_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is no JSON")
