"""The models that are loaded, under which names, and who answers a name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from rerankd.core.cascade import Cascade
from rerankd.core.errors import Overloaded, UnknownModel
from rerankd.models import catalog
from rerankd.models.base import Model
from rerankd.models.cause import explained
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.cache import ScoreCache
from rerankd.service.plan import ServingPlan
from rerankd.service.scheduler import Scheduler
from rerankd.settings.schema import Limits

ANY = "*"  # the alias that answers for every name that nothing else does
_SHOWN_NAME = 100  # characters of an unknown name that an error repeats


class LoadedModel(NamedTuple):
    """One loaded model with the queue in front of it."""

    model: Model
    scheduler: Scheduler
    warnings: tuple[str, ...]


class Pool:
    """Loads models off the event loop, finds them by name, swaps them on reload."""

    def __init__(
        self,
        limits: Limits,
        *,
        load: Callable[[Spec], Loaded] = load,
    ) -> None:
        self._load_spec = load
        self.limits = limits
        self.lag_s: Callable[[], float] = lambda: 0.0  # of the event loop
        self._plan = ServingPlan(specs=(), aliases={})
        self._served: dict[str, LoadedModel] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the planned models, default first."""
        return tuple(spec.name for spec in self._plan.specs)

    @property
    def aliases(self) -> Mapping[str, str]:
        """Served name -> model that answers."""
        return self._plan.aliases

    @property
    def cascades(self) -> Mapping[str, Cascade | None]:
        """Served name -> what stands before its model."""
        return self._plan.cascades

    @property
    def served(self) -> Mapping[str, LoadedModel]:
        """The models that are loaded, by name."""
        return self._served

    @property
    def is_ready(self) -> bool:
        """Whether every planned model is loaded."""
        return bool(self._plan.specs) and all(name in self._served for name in self.names)

    async def start(self, wanted: ServingPlan) -> None:
        """Announce a plan and load what ships inside; load() brings the checkpoints."""
        self._plan = wanted
        for spec in wanted.specs:
            if spec.folder is None:
                await self._load(spec)

    async def load(self) -> None:
        """Load what the plan names and is not there yet. Raises StartError."""
        for spec in self._plan.specs:
            if spec.name not in self._served:
                await self._load(spec)

    async def swap(self, wanted: ServingPlan) -> None:
        """Serve another plan without a gap: load what is new, then drop what is gone.

        Raises:
            StartError: a new model cannot be loaded; what was served stays.
        """
        await self.retire(await self.replace(wanted))

    async def replace(self, wanted: ServingPlan) -> tuple[LoadedModel, ...]:
        """Serve another plan from here on; returns what is gone, for `retire`.

        Raises:
            StartError: a new model cannot be loaded; what was served stays.
        """
        known = {spec.name: spec for spec in self._plan.specs}
        fresh = [spec for spec in wanted.specs if known.get(spec.name) != spec]
        loaded = await self._all_opened(fresh)
        kept = {spec.name for spec in wanted.specs} - {spec.name for spec in fresh}
        gone = tuple(served for name, served in self._served.items() if name not in kept)
        self._served = {n: s for n, s in self._served.items() if n in kept}
        self._served |= {name: self._serve(model) for name, model in loaded}
        self._plan = wanted
        return gone

    async def retire(self, gone: Sequence[LoadedModel]) -> None:
        """Free models that are served no more, each when its last request is answered."""
        await asyncio.gather(*(_retire(served.scheduler) for served in gone))

    def answering(self, name: str | None) -> str:
        """The name of the model that answers a requested name; None = the default.

        A name that is served, or else PUBLISHER/NAME for a folder that is served as NAME: the name
        of a folder says nothing of who published it. Or else what the alias `*` names, if the
        operator gave it.

        Raises:
            UnknownModel: nothing of that name is served; the message lists what is, and the
                commands that get a catalog model.
        """
        if name is None:
            return self.names[0]
        target = self.aliases.get(name, name)
        if target in self.names:
            return target
        if (folder := self._of_any_publisher(name)) is not None:
            return folder
        if ANY in self.aliases:
            return self.aliases[ANY]
        served = ", ".join([*self.names, *self.aliases])
        shown = name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}…"
        way_out = catalog.how_to_get(name) or (
            "`rerankd models` lists the catalog; "
            f"`rerankd serve --alias {shown}={self.names[0]}` answers for this name."
        )
        raise UnknownModel(f"model: {shown!r} is not served here. Served: {served}. {way_out}")

    def is_served(self, name: str) -> bool:
        """Whether a name is one of ours as it stands: a model's, or an alias."""
        return name != ANY and (name in self.aliases or name in self.names)

    def is_stood_in_for(self, name: str | None) -> bool:
        """Whether a requested name is answered by the alias `*` alone."""
        if name is None or self.is_served(name) or ANY not in self.aliases:
            return False
        return self._of_any_publisher(name) is None

    def _of_any_publisher(self, name: str) -> str | None:
        """The folder whose name a publisher's model has; never another publisher's model."""
        publisher, _, base = name.rpartition("/")
        folders = {spec.name for spec in self._plan.specs if spec.folder is not None}
        return base if publisher and "/" not in base and base in folders else None

    def cascade(self, name: str | None) -> Cascade | None:
        """What stands before the model that answers a name that is served; None = nothing.

        The name's own stages, else those of the model; a name may have none where the model has.
        """
        cascades, answers = self._plan.cascades, self.answering(name)
        if name is not None and name in cascades:
            return cascades[name]
        return cascades.get(answers)

    def get(self, name: str) -> LoadedModel:
        """A served model by its own name.

        Raises:
            Overloaded: it is still loading.
        """
        served = self._served.get(name)
        if served is None:
            raise Overloaded(f"{name} is still loading.", retry_after_s=2.0)
        return served

    async def close(self) -> None:
        """Free all models."""
        for served in self._served.values():
            await served.scheduler.close()
        self._served = {}

    async def _load(self, spec: Spec) -> None:
        self._served[spec.name] = self._serve(await self._opened(spec))

    async def _opened(self, spec: Spec) -> Loaded:
        limited = replace(spec, vector_cache_bytes=self.limits.vector_cache_bytes)
        return await asyncio.to_thread(self._load_explained, limited)

    def _load_explained(self, spec: Spec) -> Loaded:
        """On the thread: there are exceptions that no future brings back from there."""
        with explained(f"Model {spec.name}"):
            return self._load_spec(spec)

    async def _all_opened(self, specs: Sequence[Spec]) -> list[tuple[str, Loaded]]:
        """Every one, or none: those before one that fails are freed again."""
        loaded: list[tuple[str, Loaded]] = []
        try:
            for spec in specs:
                loaded.append((spec.name, await self._opened(spec)))  # noqa: PERF401 - kept if it fails
        except BaseException:
            for _, opened in loaded:
                await asyncio.to_thread(opened.model.engine.close)
            raise
        return loaded

    def _serve(self, loaded: Loaded) -> LoadedModel:
        cache_bytes = self.limits.score_cache_bytes
        scheduler = Scheduler(
            loaded.model.engine,
            request_tokens=self.limits.request_tokens,
            queue_tokens=self.limits.queue_tokens,
            wait_s=self.limits.wait_s,
            cache=ScoreCache(cache_bytes) if cache_bytes else None,
        )
        scheduler.admission.lag_s = self.lag_s
        return LoadedModel(loaded.model, scheduler, loaded.warnings)


async def _retire(scheduler: Scheduler) -> None:
    await scheduler.finish()
    await scheduler.close()
