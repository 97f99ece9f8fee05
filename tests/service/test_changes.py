"""Models loaded and unloaded while others are served: what is refused, when, and what is freed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from rerankd.core.answer import Ranking
from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import ChangeRefused, ModelNotLoaded, Overloaded, StartError
from rerankd.core.facts import ModelFacts
from rerankd.models.load import Spec
from rerankd.service.base import NOT_LOADED, EmbedCall, RerankCall
from rerankd.service.changes import Changes
from rerankd.service.local import LocalBackend
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import ServingPlan
from rerankd.service.pool import LoadedModel, Pool
from rerankd.settings.schema import Limits
from tests.gateway.test_router import REQUEST
from tests.kit.shelf import Shelf, until

LIMITS = Limits(request_tokens=1000, queue_tokens=4000)


class Bench:
    """A backend that serves `a`, `b` and an alias of b, around a shelf."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.backend = LocalBackend(Pool(LIMITS, load=self.shelf.load), Pipeline(LIMITS))

    def facts(self, name: str) -> ModelFacts:
        """Of a model."""
        return next(each for each in self.backend.facts().models if each.name == name)

    async def rank(self, model: str) -> Ranking:
        """One request."""
        return (await self.backend.rerank(RerankCall(requests=(REQUEST,), model=model)))[0]

    def loaded(self, name: str) -> LoadedModel:
        """Of a model."""
        return self.backend.pool.get(name)


def planned(*names: str) -> ServingPlan:
    specs = tuple(Spec(name=name, folder=Path("/m") / name) for name in names)
    return ServingPlan(specs=specs, aliases={"alias": names[-1]})


@pytest.fixture
async def bench() -> AsyncGenerator[Bench]:
    made = Bench()
    await made.backend.start(planned("a", "b"))
    await made.backend.load()
    yield made
    for gate in made.shelf.held.values():
        gate.set()
    await made.backend.close()


async def test_who_is_unloaded_refuses_and_the_others_serve(bench: Bench) -> None:
    backend, before = bench.backend, bench.facts("b")
    await backend.unload_model("alias")
    with pytest.raises(ModelNotLoaded, match="b is not loaded now") as refused:
        await bench.rank("b")
    assert (refused.value.status, refused.value.reason) == (503, "model_not_loaded")
    assert refused.value.retry_after_s == 30
    embed = EmbedCall(request=EmbedRequest(texts=("x",), model="b"), model="b")
    with pytest.raises(ModelNotLoaded):
        await backend.embed(embed)
    assert (await bench.rank("a")).model == "a"
    assert [model.engine.closed for model in bench.shelf.opened] == [False, True]  # type: ignore[attr-defined]
    after = bench.facts("b")
    assert (after.state, after.is_awaited, after.waiting_tokens) == ("unloaded", False, 0)
    # what was said of it stays, so that a route's or a caller's scale does not change meanwhile
    assert (after.space, after.dimensions, after.engine) == (
        before.space,
        before.dimensions,
        "fake",
    )
    assert (backend.space("b"), backend.dimensions("b")) == (before.space, before.dimensions)
    assert [each.name for each in backend.facts().shown()] == ["a"]
    assert backend.names.find("alias") == "b"
    assert (backend.is_off("b"), backend.is_off("a")) == (True, False)


async def test_it_is_no_illness_and_the_server_stays_ready(bench: Bench) -> None:
    backend = bench.backend
    await backend.unload_model("b")
    verdict = await backend.check()
    assert (verdict.ok, verdict.models) == (True, {"a": "ok", "b": NOT_LOADED})
    assert backend.facts().is_ready
    gate = bench.shelf.hold("b")
    load = asyncio.create_task(backend.load_model("b"))
    await until(lambda: bench.facts("b").state == "loading")
    assert backend.facts().is_ready
    assert (await backend.check()).ok
    with pytest.raises(Overloaded, match="still loading"):
        await bench.rank("b")
    gate.set()
    await load
    assert (await backend.check()).models == {"a": "ok", "b": "ok"}


async def test_loaded_again_it_serves_and_both_may_be_said_twice(bench: Bench) -> None:
    backend = bench.backend
    scores = (await bench.rank("b")).hits
    for _ in range(2):
        await backend.unload_model("b")
    assert bench.facts("b").memory is not None
    for _ in range(2):
        await backend.load_model("b")
    assert bench.shelf.begun == ["a", "b", "b"]
    facts = bench.facts("b")
    assert (facts.state, facts.is_awaited, facts.problem) == ("ready", True, "")
    assert (await bench.rank("b")).hits == scores
    assert not backend.is_off("b")


async def test_requests_that_run_are_answered_before_it_goes(bench: Bench) -> None:
    backend, loaded = bench.backend, bench.loaded("b")
    with loaded.scheduler.hold():
        unload = asyncio.create_task(backend.unload_model("b"))
        await until(lambda: bench.facts("b").state == "unloading")
        with pytest.raises(ModelNotLoaded):
            await bench.rank("b")
        with pytest.raises(ChangeRefused, match="b is unloaded") as refused:
            await backend.load_model("b")
        assert refused.value.reason == "busy"
        again = asyncio.create_task(backend.unload_model("b"))
        await asyncio.sleep(0.02)
        assert [unload.done(), again.done()] == [False, False]
        assert not loaded.model.engine.closed  # type: ignore[attr-defined]
    await unload
    await again
    assert loaded.model.engine.closed  # type: ignore[attr-defined]


async def test_nothing_holds_a_model_that_was_unloaded(bench: Bench) -> None:
    await bench.backend.check()  # the probe's verdict had held it
    await bench.rank("b")
    model = weakref.ref(bench.loaded("b").model)
    bench.shelf.opened.clear()
    await bench.backend.unload_model("b")
    gc.collect()
    assert model() is None


async def test_one_change_at_a_time_and_the_same_one_is_waited_for(bench: Bench) -> None:
    backend = bench.backend
    await backend.unload_model("a")
    await backend.unload_model("b")
    gate = bench.shelf.hold("b")
    first = asyncio.create_task(backend.load_model("b"))
    await until(lambda: bench.facts("b").state == "loading")
    second = asyncio.create_task(backend.load_model("alias"))
    await asyncio.sleep(0)
    for change in (backend.load_model("a"), backend.unload_model("b")):
        with pytest.raises(ChangeRefused, match="Just now b is loaded") as refused:
            await change
        assert refused.value.reason == "busy"
    await backend.unload_model("a")  # it is, whatever else goes on
    first.cancel()  # whoever stops waiting stops nothing
    gate.set()
    await second
    assert bench.shelf.begun.count("b") == 2
    assert (await bench.rank("b")).model == "b"


async def test_one_that_cannot_be_loaded_says_why_and_can_be_tried_again(bench: Bench) -> None:
    backend = bench.backend
    await backend.unload_model("b")
    bench.shelf.broken.add("b")
    with pytest.raises(StartError, match="b is damaged"):
        await backend.load_model("b")
    facts = bench.facts("b")
    assert (facts.state, "b is damaged" in facts.problem) == ("failed", True)
    with pytest.raises(ModelNotLoaded) as told:
        await bench.rank("b")
    assert "damaged" not in str(told.value)
    assert (await backend.check()).ok
    assert backend.facts().is_ready
    await backend.unload_model("b")  # nothing to do
    assert bench.facts("b").state == "failed"
    bench.shelf.broken.clear()
    await backend.load_model("b")
    assert (await bench.rank("b")).model == "b"


async def test_a_reload_waits_for_a_load_and_makes_all_as_the_file_says(bench: Bench) -> None:
    backend = bench.backend
    await backend.unload_model("b")
    gate = bench.shelf.hold("rerankd-lexical")
    load = asyncio.create_task(backend.load_model("rerankd-lexical"))
    await until(lambda: "rerankd-lexical" in backend.names.models)
    swap = asyncio.create_task(backend.swap(planned("a", "b")))
    await asyncio.sleep(0.02)
    assert not swap.done()
    gate.set()
    await load
    await swap
    assert backend.names.models == ("a", "b")
    assert [each.state for each in backend.facts().models] == ["ready", "ready"]
    assert bench.shelf.begun == ["a", "b", "rerankd-lexical", "b"]  # a stayed as it was
    await until(lambda: bench.shelf.opened[2].engine.closed)  # type: ignore[attr-defined]


async def test_while_a_reload_loads_nothing_else_is_changed(bench: Bench) -> None:
    backend = bench.backend
    gate = bench.shelf.hold("c")
    swap = asyncio.create_task(backend.swap(planned("a", "b", "c")))
    await until(lambda: "c" in bench.shelf.begun)
    for change in (backend.load_model("rerankd-lexical"), backend.unload_model("b")):
        with pytest.raises(ChangeRefused, match="models are loaded") as refused:
            await change
        assert refused.value.reason == "busy"
    gate.set()
    await swap
    await backend.unload_model("c")
    assert bench.facts("c").state == "unloaded"


async def test_while_the_server_starts_nothing_else_is_changed() -> None:
    bench = Bench()
    gate = bench.shelf.hold("b")
    await bench.backend.start(planned("a", "b"))
    start = asyncio.create_task(bench.backend.load())
    await until(lambda: "b" in bench.shelf.begun)
    for change in (bench.backend.unload_model("a"), bench.backend.load_model("b")):
        with pytest.raises(ChangeRefused, match="models are loaded"):
            await change
    assert not bench.backend.facts().is_ready
    gate.set()
    await start
    await bench.backend.close()


async def test_a_model_of_the_catalog_is_added_behind_the_others(bench: Bench) -> None:
    backend = bench.backend
    await backend.load_model("rerankd-lexical")
    assert backend.names.models == ("a", "b", "rerankd-lexical")
    assert backend.names.find(None) == "a"
    assert (await bench.rank("rerankd-lexical")).model == "rerankd-lexical"
    await backend.unload_model("rerankd-lexical")
    assert bench.facts("rerankd-lexical").state == "unloaded"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc", "A folder is served by `models` in the settings"),
        ("tests", "A folder is served by `models` in the settings"),
        ("x" * 10_000, "no name of the catalog"),
        ("BAAI/bge-reranker-base", "rerankd pull BAAI/bge-reranker-base"),
    ],
    ids=lambda each: each[:20],
)
async def test_what_is_not_here_is_not_loaded(
    name: str, says: str, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ChangeRefused, match=says) as refused:
        await bench.backend.load_model(name)
    assert (refused.value.reason, len(str(refused.value)) < 500) == ("unknown", True)
    with pytest.raises(ChangeRefused, match="no model of this server"):
        await bench.backend.unload_model(name)
    assert bench.shelf.begun == ["a", "b"]
    assert bench.backend.names.models == ("a", "b")


async def test_without_room_nothing_is_opened_unless_it_is_forced(bench: Bench) -> None:
    backend, available = bench.backend, 1_000_000_000
    backend.changes = Changes(
        backend.pool,
        backend.health.forget,
        footprint_bytes=lambda spec: {"a": 901_000_000, "b": 899_000_000}.get(spec.name),
        available_bytes=lambda: available,
    )
    await backend.unload_model("a")
    await backend.unload_model("b")
    with pytest.raises(ChangeRefused, match=r"a takes about 0\.9 GB, and 1 GB are available") as no:
        await backend.load_model("a")
    assert no.value.reason == "no_room"
    assert bench.shelf.begun == ["a", "b"]
    assert bench.facts("a").state == "unloaded"
    await backend.load_model("b")
    await backend.load_model("a", force=True)
    await backend.load_model("rerankd-lexical")  # of which nothing is known
    assert bench.shelf.begun == ["a", "b", "b", "a", "rerankd-lexical"]


async def test_a_server_that_stops_frees_what_still_comes(bench: Bench) -> None:
    backend = bench.backend
    await backend.unload_model("b")
    gate = bench.shelf.hold("b")
    load = asyncio.create_task(backend.load_model("b"))
    await until(lambda: bench.shelf.begun == ["a", "b", "b"])
    await backend.close()
    with pytest.raises(asyncio.CancelledError):
        await load
    gate.set()
    await until(lambda: len(bench.shelf.opened) == 3)
    await until(lambda: bench.shelf.opened[2].engine.closed)  # type: ignore[attr-defined]


async def test_a_server_that_stops_does_not_wait_for_a_model_that_is_still_used(
    bench: Bench,
) -> None:
    loaded = bench.loaded("b")
    with loaded.scheduler.hold():
        unload = asyncio.create_task(bench.backend.unload_model("b"))
        await until(lambda: bench.facts("b").state == "unloading")
        await bench.backend.close()
        assert loaded.model.engine.closed  # type: ignore[attr-defined]
    with contextlib.suppress(asyncio.CancelledError):
        await unload


async def test_unloaded_and_loaded_under_load_no_request_is_lost(bench: Bench) -> None:
    backend = bench.backend
    ended: list[str] = []
    stop = False

    async def ask() -> None:
        while not stop:
            try:
                ended.append((await bench.rank("b")).model)
            except Overloaded as error:  # not loaded, or loading
                ended.append(type(error).__name__)
                await asyncio.sleep(0.001)

    callers = [asyncio.create_task(ask()) for _ in range(4)]
    for _ in range(5):
        seen = len(ended)
        await until(lambda seen=seen: "b" in ended[seen:])
        await backend.unload_model("b")
        await until(lambda seen=seen: "ModelNotLoaded" in ended[seen:])
        await backend.load_model("b")
    stop = True
    await asyncio.gather(*callers)
    assert set(ended) <= {"b", "ModelNotLoaded", "Overloaded"}
    assert [model.engine.closed for model in bench.shelf.opened[1:]] == [True] * 5 + [False]  # type: ignore[attr-defined]
