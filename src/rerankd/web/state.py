"""What one running server holds; made by `assemble`, used by the endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rerankd.access.keys import Key, Network
from rerankd.access.rates import RateLimits
from rerankd.access.ring import KeyRing
from rerankd.access.wrong_keys import WrongKeys
from rerankd.accounts.price import PriceList
from rerankd.core.errors import StartError
from rerankd.dialects.wire import Options
from rerankd.gateway.fleet import Fleet
from rerankd.gateway.plan import GatewayPlan
from rerankd.gateway.router import Router
from rerankd.gateway.switch import Switch
from rerankd.gateway.webhook import Webhook
from rerankd.service.base import Backend
from rerankd.service.lag import LoopLag
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Limits, Settings
from rerankd.telemetry.metrics import Metrics
from rerankd.telemetry.recent import Recent
from rerankd.web.body import InflightBytes
from rerankd.web.drain import Drain
from rerankd.web.front import Front
from rerankd.web.reports import Reloaded
from rerankd.web.threads import BodyThreads

if TYPE_CHECKING:  # each brings a library of SQL, which a server without a store does not load
    from rerankd.store.accounts import AccountStore
    from rerankd.telemetry.otlp import SpanSender
    from rerankd.web.console.oidc.sign_in import OidcSignIn  # likewise one of signatures


class Running(Protocol):
    """Settings of a server that runs, and how to read them again."""

    def settings(self) -> Settings:
        """What is in force now, without the keys themselves."""
        ...

    def source(self, name: str) -> str:
        """Where a setting's value came from: a file, a variable, "flag", "default"."""
        ...

    async def reload(self) -> Reloaded:
        """Read them again and take over what can be; never raises."""
        ...


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that the endpoints share."""

    limits: Limits
    options: Options
    keys: KeyRing
    rates: RateLimits
    router: Router
    backend: Backend
    switch: Switch
    fleet: Fleet
    metrics: Metrics
    inflight: InflightBytes
    lag: LoopLag
    front: Front
    wrong_keys: WrongKeys
    accounts: AccountStore | None = None  # with [store] only: what becomes of a request is kept
    admin_hosts: tuple[str, ...] = ()  # names of this server that the admin API answers to
    oidc: OidcSignIn | None = None  # who else than keys signs in to the console
    spans: SpanSender | None = None  # with [traces] only: requests become spans
    webhook: Webhook | None = None  # is told of budgets that are spent
    trusted: tuple[Network, ...] = ()  # proxies whose X-Forwarded-For is believed
    docs_need_key: bool = False  # /docs and /openapi.json, when keys are on
    threads: BodyThreads = field(default_factory=BodyThreads)
    drain: Drain = field(default_factory=Drain)
    recent: Recent = field(default_factory=Recent)
    started: float = field(default_factory=time.monotonic)  # seconds, by time.monotonic()
    running: Running | None = None  # of `rerankd serve`
    failure: StartError | None = None  # why the server gave up, if it did

    def use_routes(self, plan: GatewayPlan) -> None:
        """Take over other upstreams and routes; what stays keeps its connections and breaker."""
        self.fleet.use(plan)
        self.switch.doors.upstreams = self.fleet.upstreams
        self.router.routes = plan.routes

    def use_costs(self, written: PriceList) -> None:
        """Ask who costs least by what the settings say; with a store, by its history."""
        accounts, doors = self.accounts, self.switch.doors
        doors.prices = lambda: written if accounts is None else accounts.books.prices

    async def start(self, wanted: ServingPlan) -> None:
        """Load what ships inside; with a store, bring what earlier servers left into it.

        Raises:
            StartError: there is no serving with it.
        """
        self.lag.start()
        if self.accounts is not None:
            await asyncio.to_thread(self.accounts.start)
            self.accounts.follow(asyncio.get_running_loop().call_soon_threadsafe)
        if self.webhook is not None:
            self.webhook.start()
        await self.backend.start(wanted)

    async def close(self) -> None:
        """Bring the last rows into the store, free the models, end connections to upstreams."""
        self.lag.stop()
        try:
            if self.accounts is not None:
                await asyncio.to_thread(self.accounts.close)
            if self.webhook is not None:
                await self.webhook.close()
            if self.spans is not None:
                await asyncio.to_thread(self.spans.close)
            await self.switch.shadows.close()
            await self.backend.close()
        finally:
            if self.oidc is not None:
                self.oidc.close()
            await self.fleet.close()

    def use_keys(self, keys: Sequence[Key]) -> None:
        """Take over a new set of the settings' keys; one that stays keeps its limits' levels."""
        self.keys.use_file(keys)
        self.rates.keep(self.keys)
        self.router.is_shared = self.keys.is_one or self.limits.share_caches

    def use_stored(self, keys: Sequence[Key]) -> None:
        """Take over a key of the store, by each of its digests; what it used stays used."""
        self.keys.put(keys)
        if keys[0].revoked:
            self.rates.forget(keys[0])
        self.router.is_shared = self.keys.is_one or self.limits.share_caches
