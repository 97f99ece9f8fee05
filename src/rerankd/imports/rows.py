"""Exports of other programs as rows: JSON, one object per line, or CSV with a line of names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from rerankd.core.errors import StartError

Row = dict[str, Any]

MOST_ROWS: Final = 1_000_000
# Where the answers of new-api's and LiteLLM's HTTP have their rows: {"data": {"items": […]}} etc.
_LISTS: Final = ("data", "items", "keys", "tokens", "channels", "models", "model_list")


def rows(text: str, path: str) -> list[Row]:
    """The rows of an export; a plain string in a list becomes {"token": …}.

    Args:
        text: of the file.
        path: named in errors.

    Raises:
        StartError: it is none of the three, or too large.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise StartError(f"{path} is empty.")
    try:
        found = list(_json(start) if start[0] in "[{" else _csv(start))
    except (msgspec.DecodeError, csv.Error, RecursionError) as error:
        raise StartError(
            f"{path} is not JSON, nor JSON by line, nor CSV with names in its first line: {error}."
        ) from None
    if len(found) > MOST_ROWS:
        raise StartError(f"{path} has more than {MOST_ROWS} rows: import it in parts.")
    return found


def words(value: object) -> list[str]:
    """A list that came as JSON, as PostgreSQL's {a,b}, or with commas."""
    if isinstance(value, list):
        return [str(each) for each in cast("list[object]", value)]
    text = str(value or "").strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            return [str(each) for each in msgspec.json.decode(text, type=list[Any])]
        except msgspec.DecodeError:
            pass
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return [word for word in (part.strip().strip('"') for part in text.split(",")) if word]


def number(value: object) -> int | None:
    """A whole number above 0; None = none, which 0 and -1 mean as well."""
    if isinstance(value, bool) or value in (None, ""):
        return None
    try:
        found = int(float(str(value)))
    except (ValueError, OverflowError):
        return None
    return found if found > 0 else None


def flag(value: object) -> bool:
    """Whether a flag is set, in any spelling."""
    return str(value).strip().lower() in ("true", "t", "1", "yes")


def text_of(value: object) -> str:
    """A text; "" = none."""
    return "" if value is None or value == "NULL" else str(value).strip()


def _json(text: str) -> Iterator[Row]:
    try:
        whole = msgspec.json.decode(text)
    except msgspec.DecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        whole = [msgspec.json.decode(line) for line in lines]
    for each in _listed(whole):
        yield cast("Row", each) if isinstance(each, dict) else {"token": each}


def _listed(found: object) -> list[object]:
    """The list inside an answer; an object without one is a row itself."""
    if isinstance(found, list):
        return cast("list[object]", found)
    inner = cast("Row", found)
    for name in _LISTS:
        if isinstance(inner.get(name), (list, dict)):
            return _listed(inner[name])
    return [found]


def _csv(text: str) -> Iterator[Row]:
    csv.field_size_limit(1_000_000)
    for row in csv.DictReader(io.StringIO(text), strict=True):
        if None in row:
            raise csv.Error("a line has more values than the first one has names")
        yield dict(row)
