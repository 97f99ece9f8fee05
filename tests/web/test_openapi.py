"""The OpenAPI document: all that is served is in it, and its answers are typed and required."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route

from rerankd.dialects.registry import SERVED
from rerankd.web.openapi import document
from tests.kit.support import running

DOCUMENT = document(SERVED, "0", needs_key=True)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
PAGES = {"/", "/docs", "/openapi.json"}  # about the API, not of it

# All that an answer may leave out: what nobody asked for, or what there is nothing to say of.
OPTIONAL = {
    "HealthReport": {"workers"},  # where there are some
    "UserData": {"balance", "chargeBalance", "totalBalance"},  # where money is limited
    "Result": {"document", "truncated", "stage"},
    "Chunk": {"image"},
    "ExplainedResult": {"document", "truncated", "stage"},
    "AnswerMeta": {"warnings", "listwise", "route"},
    "CohereMeta": {"warnings"},
    "CohereEmbedMeta": {"warnings"},
    "CohereVectors": {"float", "base64"},
    "JinaError": {"code", "errors"},
    "MixedbreadResult": {"input"},
    "TeiRank": {"text"},
    **dict.fromkeys(
        (
            "CohereResult",
            "DashScopeResult",
            "FireworksResult",
            "JinaResult",
            "LiteLlmResult",
            "PineconeResult",
            "SiliconFlowResult",
            "VoyageResult",
        ),
        frozenset({"document"}),
    ),
}


def nodes(node: Any, seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object below a node, through references, with the name of its component."""
    waiting: list[tuple[str, Any]] = [("", node)]
    while waiting:
        name, inner = waiting.pop()
        if isinstance(inner, dict):
            found: dict[str, Any] = inner  # pyright: ignore[reportUnknownVariableType] - JSON
            yield name, found
            target = str(found.get("$ref", "")).rpartition("/")[2]
            if target and target not in seen:
                seen.add(target)
                waiting.append((target, SCHEMAS[target]))
            waiting += [(name, child) for child in found.values()]
        elif isinstance(inner, list):
            waiting += [(name, child) for child in inner]  # pyright: ignore[reportUnknownVariableType] - JSON


def names(part: str) -> set[str]:
    """The components that requests ("requestBody") or answers ("responses") are made of."""
    seen: set[str] = set()
    for _, _, operation in OPERATIONS:
        list(nodes(operation.get(part), seen))
    return seen


async def test_every_route_is_in_the_document() -> None:
    async with running() as (client, _):
        transport: Any = client._transport  # pyright: ignore[reportPrivateUsage] - the app in it
        served = {
            (re.sub(r":path\}", "}", route.path), method.lower())
            for route in transport.app.app.routes
            if isinstance(route, Route) and route.path not in PAGES
            for method in route.methods or {"POST"}
            if method != "HEAD"
        }
    described = {(path, method) for path, method, _ in OPERATIONS}
    twins = {(path + "/", method) for path, method in described}  # with a slash at the end
    assert described <= served
    assert served <= described | twins


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_requests_and_answers_share_no_schema() -> None:
    assert names("requestBody").isdisjoint(names("responses"))


@pytest.mark.parametrize("name", sorted(names("responses")))
def test_an_answer_types_and_requires_its_keys(name: str) -> None:
    schema = SCHEMAS[name]
    properties: dict[str, Any] = schema["properties"]
    assert set(properties) - set(schema.get("required", ())) == OPTIONAL.get(name, set())
    for key, field in properties.items():
        assert {"type", "$ref", "anyOf", "enum"} & set(field), key
        assert "default" not in field, key


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_an_operation_says_who_may_call_it(path: str, method: str, operation: Any) -> None:
    for way in operation["security"]:
        assert set(way) <= set(DOCUMENT["components"]["securitySchemes"])
    assert bool(operation["security"]) == ("401" in operation["responses"])
    free = document(SERVED, "0", needs_key=False)["paths"][path][method]["security"]
    assert not free or {} in free
