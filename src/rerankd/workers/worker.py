"""The worker's side: what a server asks, done by a backend of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never

from rerankd.core.errors import EngineFailed
from rerankd.core.portable import Portable
from rerankd.core.portable import encode as encode_error
from rerankd.service.base import Backend, EmbedCall, RerankCall, Trace
from rerankd.service.lag import LoopLag
from rerankd.telemetry.logs import log_failure
from rerankd.workers.forms import embedded_form, plan_of, requests_of
from rerankd.workers.messages import (
    Asked,
    Cancel,
    Check,
    CountedTokens,
    EmbedWork,
    Failed,
    Fetched,
    Go,
    Load,
    Passed,
    Plan,
    Ranked,
    RankWork,
    Setup,
    SpentSoFar,
    Standing,
    Stop,
    Taken,
    ToServer,
    ToWorker,
    Verdicts,
    encode,
)

TELL_S: Final = 0.25  # how often it is looked for what has changed
SILENT_S: Final = 1.0  # after so long it is told in any case: a sign of life

Make = Callable[[Setup, LoopLag, Callable[[str, int, float], None]], Backend]


class Worker:
    """One worker, as soon as it is set up."""

    def __init__(self, send: Callable[[bytes], None], make: Make) -> None:
        """Nothing is made yet.

        Args:
            send: brings a frame to the server.
            make: the backend, of what the server says, this process's loop and what is told of
                each fetch.
        """
        self.ended = asyncio.Event()  # the server wants it to end, and all is freed
        self._send_frame = send
        self._make = make
        self._lag = LoopLag()
        self._name = "worker"
        self._backend: Backend | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}  # by number of what was asked
        self._paid: dict[int, asyncio.Future[None]] = {}
        self._running = 0
        self._last: Standing | None = None
        self._others: set[asyncio.Task[None]] = set()

    def received(self, message: ToWorker) -> None:
        """What the server says."""
        match message:
            case Setup():
                self._set_up(message)
            case Go(id):
                if (paid := self._paid.get(id)) is not None and not paid.done():
                    paid.set_result(None)
            case Cancel(id):
                if (task := self._tasks.get(id)) is not None:
                    task.cancel()
            case Stop():
                self._keep(self._stop())
            case _:
                self._begin(message.id, self._doing(message))

    def _doing(self, message: Asked) -> Coroutine[Any, Any, None]:
        """What was asked for."""
        match message:
            case Plan():
                return self._take(message)
            case Load():
                return self._load(message)
            case Check():
                return self._check(message)
            case RankWork():
                return self._rank(message)
            case EmbedWork():
                return self._embed(message)
            case _:
                assert_never(message)

    def close(self) -> None:
        """Nobody is there any more: end what is under way."""
        self._lag.stop()
        for task in (*self._tasks.values(), *self._others):
            task.cancel()

    def _set_up(self, message: Setup) -> None:
        self._name = f"worker {message.number}"
        self._backend = self._make(message, self._lag, self._fetched)
        self._lag.start()
        self._keep(self._tell_regularly())

    def _begin(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        """Do what was asked; it ends in an answer, in Failed, or cancelled."""
        task = asyncio.get_running_loop().create_task(self._answered(number, work))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _answered(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the last line before the server
            self._fail(number, error)

    def _fail(self, number: int, error: Exception, trace: Trace | None = None) -> None:
        """Say that there is no answer; what is no error of ours stays in this process's log."""
        if not isinstance(error, Portable):
            log_failure(self._name, error)
            error = EngineFailed("Internal error.")
        elif error.__cause__ is not None:
            log_failure(self._name, error)
        spent = None if trace is None else _spent(trace)
        self._send(Failed(number, encode_error(error), spent))

    @property
    def _known(self) -> Backend:
        if self._backend is None:
            raise RuntimeError("asked before it was set up")
        return self._backend

    async def _take(self, message: Plan) -> None:
        plan = plan_of(message.plan)
        await (self._known.start(plan) if message.how == "start" else self._known.swap(plan))
        self._taken(message.id)

    async def _load(self, message: Load) -> None:
        await self._known.load()
        self._taken(message.id)

    def _taken(self, number: int) -> None:
        """The server knows what is there before it knows that it is."""
        self._tell()
        self._send(Taken(number))

    async def _check(self, message: Check) -> None:
        verdict = await self._known.check()
        self._send(Verdicts(message.id, verdict.models))

    async def _rank(self, work: RankWork) -> None:
        trace = self._trace(work.id, work.until)
        call = RerankCall(
            requests=requests_of(work),
            model=work.model,
            cascade=work.cascade,
            places=work.places,
            share=work.share,
            charge=lambda tokens: self._counted(work.id, tokens, trace),
            trace=trace,
        )
        self._running += 1
        try:
            rankings = await self._known.rerank(call)
            self._send(Ranked(work.id, tuple(rankings), _spent(trace)))
        except Exception as error:  # noqa: BLE001 - as above, with what it took
            self._fail(work.id, error, trace)
        finally:
            self._running -= 1

    async def _embed(self, texts: EmbedWork) -> None:
        trace = self._trace(texts.id, texts.until)
        call = EmbedCall(
            request=texts.request,
            model=texts.model,
            share=texts.share,
            charge=lambda tokens: self._counted(texts.id, tokens, trace),
            trace=trace,
        )
        self._running += 1
        try:
            found = await self._known.embed(call)
            self._send(embedded_form(texts.id, found, _spent(trace)))
        except Exception as error:  # noqa: BLE001 - as above, with what it took
            self._fail(texts.id, error, trace)
        finally:
            self._running -= 1

    def _trace(self, number: int, until: float | None) -> Trace:
        """Of a request whose server is told when it passes before it is counted."""
        trace = Trace(until=until)
        trace.passed = lambda: self._send(Passed(number))
        return trace

    async def _counted(self, number: int, tokens: int, trace: Trace) -> None:
        """Have the tokens charged; who may not is cancelled."""
        paid = self._paid[number] = asyncio.get_running_loop().create_future()
        trace.passed = _nothing  # the server knows when it says Go
        self._send(CountedTokens(number, tokens, _spent(trace)))
        try:
            await paid
        finally:
            del self._paid[number]

    async def _stop(self) -> None:
        try:
            if self._backend is not None:
                await self._backend.close()
        finally:
            self.ended.set()

    async def _tell_regularly(self) -> None:
        silent = 0.0
        while True:
            await asyncio.sleep(TELL_S)
            silent += TELL_S
            if self._facts() != self._last or silent >= SILENT_S:
                silent = 0.0
                self._tell()

    def _facts(self) -> Standing:
        return Standing(self._known.facts(), self._running, round(self._lag.seconds(), 3))

    def _tell(self) -> None:
        self._last = self._facts()
        self._send(self._last)

    def _fetched(self, outcome: str, size: int, seconds: float) -> None:
        self._send(Fetched(outcome, size, seconds))

    def _send(self, message: ToServer) -> None:
        self._send_frame(encode(message))


def _spent(trace: Trace) -> SpentSoFar:
    return SpentSoFar(trace.engine, trace.cost, trace.own_s)


def _nothing() -> None:
    """It has passed."""
