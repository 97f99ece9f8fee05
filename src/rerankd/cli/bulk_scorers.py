"""Who scores for `rerankd bulk`: a model of this process, workers, a server, or a route."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rerankd import __version__
from rerankd.access.keys import ANYONE
from rerankd.accounts.price import PriceList, Terms
from rerankd.bulk.asked import Ask, AskingScorer
from rerankd.bulk.job import Scorer
from rerankd.bulk.local import LocalScorer, window_limits
from rerankd.bulk.local_model import check_kind, facts_of, machine_of
from rerankd.bulk.rows import Kind, WindowLimits
from rerankd.bulk.server import asked_server, server_origin
from rerankd.cli.flags import effective
from rerankd.core.answer import Ranking
from rerankd.core.errors import StartError
from rerankd.core.request import RerankRequest
from rerankd.models.load import Spec, load
from rerankd.service.base import Trace
from rerankd.service.reranker import Reranker
from rerankd.settings.schema import ServerSettings, Settings
from rerankd.telemetry.logs import configure_logging
from rerankd.web.assemble import gateway_of, make_state, plan_of
from rerankd.web.prices import written_prices

ASKED_WINDOW = WindowLimits(pairs=2048, characters=2 << 20, rows=2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenScorer:
    """Who scores, and what a manifest says of him."""

    scorer: Scorer
    facts: dict[str, str]
    machine: dict[str, str]
    window: WindowLimits


@contextmanager
def of_model(spec: Spec, kind: Kind) -> Generator[OpenScorer]:
    """A model of this process. Raises StartError."""
    with Reranker.of(load(spec)) as reranker:
        model = reranker.model
        check_kind(model, is_pairs=kind == "pairs")
        with closing(LocalScorer(model)) as scorer:
            yield OpenScorer(
                scorer=scorer,
                facts=facts_of(spec, model, __version__),
                machine=machine_of(model),
                window=window_limits(model.engine),
            )


@contextmanager
def of_server(
    url: str, model: str | None, key_env: str | None, in_flight: int
) -> Generator[OpenScorer]:
    """A server; its model may change behind our back. Raises StartError."""
    origin = server_origin(url)
    key = None if key_env is None else os.environ.get(key_env)
    if key_env is not None and not key:
        raise StartError(f"--key-env {key_env}: the variable is not set.")
    agent = f"rerankd/{__version__}"
    scorer = AskingScorer(lambda: asked_server(origin, key, agent), in_flight=in_flight)
    with closing(scorer):
        yield OpenScorer(
            scorer=scorer,
            facts={"model": model or "", "scorer": "server"},
            machine={"server": f"{origin.scheme}://{origin.authority}{origin.base}"},
            window=ASKED_WINDOW,
        )


def settings_of(config: Path | None, model: str | None, workers: int | None) -> Settings:
    """What the settings say of who scores; nothing of callers, their keys and the store.

    Raises:
        StartError: they are unusable.
    """
    found = effective(
        config=config,
        model=None if model is None else [model],
        workers=workers,
    ).settings
    return Settings(
        server=ServerSettings(workers=found.server.workers, log=found.server.log),
        limits=found.limits,
        media=found.media,
        graphs=found.graphs,
        models=found.models,
        aliases=found.aliases,
        model=found.model,
        upstream=found.upstream,
        route=found.route,
        cost=found.cost,
    )


def terms_of(config: Path, name: str) -> tuple[Terms | None, str]:
    """What a file's price for a model takes, and the currency; None: it has none.

    A route without one takes what the dearest of its upstreams takes, by a million tokens.

    Raises:
        StartError: it is unusable.
    """
    settings = effective(config=config).settings
    currency = settings.store.currency
    prices = PriceList(price for _, price in written_prices(settings))
    now_us = time.time_ns() // 1000
    if (price := prices.price((name,), now_us)) is not None:
        return price.terms, currency
    route = settings.route.get(name)
    costs = [
        cost.terms
        for target in (route.to if route else ())
        if target.upstream
        and (cost := prices.cost(target.upstream, target.name or name, now_us)) is not None
    ]
    return max(costs, key=lambda terms: terms.per_1m_input, default=None), currency


@contextmanager
def of_settings(settings: Settings, name: str | None, in_flight: int) -> Generator[OpenScorer]:
    """What the settings serve, by a routed name or a model's. Raises StartError."""
    wanted = plan_of(settings)
    routes = gateway_of(settings, wanted)
    if name is not None and name not in routes.routes:
        known = ", ".join(routes.routes) or "none"
        raise StartError(f"--route {name}: the settings have no such route; there are {known}.")
    configure_logging(settings.server.log)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Ask]:
        state = make_state(settings)
        state.use_routes(routes)

        async def ask(request: RerankRequest) -> Ranking:
            [found] = await state.router.rerank([request], ANYONE, Trace())
            return found

        try:
            await state.start(wanted)
            await state.backend.load()
            yield ask
        finally:
            await state.close()

    first = wanted.specs[0].name if wanted.specs else ""
    with closing(AskingScorer(opened, in_flight=in_flight)) as scorer:
        yield OpenScorer(
            scorer=scorer,
            facts={"model": name or first, "scorer": "settings", "rerankd": __version__},
            machine={"workers": str(settings.server.workers)},
            window=ASKED_WINDOW,
        )
