"""The OpenAPI document, made from the dialects' msgspec types: what is served is what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec

from rerankd.core.errors import InvalidRequest, RerankError, Unauthorized, UnknownModel
from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.registry import Registry, Route
from rerankd.dialects.wire import JSON, Envelope, Options
from rerankd.web.paths import Get, gets
from rerankd.web.reports import HealthReport, ModelInfo, ModelList, ReadyReport, UserInfo

_REF = "#/components/schemas/{name}"
_ENVELOPE = Envelope(request_id="", created=0)


def document(
    registry: Registry, version: str, *, needs_key: bool = False, own: Sequence[Get] = ()
) -> dict[str, Any]:
    """OpenAPI 3.1 of all dialects and of the operations' endpoints.

    Args:
        registry: the dialects.
        version: rerankd's.
        needs_key: whether keys are configured; else a request may have one and needs none.
        own: what callers may read of their keys, where there is a store.
    """
    writer = _Writer(registry, needs_key=needs_key, own=own)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rerankd",
            "version": version,
            "description": "Scores documents against a query and returns the best first.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": writer.paths(),
        "components": {
            "schemas": writer.components,
            "securitySchemes": {
                header: _scheme(header)
                for served in registry.served
                for header in served.key_headers
            },
        },
    }


class _Writer:
    """The paths and the schemas that they refer to."""

    def __init__(self, registry: Registry, *, needs_key: bool, own: Sequence[Get]) -> None:
        self._registry = registry
        self._needs_key = needs_key
        self._own = own
        bodies: list[Any] = [dialect.body for dialect in registry.served]
        answers: list[Any] = [HealthReport, ReadyReport, ModelList, ModelInfo, UserInfo]
        answers += [get.answer for get in own]
        for dialect in registry.served:
            answers += [dialect.answer, *dialect.errors.values()]
            answers += [probe.answer for probe in dialect.probes]
        kinds = {repr(kind): kind for kind in (*bodies, *answers) if kind is not None}
        schemas, self.components = msgspec.json.schema_components(kinds.values(), ref_template=_REF)
        self._schemas = dict(zip(kinds, schemas, strict=True))
        sent = [self._schemas[repr(kind)] for kind in answers if kind is not None]
        for name in _references(sent, self.components):
            _require(self.components[name])

    def paths(self) -> dict[str, Any]:
        """All of them, the dialects' first."""
        found: dict[str, Any] = {
            route.path: {"post": self._rerank(route)} for route in self._registry.routes
        }

        for get in gets(self._registry, self._own):
            if get.summary:
                found.setdefault(get.path, {}).setdefault("get", self._get(get))
        return found

    def _rerank(self, route: Route) -> dict[str, Any]:
        answers: dict[int, list[Any]] = {200: [dialect.answer for dialect in route.served]}
        for dialect in route.served:
            for status, kind in dialect.errors.items():
                answers.setdefault(status, []).append(kind)
        bodies = [dialect.body for dialect in route.served]
        return {
            "operationId": _operation_id(route.path),
            "summary": " ".join(dialect.summary for dialect in route.served),
            "tags": [dialect.name for dialect in route.served],
            "security": self._security(route.served),
            **_parameters(route.path),
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": self._any_of(bodies)}},
            },
            "responses": self._responses(answers),
        }

    def _get(self, get: Get) -> dict[str, Any]:
        public = get.speaker is None or (get.probe is not None and get.probe.public)
        tag = get.speaker.name if get.probe and get.speaker else "operations"
        return {
            "operationId": "get_" + _operation_id(get.path),
            "summary": get.summary,
            "tags": ["models" if get.speaker and not get.probe else tag],
            "security": [] if public or get.speaker is None else self._security([get.speaker]),
            **({} if get.speaker is None else _parameters(get.path)),
            "responses": self._answers(get),
        }

    def _answers(self, get: Get) -> dict[str, Any]:
        if get.speaker is None and get.answer is None:
            content = {"text/plain": {"schema": {"type": "string"}}}
            return {"200": _response(200, None) | {"content": content}}
        answers: dict[int, list[Any]] = {200: [get.answer]}
        if get.speaker is None:
            answers[503] = [get.answer]
        elif get.probe is None or not get.probe.public:
            answers |= _refusals(get.speaker)
        if get.speaker is not None and get.probe is not None and get.probe.health:
            answers[503] = [get.speaker.errors.get(503, get.answer)]
        return self._responses(answers)

    def _responses(self, answers: Mapping[int, Sequence[Any]]) -> dict[str, Any]:
        return {
            str(status): _response(status, self._any_of(kinds))
            for status, kinds in sorted(answers.items())
        }

    def _any_of(self, kinds: Sequence[Any]) -> Any:
        """The schema of a body that is one of these; None where it is always empty."""
        unique = {repr(kind): self._schemas[repr(kind)] for kind in kinds if kind is not None}
        schemas = list(unique.values())
        return {"anyOf": schemas} if len(schemas) > 1 else next(iter(schemas), None)

    def _security(self, served: Sequence[AnyEndpoint]) -> list[dict[str, Any]]:
        """The headers that a key may be in, one of which is enough."""
        headers = dict.fromkeys(header for dialect in served for header in dialect.key_headers)
        ways: list[dict[str, Any]] = [{header: []} for header in headers]
        return ways if self._needs_key else [*ways, {}]


def _refusals(dialect: AnyEndpoint) -> dict[int, list[Any]]:
    """Status -> error bodies of a GET that needs a key and may name a model."""
    errors: tuple[RerankError, ...] = (Unauthorized(""), InvalidRequest(""), UnknownModel(""))
    statuses = {dialect.render_error(e, _ENVELOPE, Options()).status for e in errors}
    return {status: [dialect.errors[status]] for status in statuses}


def _references(node: Any, components: Mapping[str, Any]) -> set[str]:
    """The names of all components that a schema leads to."""
    found: set[str] = set()
    waiting: list[Any] = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            children = cast("dict[str, Any]", inner)
            name = str(children.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(components[name])
            waiting += children.values()
        elif isinstance(inner, list):
            waiting += cast("list[Any]", inner)
    return found


def _require(schema: dict[str, Any]) -> None:
    """Of what is sent: a key with a default is always there; only UNSET leaves one out."""
    properties: dict[str, Any] = schema.get("properties", {})
    always = {name for name, field in properties.items() if "default" in field}
    for name in always:
        del properties[name]["default"]
    if always:
        schema["required"] = [
            name for name in properties if name in {*schema.get("required", ()), *always}
        ]


def _scheme(header: str) -> dict[str, str]:
    if header == "authorization":
        return {"type": "http", "scheme": "bearer"}
    return {"type": "apiKey", "in": "header", "name": header}


def _parameters(path: str) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", path)
    return {
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
            for name in names
        ]
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
