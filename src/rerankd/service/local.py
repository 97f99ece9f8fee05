"""The backend of this process: loaded models, their queues, threads and health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rerankd.core.answer import Ranking
from rerankd.core.embedding import Embedded
from rerankd.core.facts import BackendFacts
from rerankd.core.graph_cache import GraphCache
from rerankd.core.names import Names
from rerankd.engines.memory import memory, rounded
from rerankd.media.fetch import Observe
from rerankd.media.gate import Resolve
from rerankd.media.loader import MediaLoader
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.base import EmbedCall, HealthVerdict, RerankCall
from rerankd.service.bodies import OfRequest, in_body
from rerankd.service.cascade import rank_in_stages
from rerankd.service.changes import Changes
from rerankd.service.embedding import embed
from rerankd.service.health import Health
from rerankd.service.lag import LoopLag
from rerankd.service.model_facts import facts_of
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits, MediaSettings
from rerankd.telemetry.logs import log_failed_task


class LocalBackend:
    """A Backend (service.base) around a pool and a pipeline; it closes both."""

    def __init__(self, pool: Pool, pipeline: Pipeline) -> None:
        self.pool = pool
        self.pipeline = pipeline
        self.health = Health(pool, lane=pipeline.lanes.small)
        self.changes = Changes(pool, self.health.forget)
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> Names:
        """Who answers what."""
        return self.pool.names

    def facts(self) -> BackendFacts:
        """What is loaded and what waits, now."""
        pool, media = self.pool, self.pipeline.media
        held = {} if media is None else {"encoded": media.encoded, "decoded": media.decoded}
        return BackendFacts(
            models=tuple(
                replace(facts_of(name, pool), memory=self.changes.memory.get(name))
                for name in pool.names.models
            ),
            names=pool.names,
            request_tokens=pool.limits.request_tokens,
            queue_tokens=pool.limits.queue_tokens,
            tokenizers=self.pipeline.lanes.threads,
            media_bytes={form: budget.used_bytes for form, budget in held.items()},
            memory=rounded(memory()),
        )

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        """The rankings, once the model is there."""
        loaded = self.pool.get(call.model)
        call.trace.engine = loaded.model.engine.info.name
        try:
            with loaded.scheduler.hold():
                if call.cascade is None:
                    return await self.pipeline.rank(call.requests, loaded, call)
                return await rank_in_stages(call, call.cascade, loaded, self.pool, self.pipeline)
        except OfRequest as error:
            raise in_body(error, call.places) from None

    async def embed(self, call: EmbedCall) -> Embedded:
        """The vectors, once the model is there."""
        loaded = self.pool.get(call.model)
        call.trace.engine = loaded.model.engine.info.name
        with loaded.scheduler.hold():
            return await embed(call, loaded, self.pipeline)

    def dimensions(self, model: str) -> int | None:
        """How many numbers its vectors have."""
        loaded, off = self.pool.loaded.get(model), self.pool.off.get(model)
        if loaded is None:
            return None if off is None else off.was.dimensions
        return None if loaded.embedder is None else loaded.embedder.dimensions

    def space(self, model: str) -> str:
        """The score space of a model; its name until it is loaded for the first time."""
        loaded, off = self.pool.loaded.get(model), self.pool.off.get(model)
        if loaded is None:
            return model if off is None else off.was.space or model
        return loaded.space

    def is_off(self, model: str) -> bool:
        """Whether it is neither loaded nor going to be."""
        return self.pool.is_off(model)

    async def check(self) -> HealthVerdict:
        """What each model's last probe said."""
        return await self.health.check()

    async def start(self, wanted: ServingPlan) -> None:
        """Announce a plan and load what ships inside."""
        await self.pool.start(wanted)

    async def load(self) -> None:
        """Load the checkpoints."""
        async with self.changes.turn:
            await self.pool.load()

    async def swap(self, wanted: ServingPlan) -> None:
        """Load what is new; what is gone is freed behind the caller's back."""
        async with self.changes.turn:
            gone = await self.pool.replace(wanted)
        if gone:
            task = asyncio.create_task(self.pool.retire(gone), name="free a model")
            self._retiring.add(task)
            task.add_done_callback(self._retired)

    async def load_model(self, name: str, *, force: bool = False) -> None:
        """Load one model beside the rest."""
        await self.changes.load(name, force=force)

    async def unload_model(self, name: str) -> None:
        """Free one model."""
        await self.changes.unload(name)

    async def close(self) -> None:
        """End probes, free the models, then the threads, also when that takes too long."""
        self.health.close()
        try:
            await self.changes.close()
            await self.pool.close()
        finally:
            self.pipeline.close()

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_failed_task(task.get_name(), error)


class ScoringParts(NamedTuple):
    """What the settings say that concerns whoever scores."""

    limits: Limits  # of requests, queues and caches
    media: MediaSettings
    graphs: GraphCache | None  # where compiled graphs are kept; None = nowhere


def local_backend(
    parts: ScoringParts,
    fetched: Observe,
    lag: LoopLag,
    *,
    load: Callable[[Spec], Loaded] = load,
    resolve: Resolve | None = None,
) -> LocalBackend:
    """What scores in this process; no model is loaded yet.

    Args:
        parts: of the settings.
        fetched: told how each fetch of an image or a video ended.
        lag: of the event loop that it will run on.
        load: opens and checks a model.
        resolve: host of an image's URL -> its addresses; None = as the system resolves names.

    Raises:
        StartError: an entry of media.allow cannot be read.
    """
    pool = Pool(parts.limits, load=load, graph_cache=parts.graphs)
    pool.lag_s = lag.seconds
    media = MediaLoader(parts.media, fetched, resolve=resolve)
    return LocalBackend(pool, Pipeline(parts.limits, media))
