"""What several workers say of themselves, as what one server says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rerankd.core.facts import BackendFacts, ModelFacts, WorkerFacts
from rerankd.core.names import Names


def merged(
    told: Sequence[BackendFacts],
    *,
    names: Names,
    floors: Mapping[str, float],
    limits: BackendFacts,
    workers: tuple[WorkerFacts, ...],
) -> BackendFacts:
    """One server's facts.

    Args:
        told: by the workers that run.
        names: who answers what.
        floors: of models.
        limits: of the whole server, as nobody had told yet.
        workers: how each does.
    """
    found: dict[str, list[ModelFacts]] = {name: [] for name in names.models}
    for facts in told:
        for model in facts.ready:
            if model.name in found:
                found[model.name].append(model)
    media: dict[str, int] = {}
    for facts in told:
        for form, size in facts.media_bytes.items():
            media[form] = media.get(form, 0) + size
    return replace(
        limits,
        models=tuple(_model(name, each, floors) for name, each in found.items()),
        names=names,
        tokenizers=sum(facts.tokenizers for facts in told),
        media_bytes=media,
        workers=workers,
    )


def _model(name: str, found: Sequence[ModelFacts], floors: Mapping[str, float]) -> ModelFacts:
    """One model of those that have it; they work side by side."""
    if not found:
        return ModelFacts(name=name, root=name, floor=floors.get(name))
    caches = [model.cache_bytes for model in found if model.cache_bytes is not None]
    return replace(
        found[0],
        waiting_tokens=sum(model.waiting_tokens for model in found),
        backlog_s=sum(model.backlog_s for model in found) / len(found),
        tokens_per_s=sum(model.tokens_per_s for model in found),
        cache_bytes=sum(caches) if caches else None,
    )
