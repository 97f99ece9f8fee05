"""The backend of this process: what it publishes, and what it frees."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rerankd.core.facts import ModelFacts
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import Backend, RerankCall
from rerankd.service.local import LocalBackend
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.gateway.test_router import REQUEST
from tests.kit.support import BytesModel

LIMITS = Limits(request_tokens=1000, queue_tokens=4000, score_cache_bytes=10_000)


def load(spec: Spec) -> Loaded:
    return Loaded(model=BytesModel(spec.name), warnings=(f"{spec.name} warns",))


def backend_of() -> LocalBackend:
    return LocalBackend(Pool(LIMITS, load=load), Pipeline(LIMITS))


def planned(*names: str) -> ServingPlan:
    specs = tuple(Spec(name=name, folder=Path("/m") / name) for name in names)
    return ServingPlan(specs=specs, aliases={"alias": names[-1], "*": names[0]})


async def test_facts_of_models_that_load_and_that_are_there() -> None:
    backend: Backend = backend_of()
    assert not backend.facts().is_ready
    await backend.start(planned("a", "b"))
    facts = backend.facts()
    assert (facts.models[0], facts.ready) == (ModelFacts(name="a", root="a"), ())
    assert not facts.is_ready
    await backend.load()
    await backend.rerank(RerankCall(requests=(REQUEST,), model="b"))
    facts = backend.facts()
    assert facts.is_ready
    assert [(m.name, m.root, m.engine) for m in facts.shown()] == [
        ("a", "a", "fake"),
        ("b", "b", "fake"),
        ("alias", "b", "fake"),
    ]
    a, b = facts.ready
    assert (a.device, a.precision, a.modalities) == ("cpu", "fp32", ("text",))
    assert (a.warnings, a.cache_bytes, a.tokens_per_s) == (("a warns",), 0, 0.0)
    assert b.cache_bytes
    assert (facts.request_tokens, facts.queue_tokens, facts.tokenizers) == (1000, 4000, 4)
    assert (await backend.check()).models == {"a": "ok", "b": "ok"}
    await backend.close()


async def test_what_a_swap_drops_is_freed_when_its_last_request_is_answered() -> None:
    backend = backend_of()
    await backend.start(planned("a"))
    await backend.load()
    gone = backend.pool.get("a")
    with gone.scheduler.hold():
        await backend.swap(planned("b"))
        assert backend.names.models == ("b",)
        await asyncio.sleep(0)
        assert not gone.model.engine.closed  # type: ignore[attr-defined]
    while not gone.model.engine.closed:  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
    await backend.close()


async def test_the_threads_end_when_a_model_cannot_be_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = backend_of()

    async def stuck() -> None:
        raise TimeoutError

    monkeypatch.setattr(backend.pool, "close", stuck)
    with pytest.raises(TimeoutError):
        await backend.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        backend.pipeline.lanes.small.submit(print)
