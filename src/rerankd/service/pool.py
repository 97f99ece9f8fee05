"""The models that are loaded, under which names, and who answers a name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rerankd.core.errors import ModelNotLoaded, Overloaded, StartError
from rerankd.core.facts import ModelFacts, ModelState, Task
from rerankd.core.graph_cache import GraphCache
from rerankd.core.names import Names
from rerankd.core.trial import PrecisionTrial, summary
from rerankd.models.base import AnyModel
from rerankd.models.cause import explained
from rerankd.models.embedder import Embedder
from rerankd.models.load import Loaded, Spec, load
from rerankd.models.space import space_of
from rerankd.service.cache import ScoreCache
from rerankd.service.plan import ServingPlan
from rerankd.service.scheduler import Scheduler
from rerankd.settings.schema import Limits
from rerankd.telemetry.logs import log_event

_Opened = tuple[Loaded, str]  # with its score space


class LoadedModel(NamedTuple):
    """One loaded model with the queue in front of it."""

    model: AnyModel
    scheduler: Scheduler
    warnings: tuple[str, ...]
    space: str
    trials: tuple[PrecisionTrial, ...] = ()  # of precision = "auto"

    @property
    def embedder(self) -> Embedder | None:
        """The model, if it embeds."""
        return self.model if isinstance(self.model, Embedder) else None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it may be asked to do."""
        ranks: tuple[Task, ...] = ("rerank",) if self.model.card.ranks else ()
        return ranks if self.embedder is None else (*ranks, "embed")


@dataclass(slots=True, kw_only=True)
class Off:
    """A model of the plan that an operator unloaded, or that did not load again."""

    state: ModelState  # any but ready
    was: ModelFacts  # as it was served; of one that never was, its name
    problem: str = ""  # why it failed


class Pool:
    """Loads models off the event loop, finds them by name, swaps them on reload."""

    def __init__(
        self,
        limits: Limits,
        *,
        load: Callable[[Spec], Loaded] = load,
        graph_cache: GraphCache | None = None,
    ) -> None:
        self._load_spec = load
        self._graph_cache = graph_cache
        self.limits = limits
        self.lag_s: Callable[[], float] = lambda: 0.0  # of the event loop
        self._plan = ServingPlan(specs=(), aliases={})
        self.names = Names()  # who answers what
        self._loaded: dict[str, LoadedModel] = {}
        self.off: dict[str, Off] = {}  # by name; what loads for the first time is not among them

    @property
    def loaded(self) -> Mapping[str, LoadedModel]:
        """The models that are loaded, by name."""
        return self._loaded

    @property
    def floors(self) -> Mapping[str, float]:
        """The operator's, by name of a model."""
        return self._plan.floors

    async def start(self, wanted: ServingPlan) -> None:
        """Announce a plan and load what ships inside; load() brings the checkpoints."""
        self._announce(wanted)
        for spec in wanted.specs:
            if spec.folder is None:
                await self._load(spec)

    async def load(self) -> None:
        """Load what the plan names and is not there yet. Raises StartError."""
        for spec in self._plan.specs:
            if spec.name not in self._loaded:
                await self._load(spec)

    async def replace(self, wanted: ServingPlan) -> tuple[LoadedModel, ...]:
        """Serve another plan from here on; returns what is gone, for `retire`.

        Raises:
            StartError: a new model cannot be loaded, or a floor is no score of its model; what was
                served stays.
        """
        known = {spec.name: spec for spec in self._plan.specs if spec.name in self._loaded}
        fresh = [spec for spec in wanted.specs if known.get(spec.name) != spec]
        kept = {spec.name for spec in wanted.specs} - {spec.name for spec in fresh}
        for name in kept & self._loaded.keys():
            _check_floor(self._loaded[name].model, wanted.floors.get(name))
        loaded = await self._all_opened(fresh, wanted.floors)
        gone = tuple(old for name, old in self._loaded.items() if name not in kept)
        self._loaded = {n: s for n, s in self._loaded.items() if n in kept}
        self._loaded |= {name: self._serve(*opened) for name, opened in loaded}
        self._announce(wanted)
        self.off = {}
        return gone

    def spec(self, name: str) -> Spec | None:
        """What is planned under a model's own name."""
        return next((spec for spec in self._plan.specs if spec.name == name), None)

    def plan_also(self, spec: Spec) -> None:
        """Plan one more model, the last; its other names are its own where nobody has them."""
        taken = {*self.names.models, *self.names.aliases}
        more = {alias: spec.name for alias in spec.aliases if alias not in taken}
        aliases = {**self._plan.aliases, **more}
        specs = (*self._plan.specs, spec)
        self._announce(replace(self._plan, specs=specs, aliases=aliases))

    async def bring(self, spec: Spec) -> None:
        """Load one planned model and serve it. Raises StartError."""
        await self._load(spec)
        self.off.pop(spec.name, None)

    def take_off(self, name: str, was: ModelFacts) -> LoadedModel:
        """Serve a loaded model no more; it is still to be retired."""
        self.off[name] = Off(state="unloading", was=was)
        return self._loaded.pop(name)

    async def retire(self, gone: Sequence[LoadedModel]) -> None:
        """Free models that are served no more, each when its last request is answered."""
        await asyncio.gather(*map(self.free, gone))

    async def free(self, gone: LoadedModel) -> None:
        """Free a model that is served no more when its last request is answered.

        Cancelled, it does not wait for these: they get a 503.
        """
        try:
            await gone.scheduler.finish()
        finally:
            await gone.scheduler.close()

    def get(self, name: str) -> LoadedModel:
        """A loaded model by its own name.

        Raises:
            ModelNotLoaded: an operator unloaded it, or it could not be loaded again.
            Overloaded: it is still loading.
        """
        loaded = self._loaded.get(name)
        if loaded is None:
            if self.is_off(name):
                raise ModelNotLoaded(name)
            raise Overloaded(f"{name} is still loading.", retry_after_s=2.0)
        return loaded

    def is_off(self, name: str) -> bool:
        """Whether a model is neither loaded nor going to be."""
        off = self.off.get(name)
        return off is not None and off.state != "loading"

    async def close(self) -> None:
        """Free all models."""
        for loaded in self._loaded.values():
            await loaded.scheduler.close()
        self._loaded = {}

    def _announce(self, wanted: ServingPlan) -> None:
        self._plan = wanted
        self.names = wanted.names()

    async def _load(self, spec: Spec) -> None:
        self._loaded[spec.name] = self._serve(*await self._opened(spec, self.floors.get(spec.name)))

    async def _opened(self, spec: Spec, floor: float | None) -> _Opened:
        limited = replace(
            spec,
            vector_cache_bytes=self.limits.vector_cache_bytes,
            graph_cache=self._graph_cache,
        )
        opening = asyncio.create_task(asyncio.to_thread(self._load_explained, limited, floor))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread goes on, and nobody wants what it brings
            opening.add_done_callback(_closed)
            raise

    def _load_explained(self, spec: Spec, floor: float | None) -> _Opened:
        """On the thread: there are exceptions that no future brings back from there."""
        with explained(f"Model {spec.name}"):
            loaded = self._load_spec(spec)
            try:
                _check_floor(loaded.model, floor)
            except StartError:
                loaded.model.engine.close()
                raise
            return loaded, space_of(loaded.model, spec.folder, spec.options.prompt)

    async def _all_opened(
        self, specs: Sequence[Spec], floors: Mapping[str, float]
    ) -> list[tuple[str, _Opened]]:
        """Every one, or none: those before one that fails are freed again."""
        loaded: list[tuple[str, _Opened]] = []
        try:
            for spec in specs:
                opened = await self._opened(spec, floors.get(spec.name))
                loaded.append((spec.name, opened))
        except BaseException:
            for _, (opened, _) in loaded:
                await asyncio.to_thread(opened.model.engine.close)
            raise
        return loaded

    def _serve(self, loaded: Loaded, space: str) -> LoadedModel:
        cache_bytes = self.limits.score_cache_bytes
        scheduler = Scheduler(
            loaded.model.engine,
            request_tokens=self.limits.request_tokens,
            queue_tokens=self.limits.queue_tokens,
            wait_s=self.limits.wait_s,
            cache=ScoreCache(cache_bytes) if cache_bytes else None,
        )
        scheduler.admission.lag_s = self.lag_s
        if loaded.trials:
            log_event(
                "precision chosen", model=loaded.model.card.name, tried=summary(loaded.trials)
            )
        return LoadedModel(loaded.model, scheduler, loaded.warnings, space, loaded.trials)


def _check_floor(model: AnyModel, floor: float | None) -> None:
    """Raises StartError when no score of the model could be at a floor."""
    low, high = model.card.activation.low, model.card.activation.high
    if floor is not None and not low <= floor <= high:
        name = model.card.name
        raise StartError(
            f'model."{name}".floor: {floor:g}; scores of {name} are from {low:g} to {high:g}.'
        )


def _closed(opening: asyncio.Task[_Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].model.engine.close()
