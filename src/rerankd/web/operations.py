"""What operators and clients ask beside reranking: health, readiness, metrics, models, docs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from rerankd import __version__
from rerankd.access.keys import Key
from rerankd.core.errors import RerankError, Unauthorized, UnknownModel
from rerankd.core.facts import ModelFacts
from rerankd.dialects.base import AnyEndpoint, Probe, ServerFacts
from rerankd.dialects.registry import Registry
from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.routes import answering
from rerankd.web import docs, openapi
from rerankd.web.endpoints import Counted, envelope_of, response_of
from rerankd.web.reports import (
    HealthReport,
    ModelInfo,
    ModelList,
    ReadyReport,
    UserData,
    UserInfo,
)
from rerankd.web.state import State

_JSON = "application/json"


class _Pages(NamedTuple):
    """What there is to read about the API."""

    openapi: bytes
    docs: str  # for docs.addressed


def _make_pages(registry: Registry, *, needs_key: bool) -> _Pages:
    document = openapi.document(registry, __version__, needs_key=needs_key)
    return _Pages(msgspec.json.encode(document), docs.page(document))


class Operations:
    """The endpoints around one server's state."""

    def __init__(self, state: State, registry: Registry, *, created: int) -> None:
        self._state = state
        self._registry = registry
        self._created = created
        self._made: dict[bool, _Pages] = {}  # by whether keys are on
        self._making = asyncio.Lock()

    async def health(self, request: Request) -> Response:
        """200 when every model's last probe scored a pair, else 503. No key needed."""
        verdict = await self._state.backend.check()
        report = HealthReport("ok" if verdict.ok else "failing", verdict.models)
        return _json(report, status=200 if verdict.ok else 503)

    async def ready(self, request: Request) -> Response:
        """200 when all models are loaded and the server is not shutting down. No key needed."""
        facts = self._state.backend.facts()
        status = "ready" if facts.is_ready else "loading"
        if self._state.drain.draining:
            status = "draining"
        warnings = {model.name: list(model.warnings) for model in facts.ready if model.warnings}
        report = ReadyReport(status, [model.name for model in facts.ready], warnings)
        return _json(report, status=200 if status == "ready" else 503)

    async def metrics(self, request: Request) -> Response:
        """Prometheus exposition. No key needed."""
        facts = self._state.backend.facts()
        body, content_type = self._state.metrics.render(facts, in_flight=self._state.drain.running)
        return self._counted(Response(body, headers={"content-type": content_type}))

    async def models(self, request: Request) -> Response:
        """The served names that the caller's key may use, default first, aliases last.

        SiliconFlow's `type` and `sub_type` choose among them: all are rerankers, and of text.
        """
        key = self._authenticate(request)
        wanted = (request.query_params.get("type"), request.query_params.get("sub_type"))
        infos = self._infos(key) if _are_meant(*wanted) else []
        return _json(ModelList("list", infos))

    async def user(self, request: Request) -> Response:
        """SiliconFlow's "user info": who the key is; there are no accounts, hence no balance."""
        return _json(UserInfo(UserData(id=self._authenticate(request).name)))

    async def model(self, request: Request) -> Response:
        """One served name; 400 as a request with that model would be."""
        key = self._authenticate(request)
        name = request.path_params["name"]
        for info in self._infos(key):
            if info.id == name:
                return _json(info)
        answering(self._state.backend.names, name)  # raises UnknownModel unless it is hidden
        raise UnknownModel(f"model: {name!r} is not served to this key.")

    def probe(
        self, probe: Probe, dialect: AnyEndpoint
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint of a dialect's own GET; its errors look like the dialect's."""

        async def answer(request: Request) -> Response:
            try:
                wire = await self._probed(probe, dialect, request)
            except RerankError as error:
                wire = dialect.render_error(error, envelope_of(request.scope), self._state.options)
            return response_of(wire)

        return answer

    async def _probed(self, probe: Probe, dialect: AnyEndpoint, request: Request) -> WireAnswer:
        backend = self._state.backend.facts()
        models: tuple[ModelFacts, ...] = ()
        if not probe.public:
            key = self._state.keys.authenticate(dialect.key_of(request.headers))
            models = _allowed(backend.shown(), key)
        healthy = not probe.health or (await self._state.backend.check()).ok
        facts = ServerFacts(
            version=__version__,
            created=self._created,
            now=time.time(),
            models=models,
            documents=self._state.limits.documents,
            request_tokens=backend.request_tokens,
            queue_tokens=backend.queue_tokens,
            tokenizers=backend.tokenizers,
            healthy=healthy,
        )
        return probe.render(facts, request.path_params)

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document of everything that is served."""
        self._may_read(request)
        return Response((await self._pages()).openapi, media_type=_JSON)

    async def docs(self, request: Request) -> Response:
        """The same as a page. A browser asks for a password, if a key is needed: the key."""
        try:
            self._may_read(request)
        except Unauthorized:
            return HTMLResponse(
                "<p>An API key is needed: any user name, the key as password.</p>",
                status_code=401,
                headers={"www-authenticate": 'Basic realm="rerankd", charset="UTF-8"'},
            )
        page = (await self._pages()).docs
        page = docs.addressed(page, request.url.scheme, request.headers.get("host"))
        headers = {"content-security-policy": docs.CONTENT_POLICY}
        return self._counted(HTMLResponse(page, headers=headers))

    async def root(self, request: Request) -> Response:
        """To the docs page."""
        return RedirectResponse("/docs", status_code=307)

    async def _pages(self) -> _Pages:
        """Both, made once, in a thread: 40 ms of CPU."""
        needs_key = not self._state.keys.is_open
        async with self._making:
            if needs_key not in self._made:
                made = await asyncio.to_thread(_make_pages, self._registry, needs_key=needs_key)
                self._made[needs_key] = made
        return self._made[needs_key]

    def _may_read(self, request: Request) -> None:
        """Raises Unauthorized."""
        if self._state.docs_need_key:
            self._authenticate(request, basic=True)

    def _counted(self, response: Response) -> Response:
        return Counted(response, self._state.inflight)

    def _authenticate(self, request: Request, *, basic: bool = False) -> Key:
        speaker = self._registry.speaker(request.url.path, request.headers)
        presented = speaker.key_of(request.headers)
        if presented is None and basic:
            presented = _basic_password(request.headers)
        return self._state.keys.authenticate(presented)

    def _infos(self, key: Key) -> list[ModelInfo]:
        facts = self._state.backend.facts()
        return [
            ModelInfo(
                id=model.name,
                object="model",
                created=self._created,
                owned_by="rerankd",
                root=model.root,
                window_tokens=model.window_tokens,
                modalities=list(model.modalities),
                engine=model.engine or None,
                default=model.name == facts.names.models[0],
            )
            for model in _allowed(facts.shown(), key)
        ]


def _allowed(models: tuple[ModelFacts, ...], key: Key) -> tuple[ModelFacts, ...]:
    """Those that the key may use, by either of their names."""
    if key.models is None:
        return models
    return tuple(m for m in models if not key.models.isdisjoint((m.name, m.root)))


def _are_meant(kind: str | None, sub_kind: str | None) -> bool:
    """Whether a list of SiliconFlow's `type` and `sub_type` holds rerankers."""
    return kind in (None, "", "text") and sub_kind in (None, "", "reranker")


def _json(content: msgspec.Struct, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type=_JSON)


def _basic_password(headers: Headers) -> bytes | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None
