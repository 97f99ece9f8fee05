"""The one place that knows all parts: from settings to a backend, and to the state of a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import msgspec

from rerankd import __version__
from rerankd.access.keys import Key, key_of
from rerankd.access.rates import RateLimits
from rerankd.access.ring import KeyRing
from rerankd.access.shared_rates import SharedRates
from rerankd.access.wrong_keys import WrongKeys
from rerankd.core.errors import StartError
from rerankd.core.options import BY_THE_CARD
from rerankd.dialects.wire import Options
from rerankd.extras import OTEL, library
from rerankd.gateway.address import origin_of
from rerankd.gateway.fleet import Fleet
from rerankd.gateway.plan import GatewayPlan, gateway_plan, needs_lexical
from rerankd.gateway.router import Router
from rerankd.gateway.shadow import Shadows
from rerankd.gateway.switch import Switch
from rerankd.gateway.targets import LEXICAL
from rerankd.gateway.webhook import webhook_of
from rerankd.media.gate import Resolve
from rerankd.models import catalog
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.base import Backend
from rerankd.service.lag import LoopLag
from rerankd.service.local import ScoringParts, local_backend
from rerankd.service.plan import ServingPlan, plan
from rerankd.settings.schema import Settings
from rerankd.telemetry.metrics import Metrics
from rerankd.telemetry.shared import SharedMetrics
from rerankd.web.alerts import teller
from rerankd.web.body import InflightBytes
from rerankd.web.client import networks
from rerankd.web.exposure import check_places
from rerankd.web.front import Front
from rerankd.web.prices import costs_of, written_prices
from rerankd.web.state import State

if TYPE_CHECKING:
    from rerankd.store.accounts import AccountStore
    from rerankd.telemetry.otlp import SpanSender
    from rerankd.web.console.oidc.sign_in import OidcSignIn


def plan_of(settings: Settings) -> ServingPlan:
    """The models that the settings ask for.

    Raises:
        StartError: one cannot be served as asked.
    """
    stages = {name: model.stages for name, model in settings.model.items() if model.stages}
    options = {
        name: model.load_options()
        for name, model in settings.model.items()
        # An alias has stages alone, and a model that is served beside others a floor alone.
        if model.load_options() != BY_THE_CARD or not (model.stages or model.floor is not None)
    }
    models = settings.models
    if needs_lexical(settings) and LEXICAL not in models:
        models = (*(models or (catalog.DEFAULT,)), LEXICAL)
    floors = {n: model.floor for n, model in settings.model.items() if model.floor is not None}
    return plan(models, settings.aliases, options, stages, floors)


def gateway_of(settings: Settings, served: ServingPlan, *, needs_keys: bool = True) -> GatewayPlan:
    """The upstreams and routes that the settings ask for, with the keys of this environment.

    `needs_keys`: whether keys that are not there are refused.

    Raises:
        StartError: one cannot be used as asked; names the setting.
    """
    return gateway_plan(settings, served, os.environ, needs_keys=needs_keys)


def keys_of(settings: Settings) -> tuple[Key, ...]:
    """The keys that the settings name, each as its hash."""
    return tuple(key_of(**msgspec.structs.asdict(key)) for key in settings.keys)


def store_of(settings: Settings) -> AccountStore | None:
    """The store that the settings name, opened; None = they name none.

    Raises:
        StartError: it cannot be used, or a library is not installed.
    """
    if settings.store.url is None:
        return None
    # Its libraries of SQL are an extra, and for servers that have a store.
    from rerankd.store.accounts import open_store

    return open_store(settings.store)


def sign_in_of(settings: Settings, *, needs_secret: bool = True) -> OidcSignIn | None:
    """The issuer that signs people in to the console; None = keys do, only.

    `needs_secret`: whether a client's secret that is not there is refused.

    Raises:
        StartError: it cannot be used, or a library is not installed.
    """
    issuer = settings.oidc.issuer
    if issuer is None:
        return None
    if settings.store.url is None:
        raise StartError("oidc.issuer: the console, which it signs in to, needs [store] url.")
    from rerankd.web.console.oidc.configured import sign_in_of  # an extra, as above

    return sign_in_of(issuer, settings.oidc, os.environ, needs_secret=needs_secret)


def spans_of(settings: Settings, metrics: Metrics) -> SpanSender | None:
    """What sends traces; None = nobody wants them.

    Raises:
        StartError: a library is not installed, or the endpoint is no URL.
    """
    traces = settings.traces
    if traces.endpoint is None:
        return None
    try:
        origin_of(traces.endpoint)
    except StartError as error:
        raise StartError(f"traces.endpoint: {error}") from None
    library("opentelemetry.sdk.trace", OTEL)
    from rerankd.telemetry.otlp import SpanSender  # an extra, as above

    return SpanSender(
        traces.endpoint,
        sample=traces.sample_percent / 100,
        service=traces.service,
        version=__version__,
        count=metrics.spans,
    )


def rates_of(settings: Settings, accounts: AccountStore | None) -> RateLimits:
    """What counts the limits of keys: in memory, or where several servers do."""
    if accounts is None or accounts.shared is None:
        return RateLimits()
    return SharedRates(accounts.shared, when_away=settings.store.when_away)


def backend_of(
    settings: Settings,
    metrics: Metrics,
    lag: LoopLag,
    *,
    load: Callable[[Spec], Loaded] = load,
    resolve: Resolve | None = None,
) -> Backend:
    """What scores, in this process or in workers; no model is loaded yet.

    Args:
        settings: the ones in force.
        metrics: told how each fetch of an image or a video ended.
        lag: of the event loop that it will run on.
        load: opens and checks a model, in this process.
        resolve: of this process: host of an image's URL -> its addresses; None = as the system.

    Raises:
        StartError: an entry of media.allow cannot be read, or there can be no workers here.
    """
    limits, kept = settings.limits, settings.graphs.cache(__version__)
    parts = ScoringParts(limits, settings.media, kept)
    workers = settings.server.workers
    if workers == 0:
        return local_backend(parts, metrics.fetched, lag, load=load, resolve=resolve)
    from rerankd.workers.team import WorkerTeam, automatic  # for servers that have some

    count = automatic() if workers == "auto" else workers
    return WorkerTeam(parts, count, log=settings.server.log, fetched=metrics.fetched)


def make_state(
    settings: Settings,
    *,
    load: Callable[[Spec], Loaded] = load,
    resolve: Resolve | None = None,
) -> State:
    """The parts of one server, around its backend; see `backend_of`."""
    limits, metrics = settings.limits, Metrics()
    lag = LoopLag(metrics.lagged)
    backend = backend_of(settings, metrics, lag, load=load, resolve=resolve)
    random = Random()
    shadows = Shadows(lambda compared: metrics.shadowed(*compared), random)
    prices, webhook = written_prices(settings), webhook_of(settings.alerts, os.environ)
    oidc = sign_in_of(settings)
    accounts = store_of(settings)
    if accounts is not None:
        metrics.use_ledger(accounts.metrics)
        if accounts.shared is not None:
            metrics.use_shared(SharedMetrics(accounts.shared.facts))
    rates = rates_of(settings, accounts)
    switch = Switch(backend, limits, shadows, random=random)
    state = State(
        limits=limits,
        options=Options(
            contact=settings.server.contact,
            return_documents=settings.server.return_documents,
            documents=limits.documents,
            json_values=limits.json_values,
        ),
        keys=KeyRing(),
        rates=rates,
        router=Router(backend, rates, documents=limits.documents, switch=switch),
        backend=backend,
        switch=switch,
        fleet=Fleet(metrics.attempted, user_agent=f"rerankd/{__version__}"),
        lag=lag,
        front=Front(limits.wait_s),
        wrong_keys=WrongKeys(limits.wrong_keys),
        metrics=metrics,
        accounts=accounts,
        oidc=oidc,
        webhook=webhook,
        spans=spans_of(settings, metrics),
        inflight=InflightBytes(limits.inflight_bytes),
        docs_need_key=settings.server.docs_need_key,
        admin_hosts=(
            settings.server.host,
            *settings.admin.hosts,
            *(() if oidc is None else (oidc.host,)),
        ),
        trusted=networks(settings.server.trusted_proxies),
    )
    if accounts is not None:
        state.router.books = accounts.books
        accounts.follow_keys(state.use_stored)
        accounts.written = prices
        if webhook is not None:
            accounts.books.budgets.tell = teller(settings.store.currency, webhook.send)
    state.use_costs(costs_of(prices))
    state.use_keys(keys_of(settings))
    check_places(state.keys, state.keys.file)
    return state
