"""Workers in the test's own process: the same messages over the same sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from itertools import count
from typing import Final

from rerankd.core.request import Content, RerankRequest
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Loaded, Spec
from rerankd.service.base import RerankCall, Trace
from rerankd.service.local import ScoringParts
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Limits, MediaSettings
from rerankd.workers.launch import WorkerProcess
from rerankd.workers.process import local, served
from rerankd.workers.shares import Cores
from rerankd.workers.team import WorkerTeam
from tests.kit.support import BytesModel

LIMITS: Final = Limits(request_tokens=100_000, queue_tokens=400_000)
PIDS: Final = count(1)

Load = Callable[[Spec], Loaded]


def load(spec: Spec) -> Loaded:
    """A model that answers at once."""
    return Loaded(model=BytesModel(spec.name, FakeEngine(max_length=None)), warnings=())


class Inside:
    """What stands for a process: a task."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.pid = next(PIDS)
        self._task = task
        self._status = 0

    def kill(self) -> None:
        """As kill -9: its socket is closed, nothing is said."""
        self._status = -9
        self._task.cancel()

    async def end(self, patience_s: float) -> int:
        """Its status."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(self._task, patience_s)
        return self._status


class Inn:
    """Starts workers, and has them in the order in which they came."""

    def __init__(self, load: Load = load) -> None:
        self.load = load
        self.workers: list[Inside] = []
        self.loop = asyncio.get_running_loop()
        self.fails = False  # whether the system has no room for another one

    async def __call__(self, cores: Cores, log: str) -> tuple[WorkerProcess, socket.socket]:
        """See workers.launch.Launch."""
        if self.fails:
            raise OSError(11, "Resource temporarily unavailable")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        task = asyncio.create_task(served(theirs, local(self._load)))
        self.workers.append(Inside(task))
        return self.workers[-1], ours

    def _load(self, spec: Spec) -> Loaded:
        """As it is loaded now."""
        return self.load(spec)


def planned(*names: str) -> ServingPlan:
    """Of models that ship inside, as far as anybody knows."""
    return ServingPlan(specs=tuple(Spec(name=name) for name in names), aliases={})


@contextlib.asynccontextmanager
async def team_of(
    workers: int, inn: Inn, *names: str, limits: Limits = LIMITS
) -> AsyncGenerator[WorkerTeam]:
    """A team that serves models."""
    team = WorkerTeam(ScoringParts(limits, MediaSettings(), None), workers, launch=inn)
    await team.start(planned(*(names or ("m",))))
    await team.load()
    try:
        yield team
    finally:
        await team.close()


def call(*documents: str, model: str = "m", query: str = "q", **more: object) -> RerankCall:
    """A call of one request."""
    request = RerankRequest(
        query=Content(value=query), documents=tuple(Content(value=each) for each in documents)
    )
    made = RerankCall(requests=(request,), model=model, trace=Trace())
    for name, value in more.items():
        object.__setattr__(made, name, value)
    return made
