"""An answer without what changes from run to run: types in place of texts, scores and times."""

from __future__ import annotations

import json
from typing import Any, cast

_KEPT = ("object", "type", "code", "loc", "model", "owned_by")  # what programs read
_INDEXED = 20  # results whose order is kept


def shape_of(
    status: int, content_type: str, body: bytes, *, ordered: bool = True
) -> dict[str, Any]:
    """`status`, `kind` of content, `body` as types, `order` of the results' indexes.

    Where the order says nothing (`ordered` False), `results` says how many there are.
    """
    kind = content_type.partition(";")[0].strip()
    try:
        value = json.loads(body)
    except ValueError:
        return {"status": status, "kind": kind, "body": "text" if body else "nothing"}
    found: dict[str, Any] = {"status": status, "kind": kind, "body": _types(value)}
    order = _order(value) if status == 200 else None
    if order is not None:
        found["order" if ordered else "results"] = order if ordered else len(order)
    return found


def alike(name: str, sides: dict[str, dict[str, Any]]) -> bool:
    """Whether both sides' shapes are equal, but for what the dialect's page says of all."""
    real, ours = (json.loads(json.dumps(sides[side])) for side in ("real", "rerankd"))
    if name == "xinference":  # null there unless asked for
        for side in (real, ours):
            if side["status"] == 200 and isinstance(side["body"], dict):
                side["body"].get("meta", {}).pop("tokens", None)
    return real == ours


def _types(value: Any, name: str = "") -> Any:
    if value is None or (name in _KEPT and isinstance(value, str | int)):
        return value
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if name == "loc":
            return items
        each = [_types(item) for item in items]
        return [one for i, one in enumerate(each) if one not in each[:i]]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: _types(one, key) for key, one in sorted(pairs)}
    return {str: "text", bool: "bool", int: "int", float: "float"}[type(value)]


def _order(value: Any) -> list[int] | None:
    """The indexes of the results, as they come; None where there are none or too many."""
    results = cast("dict[str, Any]", value).get("results") if isinstance(value, dict) else value
    if not isinstance(results, list):
        return None
    indexes = [
        cast("dict[str, Any]", hit).get("index") if isinstance(hit, dict) else None
        for hit in cast("list[Any]", results)
    ]
    if not 0 < len(indexes) <= _INDEXED or not all(isinstance(i, int) for i in indexes):
        return None
    return cast("list[int]", indexes)
