"""One place in a team: a worker's process, the next one when it has ended, what is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from rerankd.core.errors import StartError
from rerankd.core.facts import BackendFacts, WorkerFacts
from rerankd.service.plan import ServingPlan
from rerankd.workers.forms import plan_form
from rerankd.workers.frames import most_bytes
from rerankd.workers.launch import Launch, WorkerProcess
from rerankd.workers.messages import (
    Check,
    Fetched,
    Load,
    Plan,
    Setup,
    Standing,
    Stop,
    Taken,
    Verdicts,
)
from rerankd.workers.remote import Remote, WorkerLost
from rerankd.workers.shares import Cores

_SILENT_S: Final = 5.0  # without a frame: it is not asked any more while others are
_GOODBYE_S: Final = 4.0  # to free its models


class Member:
    """Number N of a team."""

    def __init__(
        self,
        setup: Setup,
        cores: Cores,
        *,
        launch: Launch,
        log: str,
        fetched: Callable[[Fetched], None],
        changed: Callable[[], None],
    ) -> None:
        """No process yet.

        Args:
            setup: what each of its processes is told first.
            cores: that they are kept on.
            launch: starts a process.
            log: form of the log.
            fetched: told of each fetch of an image or a video.
            changed: told when it can be asked something else than before.
        """
        self.number = setup.number
        self.remote: Remote | None = None
        self.facts: BackendFacts | None = None  # as the process told last
        self.verdict: dict[str, str] = {}
        self.restarts = 0
        self.reruns = 0
        self.answered = 0
        self.running = 0  # requests
        self.work_s = 0.0  # that these will take, about
        self.ready: frozenset[str] = frozenset()  # models that it has loaded
        self.absent = asyncio.Event()  # there is no process, and its end is known
        self._lag_s = 0.0
        self._setup = setup
        self._cores = cores
        self._launch = launch
        self._log = log
        self._fetched = fetched
        self._changed = changed
        self._process: WorkerProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard of it for too long."""
        return self.silent_s > _SILENT_S

    @property
    def silent_s(self) -> float:
        """For how long nothing was heard of it."""
        if self.remote is None:
            return 0.0
        return asyncio.get_running_loop().time() - self.remote.heard

    def has(self, model: str) -> bool:
        """Whether it can be asked for a model."""
        return model in self.ready and self.remote is not None and not self.remote.lost.is_set()

    def shown(self) -> WorkerFacts:
        """How it does."""
        facts, is_there = self.facts, self.remote is not None
        state = "ended" if self._process is None else "starting"
        if is_there and facts is not None:
            state = "silent" if self.is_silent else "running"
        return WorkerFacts(
            number=self.number,
            state=state,
            pid=self.pid,
            models=() if facts is None else tuple(model.name for model in facts.ready),
            cores=self._cores.pinned,
            running=self.running,
            waiting_tokens=0 if facts is None else sum(m.waiting_tokens for m in facts.models),
            work_s=round(self.work_s, 3),
            lag_s=self._lag_s,
            answered=self.answered,
            restarts=self.restarts,
            reruns=self.reruns,
        )

    @contextmanager
    def holding(self) -> Generator[Held]:
        """A request is sent here, until it is answered."""
        held = Held(self)
        self.running += 1
        try:
            yield held
        finally:
            held.reckon(0.0)
            self.running -= 1

    async def open(self, plan: ServingPlan, *, loads: bool) -> None:
        """Start a process and have it serve a plan.

        Args:
            plan: that is in force.
            loads: whether checkpoints are loaded too; what ships inside always is.

        Raises:
            StartError: it cannot serve that, or ended meanwhile.
        """
        self.absent.clear()
        try:
            self._process, connection = await self._launch(self._cores, self._log)
        except OSError as error:
            self.absent.set()
            raise StartError(f"Worker {self.number} cannot be started: {error}.") from None
        limits = self._setup.limits
        most = most_bytes(2 * limits.body_bytes, limits.inflight_bytes)
        remote = Remote(most, self._told, self._fetched)
        try:
            await remote.connect(connection)
            remote.say(self._setup)
            self.remote = remote
            form = plan_form(plan)
            await remote.ask(lambda n: Plan(n, form, "start"), Taken)
            if loads:
                await remote.ask(Load, Taken)
        except WorkerLost:
            status = await self.gone()
            raise StartError(
                f"Worker {self.number} ended with status {status} while it loaded the models."
            ) from None
        except BaseException:
            remote.abort()
            await self.gone()
            raise

    async def load(self) -> None:
        """Load checkpoints. Raises StartError."""
        if self.remote is not None:
            try:
                await self.remote.ask(Load, Taken)
            except WorkerLost:
                raise self.ended_loading() from None

    async def swap(self, plan: ServingPlan) -> None:
        """Serve another plan.

        Raises:
            StartError: it cannot; what was served stays.
            WorkerLost: it has ended.
        """
        if self.remote is None:
            raise WorkerLost
        form = plan_form(plan)
        await self.remote.ask(lambda n: Plan(n, form, "swap"), Taken)

    def ended_loading(self) -> StartError:
        """What a start fails with that its end has stopped."""
        return StartError(f"Worker {self.number} ended while it loaded the models.")

    async def check(self) -> None:
        """Have it say whether every model scores: verdict."""
        if self.remote is not None:
            found = await self.remote.ask(Check, Verdicts)
            self.verdict = found.models

    def kill(self) -> None:
        """End its process now."""
        if self._process is not None:
            self._process.kill()

    async def gone(self) -> int:
        """Its connection has ended: the process' status, negative for a signal."""
        self.remote, self.facts, self.verdict, self.ready = None, None, {}, frozenset()
        process, self._process = self._process, None
        status = 0 if process is None else await process.end(_GOODBYE_S)
        self.absent.set()
        return status

    async def close(self) -> None:
        """Have it free its models and end."""
        remote = self.remote
        if remote is not None:
            remote.say(Stop())
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await remote.lost.wait()
            except TimeoutError:
                self.kill()
            remote.abort()
        await self.gone()

    def _told(self, told: Standing) -> None:
        self.facts, self._lag_s = told.facts, told.lag_s
        ready = frozenset(model.name for model in told.facts.ready)
        if ready != self.ready:
            self.ready = ready
            self._changed()


class Held:
    """The work of one request, as far as it is known, among that of its worker."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._seconds = 0.0

    def reckon(self, seconds: float) -> None:
        """It will take about so long."""
        self._member.work_s += seconds - self._seconds
        self._seconds = seconds
