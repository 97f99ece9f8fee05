"""Models loaded and unloaded while the server runs: one change at a time, the rest is served.

A load checks first whether there is room, opens and checks the model on a thread as a start does,
and only then serves it. An unload refuses new requests at once, lets those that run end, and gives
the memory back. A reload takes its turn as well, and makes all as the settings say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, NamedTuple

from rerankd.core.errors import ChangeRefused, StartError
from rerankd.core.facts import MemoryChange
from rerankd.engines.memory import MemoryMeter, memory
from rerankd.models import catalog
from rerankd.models.footprint import footprint_bytes
from rerankd.models.load import Spec, resolve
from rerankd.service.model_facts import at_rest, facts_of, never_served
from rerankd.service.pool import LoadedModel, Off, Pool
from rerankd.telemetry.logs import log_event, log_refusal

_SPARE: Final = 0.9  # of what is available, that a model may take: requests need some as well
_GB: Final = 1e9


class _Change(NamedTuple):
    """What is under way."""

    kind: Literal["load", "unload"]
    name: str
    task: asyncio.Task[None]


class Changes:
    """The operator's changes to a pool."""

    def __init__(
        self,
        pool: Pool,
        forget: Callable[[str], None],
        *,
        footprint_bytes: Callable[[Spec], int | None] = footprint_bytes,
        available_bytes: Callable[[], int | None] = lambda: memory().available_bytes,
    ) -> None:
        """Nothing is changed yet.

        Args:
            pool: its models.
            forget: told the name of a model before its memory is given back.
            footprint_bytes: about how much a model will take; None = not known.
            available_bytes: how much there is; None = not known.
        """
        self.turn = asyncio.Lock()  # one change of models at a time, those of reloads among them
        self.memory: dict[str, MemoryChange] = {}  # by name, of the last change
        self._pool = pool
        self._forget = forget
        self._footprint_bytes = footprint_bytes
        self._available_bytes = available_bytes
        self._now: _Change | None = None

    async def load(self, name: str, *, force: bool) -> None:
        """As Backend.load_model."""
        name = self._own_name(name)
        if name in self._pool.loaded:
            return
        await self._in_turn("load", name, lambda: self._load(name, force=force))

    async def unload(self, name: str) -> None:
        """As Backend.unload_model."""
        name = self._own_name(name)
        if self._pool.spec(name) is None:
            raise ChangeRefused("unknown", f"{_shown(name)} is no model of this server.")
        off = self._pool.off.get(name)
        if off is not None and off.state in ("unloaded", "failed"):
            return
        await self._in_turn("unload", name, lambda: self._unload(name))

    async def close(self) -> None:
        """End what is under way; a thread that opens a model goes on until it has."""
        if self._now is not None:
            self._now.task.cancel()
            await asyncio.wait({self._now.task})

    async def _in_turn(
        self,
        kind: Literal["load", "unload"],
        name: str,
        work: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Raises ChangeRefused: another change is under way."""
        if not self._is_now(kind, name):
            if self.turn.locked():
                raise self._busy()
            await self.turn.acquire()  # free: nobody else runs before it is ours
            task = asyncio.create_task(work(), name=f"{kind} {name}")
            task.add_done_callback(self._ended)
            self._now = _Change(kind, name, task)
        if self._now is not None:
            await asyncio.shield(self._now.task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._now = None
        self.turn.release()
        if not task.cancelled():
            task.exception()  # the log has it; nobody need have waited for it

    def _is_now(self, kind: str, name: str) -> bool:
        return self._now is not None and (self._now.kind, self._now.name) == (kind, name)

    def _busy(self) -> ChangeRefused:
        now = self._now
        what = "models are loaded" if now is None else f"{now.name} is {now.kind}ed"
        return ChangeRefused("busy", f"Just now {what}, one change at a time: try again then.")

    def _own_name(self, name: str) -> str:
        entry = catalog.find(name)
        names = self._pool.names
        if names.is_served(name):
            return names.aliases.get(name, name)
        return name if entry is None else entry.name

    async def _load(self, name: str, *, force: bool) -> None:
        pool = self._pool
        if name in pool.loaded:  # a reload brought it just now
            return
        spec = pool.spec(name) or await asyncio.to_thread(_of_catalog, name)
        if not force:
            await self._check_room(spec)
        if pool.spec(name) is None:
            pool.plan_also(spec)
        before = pool.off.get(name)
        was = never_served(name) if before is None else before.was
        pool.off[name] = Off(state="loading", was=was)
        meter, started = MemoryMeter(), time.monotonic()
        try:
            await pool.bring(spec)
        except StartError as error:
            pool.off[name] = Off(state="failed", was=was, problem=str(error))
            log_refusal("model not loaded", str(error), model=name)
            raise
        except BaseException:
            pool.off[name] = Off(state="unloaded", was=was)
            raise
        log_event("model loaded", **self._told(name, started, await asyncio.to_thread(meter.end)))

    async def _check_room(self, spec: Spec) -> None:
        """Raises ChangeRefused."""
        try:
            needed = await asyncio.to_thread(self._footprint_bytes, spec)
        except StartError:  # which the load will say, with what is wrong
            return
        available = self._available_bytes()
        if needed is None or available is None or needed <= available * _SPARE:
            return
        raise ChangeRefused(
            "no_room",
            f"{spec.name} takes about {needed / _GB:.2g} GB, and {available / _GB:.2g} GB are "
            "available. Unload another model first, or force it.",
        )

    async def _unload(self, name: str) -> None:
        if name not in self._pool.loaded:  # a reload took it away just now
            return
        meter, started = MemoryMeter(), time.monotonic()
        was = at_rest(facts_of(name, self._pool))
        await self._freed(self._pool.take_off(name, was), name)
        found = await asyncio.to_thread(meter.end)
        self._pool.off[name] = Off(state="unloaded", was=was)
        log_event("model unloaded", **self._told(name, started, found))

    async def _freed(self, gone: LoadedModel, name: str) -> None:
        """Apart, so that nothing holds the model when memory is given back."""
        self._forget(name)
        await self._pool.free(gone)

    def _told(self, name: str, started: float, found: MemoryChange | None) -> dict[str, object]:
        """What the log says of a change that was made."""
        if found is not None:
            self.memory[name] = found
        return {
            "model": name,
            "seconds": round(time.monotonic() - started, 3),
            "before_bytes": None if found is None else found.before_bytes,
            "after_bytes": None if found is None else found.after_bytes,
        }


def _of_catalog(name: str) -> Spec:
    """A model that the settings do not name. Raises ChangeRefused."""
    if catalog.find(name) is None:
        raise ChangeRefused(
            "unknown",
            f"{_shown(name)} is no model of the settings and no name of the catalog, which "
            "`rerankd models` lists. A folder is served by `models` in the settings and a reload.",
        )
    try:
        return resolve(name)
    except StartError as error:
        raise ChangeRefused("unknown", str(error)) from error


def _shown(name: str) -> str:
    return repr(name[:100])
