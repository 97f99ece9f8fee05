"""Who is served to whom: the model lists, and what dialects ask of a server beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rerankd import __version__
from rerankd.access.keys import Key
from rerankd.core.errors import ModelNotLoaded, RerankError, UnknownModel
from rerankd.core.facts import ModelFacts
from rerankd.dialects.base import AnyEndpoint, Probe, ServerFacts
from rerankd.dialects.registry import Registry
from rerankd.dialects.wire import JSON, WireAnswer
from rerankd.gateway.routes import answering
from rerankd.web.caller import admitted, caller_of
from rerankd.web.reports import ModelInfo, ModelList, UserData, UserInfo
from rerankd.web.state import State
from rerankd.web.wire_answers import envelope_of, response_of


class ModelLists:
    """The lists of one server."""

    def __init__(self, state: State, registry: Registry, *, created: int) -> None:
        self._state = state
        self._registry = registry
        self._created = created

    async def models(self, request: Request) -> Response:
        """The served names that the caller's key may use, default first, aliases last.

        SiliconFlow's `type` and `sub_type` choose among them: all are of text.
        """
        key = self._caller(request)
        kind, sub_kind = (request.query_params.get(name) for name in ("type", "sub_type"))
        infos = self._infos(key) if kind in (None, "", "text") else []
        return _json(ModelList("list", [info for info in infos if _is_meant(info, sub_kind)]))

    async def model(self, request: Request) -> Response:
        """One served name; 400 as a request with that model would be."""
        key = self._caller(request)
        name = request.path_params["name"]
        for info in self._infos(key):
            if info.id == name:
                return _json(info)
        backend = self._state.backend
        # raises UnknownModel unless it is hidden
        own = answering(backend.names, name, self._state.router.routes)
        if backend.is_off(own) and key.allows(name, own):
            raise ModelNotLoaded(own)
        raise UnknownModel(f"model: {name!r} is not served to this key.")

    async def user(self, request: Request) -> Response:
        """SiliconFlow's "user info": who the key is; there are no accounts, hence no balance."""
        return _json(UserInfo(UserData(id=self._caller(request).name)))

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
            presented = dialect.presented_key(request.headers)
            key = admitted(self._state, presented, request.scope)
            models = _allowed(self._shown(), key)
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

    def _caller(self, request: Request) -> Key:
        return caller_of(request, self._state, self._registry)

    def _shown(self) -> tuple[ModelFacts, ...]:
        """One for every name that is answered: models, aliases, then routes of other names."""
        shown = self._state.backend.facts().shown()
        names = {model.name for model in shown}
        routes = (name for name in self._state.router.routes if name not in names)
        return (
            *shown,
            *(
                ModelFacts(name=n, root=n, state="ready", modalities=("text",), tasks=("rerank",))
                for n in routes
            ),
        )

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
                model_type="embedding" if model.tasks == ("embed",) else "rerank",
                tasks=list(model.tasks),
                dimensions=model.dimensions,
                precision=model.precision or None,
                precision_trials=model.precision_trials,
                floor=model.floor,
            )
            for model in _allowed(self._shown(), key)
        ]


def _allowed(models: tuple[ModelFacts, ...], key: Key) -> tuple[ModelFacts, ...]:
    """Those that the key may use, by either of their names."""
    return tuple(model for model in models if key.allows(model.name, model.root))


def _is_meant(info: ModelInfo, sub_kind: str | None) -> bool:
    """Whether a list of SiliconFlow's `sub_type` holds a model; one that loads is a reranker."""
    task = {"reranker": "rerank", "embedding": "embed"}.get(sub_kind or "")
    return not sub_kind or task in (info.tasks or ["rerank"])


def _json(content: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(content), media_type=JSON)
