"""A Backend of N processes. Those that end are replaced; what is served changes one by one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from rerankd.core.answer import Ranking
from rerankd.core.embedding import Embedded
from rerankd.core.errors import ChangeRefused, StartError
from rerankd.core.facts import BackendFacts
from rerankd.core.names import Names
from rerankd.engines.cores import usable_cores
from rerankd.service.base import EmbedCall, HealthVerdict, RerankCall
from rerankd.service.local import ScoringParts
from rerankd.service.plan import ServingPlan
from rerankd.telemetry.logs import log_event, log_failed_task, log_refusal
from rerankd.workers.dispatch import Dispatch
from rerankd.workers.launch import Launch, check_possible, launched
from rerankd.workers.member import Member
from rerankd.workers.merged import merged
from rerankd.workers.messages import Setup
from rerankd.workers.precisions import Precisions
from rerankd.workers.remote import WorkerLost
from rerankd.workers.shares import cores_of, shared, workers_for

_CHECK_S: Final = 1.0  # how old a verdict may be
_MOMENT_S: Final = 0.3  # how long whoever asks waits for a new one
_WATCH_S: Final = 1.0
_DEAD_S: Final = 60.0  # without a frame: the process is killed, and replaced
_AGAIN_S: Final = 0.1  # before a worker that has ended is started again; doubled while it fails
_AGAIN_MOST_S: Final = 30.0
_STABLE_S: Final = 60.0  # one that ran for so long has not failed


def _unseen(outcome: str, size: int, seconds: float) -> None:
    """Nobody counts fetches."""


class WorkerTeam:
    """See service.base.Backend."""

    def __init__(
        self,
        parts: ScoringParts,
        workers: int,
        *,
        log: str = "auto",
        fetched: Callable[[str, int, float], None] = _unseen,
        launch: Launch = launched,
    ) -> None:
        """No process yet.

        Args:
            parts: of the settings; each worker gets its share.
            workers: how many there are.
            log: form of their log.
            fetched: told how each fetch of an image or a video ended.
            launch: starts a worker's process.

        Raises:
            StartError: this system cannot have workers.
        """
        check_possible()
        self.names = Names()
        self._limits = parts.limits
        self._plan = ServingPlan(specs=(), aliases={})
        self._is_loaded = False  # checkpoints, too
        self._precisions = Precisions()
        self._known: dict[str, tuple[str, int | None]] = {}  # of models: space, dimensions
        self._changing = asyncio.Lock()  # of the plan; no worker is started meanwhile
        self._checked_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        share = shared(parts, workers)
        self.members = tuple(
            Member(
                Setup(number, share.limits, share.media, share.graphs),
                own,
                launch=launch,
                log=log,
                fetched=lambda message: fetched(message.outcome, message.size, message.seconds),
                changed=self._changed,
            )
            for number, own in enumerate(cores_of(workers, usable_cores(), _allowed()))
        )
        self._dispatch = Dispatch(self.members, parts.limits.wait_s)

    def facts(self) -> BackendFacts:
        """What is served, by all workers together."""
        return merged(
            [member.facts for member in self.members if member.facts is not None],
            names=self.names,
            floors=self._plan.floors,
            limits=BackendFacts(
                models=(),
                names=self.names,
                request_tokens=self._limits.request_tokens,
                queue_tokens=self._limits.queue_tokens,
                tokenizers=0,
            ),
            workers=tuple(member.shown() for member in self.members),
        )

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        """The rankings, of one worker or, should it end, of another."""
        return await self._dispatch.rerank(call)

    async def embed(self, call: EmbedCall) -> Embedded:
        """The vectors, likewise."""
        return await self._dispatch.embed(call)

    def dimensions(self, model: str) -> int | None:
        """How many numbers its vectors have."""
        return self._known.get(model, ("", None))[1]

    def space(self, model: str) -> str:
        """The score space of a model; its name until a worker has loaded it."""
        return self._known.get(model, (model, None))[0]

    def is_off(self, model: str) -> bool:
        """Whether it is neither loaded nor going to be."""
        return False

    async def check(self) -> HealthVerdict:
        """What each model's last probe said, in the workers that run: the worst counts."""
        now = asyncio.get_running_loop().time()
        if now - self._checked_at >= _CHECK_S:
            self._checked_at = now
            asked = [self._begin(f"check {m.number}", _checked(m)) for m in self.members]
            await asyncio.wait(asked, timeout=_MOMENT_S)
        told = [member.verdict for member in self.members if member.verdict]
        return HealthVerdict(
            {
                name: _worst([each[name] for each in told if name in each])
                for name in self.names.models
            },
        )

    async def start(self, wanted: ServingPlan) -> None:
        """Start all workers; each loads what ships inside. Raises StartError."""
        self._plan, self.names = wanted, wanted.names()
        async with self._changing:
            try:
                await _all(member.open(wanted, loads=False) for member in self.members)
            except BaseException:
                await self._end()
                raise
        for member in self.members:
            self._started(member)
            self._begin(f"worker {member.number}", self._keep(member))

    async def load(self) -> None:
        """Have every worker load the checkpoints. Raises StartError."""
        first, *others = self.members
        if self._precisions.is_open(self._plan):
            await first.load()
            self._note_precisions(first, self._plan)
            await _all(self._load_alike(member) for member in others)
        else:
            await _all(member.load() for member in self.members)
        self._is_loaded = True

    async def swap(self, wanted: ServingPlan) -> None:
        """Serve another plan, worker by worker; the old one again where one of them cannot.

        Raises:
            StartError: a worker cannot load what is new; what was served stays.
        """
        async with self._changing:
            taken: list[Member] = []
            try:
                for member in self.members:
                    taken.append(member)
                    await self._take(member, wanted)
            except StartError:
                for member in taken[:-1]:
                    await self._back(member)
                raise
            self._plan, self.names = wanted, wanted.names()
            self._known = {n: known for n, known in self._known.items() if n in self.names.models}
            self._changed()

    async def load_model(self, name: str, *, force: bool = False) -> None:
        """Raises ChangeRefused: with workers the settings and a reload say what is served."""
        raise _settings_alone()

    async def unload_model(self, name: str) -> None:
        """Raises ChangeRefused, as load_model."""
        raise _settings_alone()

    async def close(self) -> None:
        """End all workers, when they have freed their models."""
        for task in tuple(self._tasks):
            task.cancel()
        await self._end()

    async def _end(self) -> None:
        await asyncio.gather(*(member.close() for member in self.members))

    async def _load_alike(self, member: Member) -> None:
        """Load the checkpoints in the precisions that another worker has found."""
        try:
            await member.swap(self._precisions.plan_for(self._plan, member.remote))
        except WorkerLost:
            raise member.ended_loading() from None
        await member.load()

    def _note_precisions(self, member: Member, plan: ServingPlan) -> None:
        if member.remote is not None:
            self._precisions.note(plan, member.facts, member.remote)

    async def _take(self, member: Member, wanted: ServingPlan) -> None:
        """A worker serves another plan; one that has ended, or ends with it, is started with it.

        Raises:
            StartError: it cannot, or has ended once more.
        """
        try:
            await member.swap(self._precisions.plan_for(wanted, member.remote))
        except WorkerLost:
            await member.absent.wait()  # whoever keeps it has seen that
            alike = self._precisions.plan_for(wanted, None)
            await member.open(alike, loads=self._is_loaded)
        self._note_precisions(member, wanted)

    async def _back(self, member: Member) -> None:
        """A worker serves the plan in force again; one that cannot is replaced by one that can."""
        try:
            await member.swap(self._precisions.plan_for(self._plan, member.remote))
        except StartError as error:
            log_refusal("worker replaced", str(error), worker=member.number)
            member.kill()
        except WorkerLost:
            pass  # the next process serves that plan

    async def _keep(self, member: Member) -> None:
        """Replace a worker's process whenever it has ended."""
        again_s, loop = _AGAIN_S, asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._until_lost(member)
            running, pid = member.running, member.pid
            status = await member.gone()
            self._dispatch.forget(member.number)
            self._changed()
            log_refusal(
                "worker ended", _why(status), worker=member.number, pid=pid, running=running
            )
            if loop.time() - began >= _STABLE_S:
                again_s = _AGAIN_S
            while True:
                await asyncio.sleep(again_s)
                again_s = min(2 * again_s, _AGAIN_MOST_S)
                try:
                    async with self._changing:
                        if member.remote is None:  # a change of the plan has not started it
                            alike = self._precisions.plan_for(self._plan, None)
                            await member.open(alike, loads=self._is_loaded)
                            self._note_precisions(member, self._plan)
                except StartError as error:
                    log_refusal(
                        "worker not started", str(error), worker=member.number, again_s=again_s
                    )
                else:
                    break
            member.restarts += 1
            self._started(member)

    async def _until_lost(self, member: Member) -> None:
        """Until its connection ends; one of which nothing is heard for too long is killed."""
        remote = member.remote
        while remote is not None and not remote.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_S):
                    await remote.lost.wait()
            if member.silent_s > _DEAD_S:
                member.kill()
            elif member.is_silent and self._others_can(member) and (moved := remote.hand_over()):
                reason = f"nothing was heard of it for {member.silent_s:.0f} s; others are asked"
                log_refusal("requests moved", reason, worker=member.number, requests=moved)

    def _others_can(self, member: Member) -> bool:
        """Whether somebody of whom something is heard serves all that a worker does."""
        return any(
            not other.is_silent and all(map(other.has, member.ready))
            for other in self.members
            if other is not member
        )

    def _started(self, member: Member) -> None:
        log_event("worker started", worker=member.number, pid=member.pid, restarts=member.restarts)

    def _changed(self) -> None:
        """A worker serves something else than before."""
        for member in self.members:
            for model in () if member.facts is None else member.facts.ready:
                self._known[model.name] = (model.space, model.dimensions)
        self._dispatch.note_change()

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_failed_task(task.get_name(), error)


def automatic() -> int:
    """How many workers `auto` means here."""
    return workers_for(usable_cores())


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of them at once; the first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _checked(member: Member) -> None:
    with suppress(WorkerLost):
        await member.check()


def _allowed() -> tuple[int, ...]:
    """Numbers of the cores that this process may run on; () where the system does not say."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def _worst(states: Sequence[str]) -> str:
    """One model's state, of those that its workers tell; one that loads it takes it from nobody."""
    ill = (state for state in states if state not in ("ok", "loading"))
    return next(ill, "ok" if "ok" in states else "loading")


def _settings_alone() -> ChangeRefused:
    return ChangeRefused(
        "not_possible",
        "With workers, models are loaded and unloaded by the settings and a reload alone.",
    )


def _why(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
