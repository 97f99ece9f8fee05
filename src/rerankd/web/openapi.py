"""The OpenAPI document, made from the dialects' msgspec types: what is served is what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from rerankd.dialects.base import Probe, Served
from rerankd.dialects.registry import Registry, Route
from rerankd.dialects.wire import JSON
from rerankd.web.reports import HealthReport, ModelInfo, ModelList, ReadyReport

_REF = "#/components/schemas/{name}"


def document(registry: Registry, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of all dialects and of the operations' endpoints."""
    kinds: list[Any] = [HealthReport, ReadyReport, ModelList, ModelInfo]
    for dialect in registry.served:
        kinds += [dialect.body, dialect.answer, *dialect.errors.values()]
        kinds += [probe.answer for probe in dialect.probes]
    unique = list({repr(kind): kind for kind in kinds if kind is not None}.values())
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
    schema_of = {repr(kind): schema for kind, schema in zip(unique, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for route in registry.routes:
        paths[route.path] = {"post": _rerank(route, schema_of)}
    for path, probe, dialect in registry.probes:
        paths.setdefault(path, {})["get"] = _probe(path, probe, dialect, schema_of)
    for path, summary, kind, failing in (
        ("/health", "Does every model really score?", HealthReport, 503),
        ("/ready", "Send requests here?", ReadyReport, 503),
        ("/v1/models", "What is served, default first.", ModelList, 401),
    ):
        schema = schema_of[repr(kind)]
        public = failing == 503
        paths.setdefault(path, {})["get"] = _get(path, summary, schema, failing, public=public)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rerankd",
            "version": version,
            "description": "Scores documents against a query and returns the best first.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def document_json(registry: Registry, version: str) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(registry, version))


def _rerank(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    answers: dict[int, list[Any]] = {200: [dialect.answer for dialect in route.served]}
    for dialect in route.served:
        for status, kind in dialect.errors.items():
            answers.setdefault(status, []).append(kind)
    bodies = [dialect.body for dialect in route.served]
    return {
        "operationId": _operation_id(route.path),
        "summary": " ".join(dialect.summary for dialect in route.served),
        "tags": [dialect.name for dialect in route.served],
        **_parameters(route.path),
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": _any_of(bodies, schema_of)}},
        },
        "responses": {
            str(status): _response(status, _any_of(kinds, schema_of))
            for status, kinds in sorted(answers.items())
        },
    }


def _probe(path: str, probe: Probe, dialect: Served, schema_of: dict[str, Any]) -> dict[str, Any]:
    kinds = {200: [probe.answer]}
    failing = (503,) if probe.health else ()
    for status in failing if probe.public else (401, 403, 404, *failing):
        if status in dialect.errors:
            kinds[status] = [dialect.errors[status]]
    return {
        "operationId": "get_" + _operation_id(path),
        "summary": probe.summary,
        "tags": [dialect.name],
        **({"security": []} if probe.public else {}),
        **_parameters(path),
        "responses": {
            str(status): _response(status, _any_of(kind, schema_of))
            for status, kind in kinds.items()
        },
    }


def _any_of(kinds: Sequence[Any], schema_of: dict[str, Any]) -> Any:
    """The schema of a body that is one of these; None where it is always empty."""
    unique = {repr(kind): schema_of[repr(kind)] for kind in kinds if kind is not None}
    schemas = list(unique.values())
    return {"anyOf": schemas} if len(schemas) > 1 else next(iter(schemas), None)


def _parameters(path: str) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", path)
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    }


def _get(path: str, summary: str, schema: Any, failing: int, *, public: bool) -> dict[str, Any]:
    failure = schema if public else {"const": "Invalid token"}
    return {
        "operationId": _operation_id(path),
        "summary": summary,
        "tags": ["operations"],
        **({"security": []} if public else {}),
        "responses": {
            "200": _response(200, schema),
            str(failing): _response(failing, failure),
        },
    }


def _response(status: int, schema: Any) -> dict[str, Any]:
    headers = {
        "x-siliconcloud-trace-id": {
            "description": "Unique id of the request.",
            "schema": {"type": "string"},
        }
    }
    if status in (429, 503):
        headers["Retry-After"] = {
            "description": "Seconds after which to try again.",
            "schema": {"type": "string"},
        }
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        **({} if schema is None else {"content": {JSON: {"schema": schema}}}),
    }


def _operation_id(path: str) -> str:
    return re.sub(r"\W+", "_", path.strip("/"))
