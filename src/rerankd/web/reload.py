"""SIGHUP: the settings are read again. Keys change first and at once, models when they are loaded.

What is wrong is kept out: a file that cannot be used changes nothing, and no reload opens a server
that had keys. The log says what was taken, what was not, and what needs a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from rerankd.access.keys import Key
from rerankd.accounts.price import Price
from rerankd.core.errors import StartError
from rerankd.gateway.plan import GatewayPlan
from rerankd.models.cause import explained
from rerankd.service.plan import ServingPlan
from rerankd.settings.declared import SECTIONS
from rerankd.settings.load import Effective
from rerankd.settings.reference import dotted, without_secrets
from rerankd.settings.schema import KeySettings, Settings
from rerankd.telemetry.logs import log_event, log_refusal
from rerankd.web.assemble import gateway_of, keys_of, plan_of
from rerankd.web.exposure import check_exposure, check_places
from rerankd.web.prices import costs_of, written_prices
from rerankd.web.reports import Reloaded
from rerankd.web.state import State

_AGAIN = "Nothing was changed. Correct it and send SIGHUP again."
_TO_OPEN = "To run an open server, start it again without keys"


def unserved(keys: tuple[KeySettings, ...], served: set[str]) -> Iterator[str]:
    """One sentence for each key that names a model which nobody serves."""
    for key in keys:
        if unknown := sorted(set(key.models or ()) - served):
            yield (
                f'keys "{key.name}": models names {", ".join(unknown)}, which nobody serves here; '
                f"served are {', '.join(sorted(served))}."
            )


def needs_restart(name: str) -> bool:
    """Whether a setting, by dotted name, is read at the start only."""
    return name.partition(".")[0] in SECTIONS


def changed_at_restart(running: Settings, new: Settings) -> list[dict[str, object]]:
    """What differs and is read at the start only: path, running value and new value of each."""
    after = dict(dotted(new))
    return [
        {"setting": name, "running": value, "new": after[name]}
        for name, value in dotted(running)
        if needs_restart(name) and after[name] != value
    ]


class Reads(NamedTuple):
    """Settings, and how to read file, environment and flags again."""

    started: Effective
    again: Callable[[], Effective]


class Reloader:
    """Takes over new settings in a server that runs; knows which are in force."""

    def __init__(self, state: State, reads: Reads) -> None:
        """Nothing is read yet.

        Args:
            state: of the server.
            reads: the settings of the start, and how to read them again.
        """
        self.loading = asyncio.Lock()  # one load of models at a time, the first one included
        self._state = state
        self._started = reads.started.settings
        self._read = reads.again
        self._running = without_secrets(self._started)
        self._sources = self._read_sources = reads.started.sources
        self._had_file = reads.started.file_has_settings
        self._reading = asyncio.Lock()
        self._wanted = self._started

    def settings(self) -> Settings:
        """What is in force now, without the keys themselves."""
        return self._running

    def source(self, name: str) -> str:
        """Where the value in force of a setting came from, by its dotted name."""
        found = self._sources.get(name) or self._sources.get(name.partition(".")[0])
        return found or "default"

    async def reload(self) -> Reloaded:
        """Read the settings again and take over what can be; never raises."""
        report = Reloaded(taken=[], refused=None, needs_restart=[])
        if self._state.drain.draining:
            report.refused = "The server is shutting down."
            log_refusal("reload refused", report.refused)
            return report
        async with self._reading:
            settings = await self._guarded(self._usable, report)
            if settings is None:
                return report
            self._take_keys(settings)
            report.taken.append("keys")
            self._wanted = settings
        if differing := changed_at_restart(self._started, settings):
            report.needs_restart = differing
            log_refusal(
                "needs a restart",
                "These settings are not taken over by a reload; the running values stay.",
                settings=differing,
            )
        async with self.loading:
            if self._wanted is settings:
                await self._take_models(settings, report)
            else:
                report.refused = "A later reload has come, and takes its own."
        return report

    async def _guarded(
        self, read: Callable[[], Awaitable[Settings]], report: Reloaded
    ) -> Settings | None:
        try:
            with explained("The new configuration"):
                return await read()
        except StartError as error:
            report.refused = f"{error} {_AGAIN}"
            log_refusal("reload refused", report.refused, taken=[], kept=["keys", "models"])
            return None

    async def _usable(self) -> Settings:
        """The new settings, if they may be taken at all.

        Raises:
            StartError: the file cannot be used, the server would be open that had keys, or short
                keys would open it to other machines.
        """
        found = await asyncio.to_thread(self._read_explained)
        if self._had_file and not found.file_has_settings:
            raise StartError(
                f"{found.file} has no settings any more: it is empty, or was read while it was "
                "being written. To run without it, start the server again."
            )
        ring = self._state.keys
        if not ring.is_open and not ring.has_stored and not found.settings.keys:
            raise StartError(
                "In the new settings no API key is configured, and the server has "
                f"{len(ring)} now: it would be open. {_TO_OPEN}."
            )
        check_places(ring, keys_of(found.settings))
        host, keys = self._running.server.host, found.settings.keys
        for sentence in check_exposure(host, keys, has_stored=ring.has_stored):
            log_refusal("short keys", sentence)
        self._had_file = found.file_has_settings
        self._read_sources = found.sources
        return found.settings

    def _read_explained(self) -> Effective:
        with explained("The new configuration"):
            return self._read()

    def _take_keys(self, settings: Settings) -> None:
        before = {key.name: key for key in self._state.keys.file}
        self._state.use_keys(keys_of(settings))
        after = {key.name: key for key in self._state.keys.file}
        self._running = msgspec.structs.replace(self._running, keys=without_secrets(settings).keys)
        log_event("keys taken", keys=len(after), **_differences(before, after))

    async def _take_models(self, settings: Settings, report: Reloaded) -> None:
        backend = self._state.backend
        try:
            with explained("The new models"):
                wanted, routes, prices = await asyncio.to_thread(_plans, settings, self._started)
                if (accounts := self._state.accounts) is not None:
                    await asyncio.to_thread(accounts.adopt, prices)
                await backend.swap(wanted)
        except StartError as error:
            report.refused = (
                f"{error} The new keys are in force; models, aliases, upstreams and routes stay as "
                "they were. Correct it and send SIGHUP again."
            )
            log_refusal(
                "reload refused",
                report.refused,
                taken=["keys"],
                kept=["models"],
            )
        else:
            report.taken.append("models")
            self._state.use_routes(routes)
            self._state.use_costs(costs_of(prices))
            for sentence in routes.warnings():
                log_refusal("a target of another space", sentence)
            self._running = msgspec.structs.replace(
                self._running,
                models=settings.models,
                aliases=settings.aliases,
                model=settings.model,
                upstream=settings.upstream,
                route=settings.route,
                price=settings.price,
                cost=settings.cost,
            )
            self._take_sources()
            log_event(
                "reloaded",
                models=backend.names.models,
                routes=list(routes.routes),
                keys=len(self._state.keys),
            )
        names = backend.names
        for sentence in unserved(
            self._wanted.keys, {*names.models, *names.aliases, *self._state.router.routes}
        ):
            log_refusal("a key names a model that nobody serves", sentence)

    def _take_sources(self) -> None:
        """What needs a restart still is from where it was."""
        kept = {name: at for name, at in self._sources.items() if needs_restart(name)}
        new = {name: at for name, at in self._read_sources.items() if not needs_restart(name)}
        self._sources = kept | new


def _plans(
    settings: Settings, started: Settings
) -> tuple[ServingPlan, GatewayPlan, tuple[tuple[str, Price], ...]]:
    """Models, routes, and prices for the store of the start. Raises StartError."""
    wanted = plan_of(settings)
    prices = written_prices(msgspec.structs.replace(settings, store=started.store))
    return wanted, gateway_of(settings, wanted), prices


def _differences(before: dict[str, Key], after: dict[str, Key]) -> dict[str, Any]:
    """Names of keys only: what came, what went, what may do something else now."""
    return {
        "added": sorted(after.keys() - before.keys()),
        "revoked": sorted(before.keys() - after.keys()),
        "changed": sorted(n for n in after.keys() & before.keys() if after[n] != before[n]),
    }
