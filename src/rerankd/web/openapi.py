"""The OpenAPI document, made from the dialects' msgspec types: what is served is what it says."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from rerankd.dialects.base import JSON, Dialect
from rerankd.web.reports import HealthReport, ModelInfo, ModelList, ReadyReport

_REF = "#/components/schemas/{name}"


def document(dialects: Sequence[Dialect], version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of all dialects and of the operations' endpoints."""
    kinds: list[Any] = [HealthReport, ReadyReport, ModelList, ModelInfo]
    for dialect in dialects:
        kinds += [dialect.body, dialect.answer, *dialect.errors.values()]
    unique = list({repr(kind): kind for kind in kinds}.values())
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
    schema_of = {repr(kind): schema for kind, schema in zip(unique, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for dialect in dialects:
        for path in dialect.paths:
            paths[path] = {"post": _rerank(dialect, path, schema_of)}
    for path, summary, kind, failing in (
        ("/health", "Does every model really score?", HealthReport, 503),
        ("/ready", "Send requests here?", ReadyReport, 503),
        ("/v1/models", "What is served, default first.", ModelList, 401),
    ):
        schema = schema_of[repr(kind)]
        paths[path] = {"get": _get(path, summary, schema, failing, public=failing == 503)}
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


def document_json(dialects: Sequence[Dialect], version: str) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(dialects, version))


def _rerank(dialect: Dialect, path: str, schema_of: dict[str, Any]) -> dict[str, Any]:
    responses = {"200": _response(200, schema_of[repr(dialect.answer)])}
    for status, kind in dialect.errors.items():
        responses[str(status)] = _response(status, schema_of[repr(kind)])
    return {
        "operationId": _operation_id(path),
        "summary": dialect.summary,
        "tags": [dialect.name],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": schema_of[repr(dialect.body)]}},
        },
        "responses": responses,
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
        "content": {JSON: {"schema": schema}},
    }


def _operation_id(path: str) -> str:
    return path.strip("/").replace("/", "_")
