"""How much a team gets done, with engines that take time on a clock that jumps."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from random import Random
from typing import cast

from rerankd.core.answer import Ranking
from rerankd.core.facts import BackendFacts, ModelFacts
from rerankd.core.names import Names
from rerankd.core.request import Content, RerankRequest
from rerankd.models.load import Spec
from rerankd.service.base import Backend, RerankCall
from rerankd.service.local import ScoringParts
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Limits, MediaSettings
from rerankd.workers.launch import WorkerProcess
from rerankd.workers.process import served
from rerankd.workers.team import WorkerTeam
from tests.workers.kit import Inside


class Waiting:
    """A backend whose engine does one request at a time and takes its time for it."""

    def __init__(self) -> None:
        self.names = Names()
        self._turn = asyncio.Lock()

    def facts(self) -> BackendFacts:
        """One model that is ready."""
        return BackendFacts(
            models=(ModelFacts(name="m", root="m", state="ready"),),
            names=self.names,
            request_tokens=1,
            queue_tokens=1,
            tokenizers=1,
        )

    async def start(self, wanted: ServingPlan) -> None:
        """It is there."""

    async def load(self) -> None:
        """It is loaded."""

    async def close(self) -> None:
        """Nothing to free."""

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        """A millisecond for each character."""
        took = sum(len(each.value) for each in call.requests[0].documents) / 1000
        call.trace.own_s = took
        await call.charge(1)
        async with self._turn:
            await asyncio.sleep(took)
        return [Ranking(model="m", hits=(), documents=1, input_tokens=1)]


def waiting(*_: object) -> Backend:
    """As workers.worker.Make."""
    return cast("Backend", Waiting())


async def launch(*_: object) -> tuple[WorkerProcess, socket.socket]:
    """A worker in this process; see workers.launch.Launch."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return Inside(asyncio.create_task(served(theirs, waiting))), ours


async def goodput(workers: int, seconds: float, clients: int) -> float:
    """Engine seconds of answered requests, for each second."""
    random, done = Random(1), 0.0

    team = WorkerTeam(ScoringParts(Limits(), MediaSettings(), None), workers, launch=launch)
    await team.start(ServingPlan(specs=(Spec(name="m"),), aliases={}))
    loop = asyncio.get_running_loop()
    begin = loop.time() + seconds / 4
    end = begin + seconds

    async def client() -> None:
        nonlocal done
        while loop.time() < end:
            size = int(random.lognormvariate(5.3, 0.7))  # a median of 0.2 s
            text = Content(value=f"{random.random()} ".ljust(size, "x"))
            request = RerankRequest(query=Content(value="q"), documents=(text,))
            await team.rerank(RerankCall(requests=(request,), model="m"))
            if begin <= loop.time() < end:
                done += len(text.value) / 1000

    await asyncio.gather(*(client() for _ in range(clients * workers)))
    await team.close()
    return done / seconds
