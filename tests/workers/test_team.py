"""A team of workers: one charge, one admission, one answer, whatever becomes of a worker."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import (
    ChangeRefused,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    StartError,
)
from rerankd.core.options import LoadOptions
from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import EmbedCall
from rerankd.service.local import ScoringParts
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Limits, MediaSettings
from rerankd.workers.team import WorkerTeam
from tests.kit.support import BytesModel
from tests.workers.kit import LIMITS, Inn, call, load, planned, team_of


class Gate(FakeEngine):
    """Begins each batch when it may."""

    def __init__(self) -> None:
        super().__init__(max_length=None)
        self.began = threading.Semaphore(0)
        self.may = threading.Semaphore(0)

    def forward(self, batch: Sequence[Row]) -> Logits:
        self.began.release()
        self.may.acquire()
        return super().forward(batch)


class Gates:
    """Loads models whose engines wait, and has these."""

    def __init__(self) -> None:
        self.engines: list[Gate] = []

    def load(self, spec: Spec) -> Loaded:
        self.engines.append(Gate())
        return Loaded(model=BytesModel(spec.name, self.engines[-1]), warnings=())

    def open(self) -> None:
        """Let everything run, from here on."""
        for engine in self.engines:
            engine.may.release(1_000_000)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def busy(team: WorkerTeam) -> list[int]:
    """Requests at each worker."""
    return [worker.running for worker in team.facts().workers]


async def test_a_call_is_answered_and_what_it_took_is_told() -> None:
    charged: list[int] = []

    async def charge(tokens: int) -> None:
        charged.append(tokens)

    async with team_of(2, Inn()) as team:
        asked = call("one", "three", charge=charge)
        (ranking,) = await team.rerank(asked)
        assert sorted(hit.index for hit in ranking.hits) == [0, 1]
        assert charged == [ranking.input_tokens]
        assert asked.trace.engine == "fake"
        assert asked.trace.cost.input_tokens == ranking.input_tokens
        assert asked.trace.cost.pairs == 2
        texts = EmbedRequest(texts=("one", "two"))
        found = await team.embed(EmbedCall(request=texts, model="m", charge=charge))
        assert found.vectors.shape == (2, team.dimensions("m"))
        assert found.vectors.dtype == np.float32
        assert charged[1:] == [found.input_tokens]
        assert team.space("m") != "m"
        assert team.space("nobody") == "nobody"
        assert (await team.check()).models == {"m": "ok"}


async def test_who_may_not_pay_leaves_the_worker() -> None:
    async def refuse(tokens: int) -> None:
        raise QuotaExceeded("Nothing is left.")

    gates = Gates()
    async with team_of(1, Inn(gates.load)) as team:
        with pytest.raises(QuotaExceeded, match="Nothing is left"):
            await team.rerank(call("one", charge=refuse))
        await until(lambda: team.members[0].shown().running == 0)
        await _idle(team)
        assert not gates.engines[0].batches
        gates.open()


async def _idle(team: WorkerTeam) -> None:
    """Until the workers have nothing left either."""
    for member in team.members:
        await until(lambda m=member: m.shown().waiting_tokens == 0)


async def test_whoever_leaves_takes_its_rows_along() -> None:
    gates = Gates()
    async with team_of(1, Inn(gates.load)) as team:
        first = asyncio.create_task(team.rerank(call("first")))
        await asyncio.to_thread(gates.engines[0].began.acquire)
        second = asyncio.create_task(team.rerank(call("second")))
        await until(lambda: team.facts().models[0].waiting_tokens > 0)
        second.cancel()
        await until(lambda: team.facts().models[0].waiting_tokens == 0)
        gates.open()
        await first
        assert gates.engines[0].batches == [1]
        assert busy(team) == [0]


async def test_what_a_worker_had_runs_on_another_and_is_charged_once() -> None:
    charged: list[int] = []

    async def charge(tokens: int) -> None:
        charged.append(tokens)

    gates, inn = Gates(), Inn()
    inn.load = gates.load
    async with team_of(2, inn) as team:
        running = asyncio.create_task(team.rerank(call("a document", charge=charge)))
        await until(lambda: sum(busy(team)) == 1 and bool(charged))
        (first,) = (n for n, requests in enumerate(busy(team)) if requests)
        inn.workers[first].kill()
        await until(lambda: busy(team)[1 - first] == 1)
        gates.open()
        (ranking,) = await running
        assert charged == [ranking.input_tokens]
        await until(lambda: team.facts().workers[first].restarts == 1)
        assert team.facts().workers[first].state == "running"
        assert team.facts().workers[first].reruns == 1
        gates.open()


async def test_what_ends_one_worker_after_the_other_is_given_up() -> None:
    inn, loop = Inn(), asyncio.get_running_loop()

    class Lethal(FakeEngine):
        """Whoever runs it is killed."""

        def forward(self, batch: Sequence[Row]) -> Logits:
            for worker in inn.workers[-3:]:
                loop.call_soon_threadsafe(worker.kill)
            time.sleep(0.05)
            return super().forward(batch)

    def lethal(spec: Spec) -> Loaded:
        return Loaded(model=BytesModel(spec.name, Lethal(max_length=None)), warnings=())

    inn.load = lethal
    async with team_of(1, inn) as team:
        with pytest.raises(EngineFailed):
            await team.rerank(call("poison"))
        assert team.facts().workers[0].reruns == 3


async def test_a_worker_that_cannot_start_is_tried_again() -> None:
    inn = Inn()
    async with team_of(2, inn) as team:
        inn.fails = True
        inn.workers[0].kill()
        await until(lambda: team.facts().workers[0].state == "ended")
        assert await team.rerank(call("one"))  # the other one is there
        assert (await team.check()).models == {"m": "ok"}
        assert team.facts().is_ready
        inn.workers[1].kill()
        await until(lambda: not team.facts().is_ready)
        waiting = asyncio.create_task(team.rerank(call("one")))
        await asyncio.sleep(0.05)
        assert not waiting.done()  # until one is back
        inn.fails = False
        assert await waiting


async def test_a_worker_that_does_not_come_back_in_time_is_a_503() -> None:
    inn = Inn()
    async with team_of(1, inn, limits=Limits(wait_s=0.1)) as team:
        inn.fails = True
        inn.workers[0].kill()
        await until(lambda: team.facts().workers[0].state == "ended")
        with pytest.raises(Overloaded, match="No worker has m now"):
            await team.rerank(call("one"))
        with pytest.raises(Overloaded, match="x is still loading"):
            await team.rerank(call("one", model="x"))


async def test_what_a_worker_refuses_is_refused_with_its_own_words() -> None:
    async with team_of(1, Inn(), limits=Limits(request_tokens=10)) as team:
        with pytest.raises(InvalidRequest, match=r"limits\.request_tokens"):
            await team.rerank(call("a text of more than ten bytes"))


async def test_models_come_and_go_by_the_settings_alone() -> None:
    async with team_of(1, Inn()) as team:
        for change in (team.load_model("m"), team.unload_model("m")):
            with pytest.raises(ChangeRefused, match="by the settings and a reload") as refused:
                await change
            assert refused.value.reason == "not_possible"
        assert not team.is_off("m")
        assert await team.rerank(call("x"))


async def test_a_failure_inside_a_worker_is_told_without_its_words() -> None:
    class Broken(FakeEngine):
        def forward(self, batch: Sequence[Row]) -> Logits:
            if any(row.tokens > 40 for row in batch):
                raise RuntimeError("secret")
            return super().forward(batch)

    def broken(spec: Spec) -> Loaded:
        return Loaded(model=BytesModel(spec.name, Broken(max_length=None)), warnings=())

    async with team_of(1, Inn(broken)) as team:
        with pytest.raises(EngineFailed) as failed:
            await team.rerank(call("x" * 50))
        assert "secret" not in str(failed.value)
        assert await team.rerank(call("x"))


async def test_another_plan_is_served_by_all_workers_or_by_none() -> None:
    inn = Inn()
    async with team_of(2, inn) as team:
        await team.swap(planned("m", "other"))
        assert team.names.models == ("m", "other")
        assert all(worker.models == ("m", "other") for worker in team.facts().workers)
        assert await team.rerank(call("one", model="other"))
        opened: list[str] = []

        def second_fails(spec: Spec) -> Loaded:
            opened.append(spec.name)
            if len(opened) == 2:
                raise StartError("No room.")
            return load(spec)

        inn.load = second_fails
        before = [worker.pid for worker in team.facts().workers]
        with pytest.raises(StartError, match="No room"):
            await team.swap(planned("m", "new"))
        assert team.names.models == ("m", "other")
        assert all(worker.models == ("m", "other") for worker in team.facts().workers)
        assert [worker.pid for worker in team.facts().workers] == before
        assert await team.rerank(call("one", model="other"))


async def test_a_worker_that_ends_while_it_takes_a_plan_is_started_with_it() -> None:
    inn, may = Inn(), threading.Event()
    opened: list[str] = []

    def slow(spec: Spec) -> Loaded:
        opened.append(spec.name)
        if len(opened) == 1:
            may.wait(60)
        return load(spec)

    async with team_of(2, inn) as team:
        inn.load = slow
        changing = asyncio.create_task(team.swap(planned("m", "new")))
        await until(lambda: opened == ["new"])
        inn.workers[0].kill()
        assert await team.rerank(call("one"))
        may.set()
        await changing
        assert all(worker.models == ("m", "new") for worker in team.facts().workers)
        await until(lambda: team.facts().workers[0].restarts == 1)
        assert len(inn.workers) == 3  # not started twice
        assert await team.rerank(call("one", model="new"))


async def test_a_plan_that_ends_a_worker_twice_is_refused() -> None:
    inn = Inn()

    def lethal(spec: Spec) -> Loaded:
        if spec.name == "new":
            inn.loop.call_soon_threadsafe(inn.workers[-1 if len(inn.workers) > 2 else 0].kill)
            time.sleep(0.05)
        return load(spec)

    async with team_of(2, inn) as team:
        inn.load = lethal
        with pytest.raises(StartError, match="Worker 0 ended"):
            await team.swap(planned("m", "new"))
        await until(lambda: [w.restarts for w in team.facts().workers] == [1, 0])
        assert all(worker.models == ("m",) for worker in team.facts().workers)
        assert await team.rerank(call("one"))


async def test_a_plan_that_comes_while_a_worker_is_away_is_tried_by_it() -> None:
    def refuses(spec: Spec) -> Loaded:
        if spec.name == "new":
            raise StartError("No room.")
        return load(spec)

    inn = Inn()
    async with team_of(1, inn) as team:
        inn.load = refuses
        inn.workers[0].kill()
        await until(lambda: team.facts().workers[0].state == "ended")
        with pytest.raises(StartError, match="No room"):
            await team.swap(planned("m", "new"))
        assert team.names.models == ("m",)
        assert await team.rerank(call("one"))


async def test_a_worker_that_loads_makes_nobody_ill() -> None:
    inn, may = Inn(), threading.Event()

    def slow(spec: Spec) -> Loaded:
        may.wait(60)
        return load(spec)

    async with team_of(2, inn) as team:
        inn.load = slow
        inn.workers[0].kill()
        await until(lambda: len(inn.workers) == 3 and team.members[0].remote is not None)
        verdicts: list[bool] = []
        while team.members[0].verdict != {"m": "loading"}:
            verdicts.append((await team.check()).ok)
            await asyncio.sleep(0.02)
        assert (await team.check()).ok
        assert all(verdicts)
        may.set()


async def test_what_a_silent_worker_has_runs_on_another_and_is_charged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rerankd.workers.worker.TELL_S", 3600)
    charged: list[int] = []

    async def charge(tokens: int) -> None:
        charged.append(tokens)

    gates = Gates()
    async with team_of(2, Inn(gates.load)) as team:
        running = asyncio.create_task(team.rerank(call("a document", charge=charge)))
        await until(lambda: sum(busy(team)) == 1 and bool(charged))
        (first,) = (n for n, requests in enumerate(busy(team)) if requests)
        silent = team.members[first].remote
        assert silent is not None
        for member in team.members:
            assert member.remote is not None
            member.remote.heard += 3600 if member.remote is not silent else -10
        await until(lambda: busy(team)[1 - first] == 1)
        assert team.facts().workers[first].state == "silent"
        gates.open()
        (ranking,) = await running
        assert charged == [ranking.input_tokens]
        worker = team.facts().workers[first]
        assert (worker.reruns, worker.restarts, worker.running) == (1, 0, 0)


async def test_a_start_that_fails_names_the_cause_and_leaves_no_worker() -> None:
    def fails(spec: Spec) -> Loaded:
        raise StartError(f"{spec.name} is damaged.")

    inn = Inn(fails)
    with pytest.raises(StartError, match="m is damaged"):
        async with team_of(2, inn):
            pass
    for worker in inn.workers:
        await worker.end(60)


async def test_lists_go_where_they_were_and_to_others_when_that_is_sooner() -> None:
    async with team_of(2, Inn()) as team:
        for _ in range(3):
            for mark in "abcdef":
                await team.rerank(call(*(f"{mark}{i}" for i in range(9))))
        assert {worker.answered % 3 for worker in team.facts().workers} == {0}
    gates = Gates()
    async with team_of(2, Inn(gates.load)) as team:
        held = [asyncio.create_task(team.rerank(call(f"list {n}" * 9))) for n in range(8)]
        await until(lambda: sum(busy(team)) == 8)
        assert busy(team) == [4, 4]
        gates.open()
        await asyncio.gather(*held)


async def test_a_queue_without_room_refuses_whole_requests() -> None:
    """Two workers have half the queue each, and whoever has room is asked."""
    gates = Gates()
    limits = Limits(request_tokens=1000, queue_tokens=400)
    async with team_of(2, Inn(gates.load), limits=limits) as team:
        held = [asyncio.create_task(team.rerank(call(mark * 150))) for mark in "ab"]
        for engine in gates.engines:
            await asyncio.to_thread(engine.began.acquire)
        held += [asyncio.create_task(team.rerank(call(mark * 150))) for mark in "cd"]
        await until(lambda: team.facts().models[0].waiting_tokens >= 300)
        assert busy(team) == [2, 2]
        with pytest.raises(Overloaded, match="The queue holds"):
            await team.rerank(call("e" * 150))
        assert busy(team) == [2, 2]
        gates.open()
        assert all(len(each) == 1 for each in await asyncio.gather(*held))


async def test_all_workers_run_in_the_precision_that_the_first_one_found() -> None:
    asked: list[str | None] = []

    def picks(spec: Spec) -> Loaded:
        """Each would choose otherwise."""
        precision = spec.options.precision
        if spec.name != "m":
            asked.append(precision)
        engine = FakeEngine(max_length=None)
        if precision == "auto":
            precision = "bf16" if len(asked) == 1 else "int8"
        engine.info = dataclasses.replace(engine.info, precision=precision or "fp32")
        return Loaded(model=BytesModel(spec.name, engine), warnings=())

    auto = LoadOptions(precision="auto")
    inn = Inn(picks)
    team = WorkerTeam(ScoringParts(LIMITS, MediaSettings(), None), 3, launch=inn)
    first = Spec(name="a", folder=Path("/m/a"), options=auto)
    await team.start(ServingPlan(specs=(Spec(name="m"), first), aliases={}))
    try:
        assert asked == []
        await team.load()
        assert asked == ["auto", "bf16", "bf16"]
        inn.workers[0].kill()
        await until(lambda: team.facts().workers[0].restarts == 1)
        assert asked == ["auto", "bf16", "bf16", "bf16"]
        asked.clear()
        second = Spec(name="b", folder=Path("/m/b"), options=auto)
        await team.swap(ServingPlan(specs=(Spec(name="m"), first, second), aliases={}))
        assert asked == ["auto", "bf16", "bf16"]
        facts = [member.facts for member in team.members]
        found = {model.precision for told in facts if told for model in told.ready[1:]}
        assert found == {"bf16"}
    finally:
        await team.close()
