"""What a call asks: body and query as structs without anything unknown, and cursors."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar, cast, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.errors import InvalidRequest

S = TypeVar("S", bound=msgspec.Struct)

PAGE: Final = 100
MOST_OF_A_PAGE: Final = 1_000
MOST_ID: Final = 2**53
_DIGITS: Final = 15  # of an id in a path

PageSize = Annotated[int, Meta(ge=1, le=MOST_OF_A_PAGE)]
Id = Annotated[int, Meta(ge=1, le=MOST_ID)]
Version = Annotated[int, Meta(ge=1, le=MOST_ID)]


class NoBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a call that has none: empty, or {}."""


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a call without parameters."""


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list."""

    limit: PageSize = PAGE
    cursor: str | None = None  # `next_cursor` of the page before


class VersionQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of what is there now; it must be that still."""

    version: Version | None = None


def body_of(raw: bytes, kind: type[S]) -> S:
    """JSON as a struct; an empty body is {}.

    Raises:
        InvalidRequest: not JSON, or a field is unknown, missing or of another type; names it.
    """
    try:
        found = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf") or b"{}", type=kind)
        if b"\\u0000" in raw:
            _check_nul(msgspec.json.decode(raw), "")
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise InvalidRequest(f"The body is not valid JSON: {reason}.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deep.") from None
    return found


def query_of(items: Iterable[tuple[str, str]], kind: type[S]) -> S:
    """Parameters as a struct; several of one name, also as `name[]`, where it takes a list.

    Raises:
        InvalidRequest: one is unknown, of another type, or there twice; names it.
    """
    lists = {each.name for each in msgspec.structs.fields(kind) if _is_list(each.type)}
    found: dict[str, Any] = {}
    for written, value in items:
        name = written.removesuffix("[]")
        if "\0" in value:
            raise InvalidRequest(f"{name}: has a character NUL.", param=name)
        if name in lists:
            cast("list[str]", found.setdefault(name, [])).append(value)
        elif written in found:
            raise InvalidRequest(f"{name}: was given twice.", param=name)
        else:
            found[written] = value
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def id_of(written: str) -> int | str:
    """What a path names: digits are an id, the rest a name."""
    if written.isascii() and written.isdecimal():
        return int(written) if len(written) <= _DIGITS else 0  # which nobody has
    return written


def cursor_of(place: object) -> str:
    """A place in a list, as the caller is to give it back."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: Any) -> Any:
    """The place that a cursor is. Raises InvalidRequest."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        place = None
    if place is None or not _is_kept(place):
        raise InvalidRequest(
            "cursor: is not one that this list gave: take next_cursor as it is.", param="cursor"
        )
    return place


def page(rows: list[Any], limit: int, places: Iterable[object]) -> dict[str, Any]:
    """A list's answer.

    Args:
        rows: one more than `limit`, if there is more.
        limit: of a page.
        places: of each row, for the cursor.
    """
    shown = rows[:limit]
    has_more = len(rows) > limit
    last = list(places)[limit - 1] if has_more else None
    return {
        "object": "list",
        "data": shown,
        "has_more": has_more,
        "next_cursor": cursor_of(last) if has_more else None,
    }


def given(value: Any) -> Any:
    """A value that may be left out; None = it was."""
    return None if isinstance(value, UnsetType) or value is UNSET else value


def _is_kept(place: object) -> bool:
    """Whether a database can hold the numbers of a place."""
    if isinstance(place, tuple):
        return all(map(_is_kept, cast("tuple[object, ...]", place)))
    return not isinstance(place, int) or abs(place) <= MOST_ID


def _is_list(kind: Any) -> bool:
    inner = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    return get_origin(inner) in (list, tuple)


def _check_nul(value: object, at: str) -> None:
    """Raises InvalidRequest: no database keeps it."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidRequest(f"{at}: has a character NUL.", param=at or None)
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            _check_nul(inner, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for place, inner in enumerate(cast("list[object]", value)):
            _check_nul(inner, f"{at}[{place}]")


def _explained(message: str) -> InvalidRequest:
    """msgspec's message as a sentence that starts with the field's path."""
    text, _, where = message.rpartition(" - at `$")
    path = where.rstrip("`").lstrip(".") if text else ""
    text = text or message
    if named := re.fullmatch(r"Object contains unknown field `(.*)`", text):
        path, text = _below(path, named[1]), "there is no such field"
    elif named := re.fullmatch(r"Object missing required field `(.*)`", text):
        path, text = _below(path, named[1]), "is required"
    text = text.replace("`", "").replace("str", "string").replace("object", "an object")
    text = text[0].lower() + text[1:]
    return InvalidRequest(f"{path or 'The body'}: {text}.", param=path or None)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
