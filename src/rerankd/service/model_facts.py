"""What is published of one model of a pool: as it is now, or as it was when it was last served."""

from __future__ import annotations

from msgspec.structs import replace

from rerankd.core.facts import ModelFacts
from rerankd.service.pool import LoadedModel, Pool


def facts_of(name: str, pool: Pool) -> ModelFacts:
    """Of a planned model, by its own name."""
    loaded, off = pool.loaded.get(name), pool.off.get(name)
    floor = pool.floors.get(name)
    if loaded is not None:
        return _ready(name, loaded, floor)
    if off is None:
        return ModelFacts(name=name, root=name, floor=floor)
    return replace(off.was, state=off.state, problem=off.problem, floor=floor)


def at_rest(ready: ModelFacts) -> ModelFacts:
    """What stays true of a model that is not loaded any more."""
    return replace(
        ready, is_awaited=False, waiting_tokens=0, backlog_s=0.0, tokens_per_s=0.0, cache_bytes=None
    )


def never_served(name: str) -> ModelFacts:
    """Of a model that is loaded at run time for the first time."""
    return ModelFacts(name=name, root=name, is_awaited=False)


def _ready(name: str, loaded: LoadedModel, floor: float | None) -> ModelFacts:
    card, info, scheduler = loaded.model.card, loaded.model.engine.info, loaded.scheduler
    return ModelFacts(
        name=name,
        root=name,
        state="ready",
        window_tokens=card.window_tokens,
        modalities=tuple(sorted(card.modalities)),
        tasks=loaded.tasks,
        dimensions=None if loaded.embedder is None else loaded.embedder.dimensions,
        engine=info.name,
        device=info.device,
        precision=info.precision,
        precision_trials=loaded.trials,
        space=loaded.space,
        floor=floor,
        warnings=loaded.warnings,
        waiting_tokens=scheduler.waiting_tokens,
        backlog_s=scheduler.admission.backlog_s,
        tokens_per_s=scheduler.admission.pace.tokens_per_s,
        cache_bytes=None if scheduler.cache is None else scheduler.cache.used_bytes,
    )
