"""What the tests of several folders share: a small model on the fake engine, an app around it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import httpx2
import msgspec
import numpy as np

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.core.answer import Ranking
from rerankd.core.embedding import EmbedRequest
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, PreparedTexts, Row, Scores, SoleText
from rerankd.core.score import sigmoid
from rerankd.dialects.registry import SERVED, Registry
from rerankd.engines.base import Engine
from rerankd.engines.fake import FAKE_DIMENSIONS, FakeEngine
from rerankd.gateway.router import Router
from rerankd.models.base import ModelCard
from rerankd.models.embedder import cut_texts_warning, prompt_of, text_limit, too_long_text
from rerankd.models.families import Family
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import Trace
from rerankd.service.local import LocalBackend
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import ServingPlan, plan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits, Settings
from rerankd.web.app import create_app
from rerankd.web.assemble import gateway_of, make_state
from rerankd.web.state import State

Json = dict[str, Any]
TEXT_TOKENS = 4096  # of a text that BytesModel embeds


def row(*ids: int, second: int = 0) -> Row:
    """A row of the given token ids."""
    return Row(np.array(ids, dtype=np.int32), second)


class BytesModel:
    """One token per UTF-8 byte; the fake engine's logit depends on the document's bytes alone."""

    def __init__(self, name: str = "fake-model", engine: Engine | None = None) -> None:
        self.card = ModelCard(
            name=name, family=Family(name="fake"), window_tokens=None, score="test"
        )
        self.engine: Engine = engine or FakeEngine(max_length=None)

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document."""
        meter, rows = (
            meter or Meter(),
            tuple(self._row(request.query, d) for d in request.documents),
        )
        meter.add(sum(row.tokens for row in rows))
        return Prepared(rows=rows, owners=tuple(range(len(rows))))

    def logit(self, logits: Logits) -> Scores:
        """The one label."""
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """A sigmoid."""
        return sigmoid(logit)

    @property
    def dimensions(self) -> int:
        """The fake engine's."""
        return FAKE_DIMENSIONS

    is_unit = True
    gives_raw = True

    def prepare_texts(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
        """One token per byte of "q:" or "d:", if that is asked for, and the text; 4096 at most."""
        prompt = prompt_of(request, {"query": "q:", "document": "d:"}, None, self.card.name)
        limit = text_limit(request, TEXT_TOKENS, len(prompt))
        rows: list[SoleText] = []
        cut = 0
        for i, text in enumerate(request.texts):
            ids = np.frombuffer((prompt + text).encode(), np.uint8).astype(np.int32)
            if ids.size > limit and not request.truncation:
                raise too_long_text(request.name(i), limit, self.card.name)
            cut += ids.size > limit
            rows.append(SoleText(ids[:limit], min(ids.size, limit)))
            meter.add(rows[-1].tokens)
        warnings = cut_texts_warning(cut, len(rows), limit)
        return PreparedTexts(rows=tuple(rows), warnings=warnings)

    def _row(self, query: Content, document: Content) -> Row:
        head = [0] * len(query.value.encode())  # zeros: the fake sums ids
        return row(*head, 1, *document.value.encode(), second=len(head))


def settings(**values: Any) -> Settings:
    """Settings from nested dictionaries, as the TOML file would give them."""
    return msgspec.convert(values, Settings)


@contextlib.asynccontextmanager
async def running(
    values: Json | None = None,
    *,
    model: BytesModel | None = None,
    aliases: Json | None = None,
    registry: Registry = SERVED,
    load: Callable[[Spec], Loaded] | None = None,
) -> AsyncGenerator[tuple[httpx2.AsyncClient, State]]:
    """An in-process client of an app that serves one fake model; `load` brings it, and others."""
    chosen = model or BytesModel()
    made = settings(**(values or {}))

    def bring(_: Spec) -> Loaded:
        return Loaded(model=chosen, warnings=())

    state = make_state(made, load=load or bring)
    plan = ServingPlan(specs=(Spec(name=chosen.card.name),), aliases=aliases or {})
    state.use_routes(gateway_of(made, plan))
    app: Any = create_app(state, plan, cors_origins=made.server.cors_origins, registry=registry)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client, state


@contextlib.asynccontextmanager
async def real_client(
    aliases: dict[str, str], *, models: Sequence[str] = (), values: Json | None = None
) -> AsyncGenerator[httpx2.AsyncClient]:
    """An in-process client of an app that serves `models`, or else the default model."""
    state = make_state(settings(**(values or {})))
    app: Any = create_app(state, plan(models, aliases, {}))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        await state.backend.load()
        yield client


def local(state: State) -> LocalBackend:
    """The backend of an app in this process."""
    assert isinstance(state.backend, LocalBackend)
    return state.backend


class Ranker:
    """A backend behind a router, asked for one ranking at a time."""

    def __init__(self, pool: Pool, limits: Limits, rates: RateLimits | None = None) -> None:
        self.pool = pool
        self.backend = LocalBackend(pool, Pipeline(limits))
        self._router = Router(self.backend, rates or RateLimits(), documents=limits.documents)

    async def rerank(self, request: RerankRequest, key: Key, trace: Trace) -> Ranking:
        """The ranking of one request."""
        return (await self._router.rerank((request,), key, trace))[0]


def stop_rates(state: State) -> None:
    """No minute passes for rpm and tpm, however slow the machine."""
    state.rates._clock = lambda: 0.0  # pyright: ignore[reportPrivateUsage]


def body(query: str = "q", documents: Sequence[Any] = ("a", "bb"), **fields: Any) -> Json:
    """A rerank body."""
    return {"query": query, "documents": list(documents), **fields}
