"""The OpenAPI document of the admin API, made of its operations; the dialects have another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from rerankd.dialects.wire import JSON
from rerankd.web.admin.answers import ProblemBody
from rerankd.web.admin.app import PREFIX
from rerankd.web.admin.asked import NoBody
from rerankd.web.admin.operation import Operation

_REF: Final = "#/components/schemas/{name}"
_ERRORS: Final = (400, 401, 403, 404, 409, 413, 422, 429, 503)


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of all operations.

    Args:
        operations: of the admin API.
        version: rerankd's.
    """
    kinds: dict[str, Any] = {repr(ProblemBody): ProblemBody}
    for operation in operations:
        for kind in (operation.query, operation.body, operation.answer):
            if kind is not None:
                kinds[repr(kind)] = kind
    schemas, components = msgspec.json.schema_components(kinds.values(), ref_template=_REF)
    found = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in operations:
        told = _operation(operation, found, components)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rerankd: admin API",
            "version": version,
            "description": "Keys, teams, prices, budgets and usage of a server with a store.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    operation: Operation, schemas: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip(
            "_"
        ),
        "summary": operation.summary,
        "description": f"Needs a key with the role {operation.role}.",
        "tags": [operation.path.split("/")[1]],
        "parameters": [*_parameters(operation, components)],
        "responses": {str(operation.status): _answer(operation, schemas)},
    }
    if operation.may_go_on:
        made["responses"]["202"] = _answer(operation, schemas) | {
            "description": HTTPStatus(202).phrase
        }
    error = {"content": {JSON: {"schema": schemas[repr(ProblemBody)]}}}
    made["responses"] |= {
        str(status): {"description": HTTPStatus(status).phrase, **error} for status in _ERRORS
    }
    if operation.body is not NoBody:
        content = {JSON: {"schema": schemas[repr(operation.body)]}}
        made["requestBody"] = {"content": content}
    return made


def _answer(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(operation.status).phrase
    if operation.answer is None:
        text = {"schema": {"type": "string"}}
        return {"description": phrase, "content": {"text/csv": text, "application/jsonl": text}}
    schema = schemas[repr(operation.answer)]
    return {"description": phrase, "content": {JSON: {"schema": schema}}}


def _parameters(operation: Operation, components: dict[str, Any]) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    query = components[operation.query.__name__]
    found += [
        {
            "name": name,
            "in": "query",
            "required": name in query.get("required", ()),
            "schema": schema,
        }
        for name, schema in query.get("properties", {}).items()
    ]
    if operation.changes_store:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 255},
            }
        )
    return found
