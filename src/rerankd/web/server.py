"""Runs the app: bind, load, reload on SIGHUP, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any, Final, NoReturn

import uvicorn

from rerankd.core.errors import StartError
from rerankd.dialects.registry import SERVED
from rerankd.models.cause import explained
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.plan import ServingPlan
from rerankd.service.watch import watched
from rerankd.settings.load import Effective
from rerankd.telemetry.logs import log_event, log_failed_task, log_refusal
from rerankd.web.app import create_app
from rerankd.web.control import control_of
from rerankd.web.opening import opened
from rerankd.web.protocol import bounded, close_idle
from rerankd.web.reload import Reads, Reloader
from rerankd.web.state import State
from rerankd.web.stopping import Meaning, Stopping
from rerankd.web.systemd import Systemd

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_GOODBYE_S: Final = 5.0  # for clients to take their last bytes, then for models to be freed
_FORCED_S: Final = 1.0  # the same when a signal forces: for the 503s to be sent
_TICK_S: Final = 0.02
# uvloop takes one connection per listening socket and turn of the loop. On a busy loop that is less
# than come, and those that are not taken wait in the kernel, unseen, until it drops them.
_ACCEPTS = 32
_KEEP_ALIVE_S = 75  # longer than the usual proxies', so that they close first


def serve(
    read_settings: Callable[[], Effective],
    announce: Callable[[State, str], None],
    *,
    load: Callable[[Spec], Loaded] = load,
) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then end the process with status 0.

    Args:
        read_settings: reads file, environment and flags; called again on SIGHUP.
        announce: told once, when everything is loaded, the state and the base URL.
        load: opens and checks a model.

    Raises:
        StartError: settings, models or the address are unusable; nothing is served.
    """
    started = read_settings()
    settings = started.settings
    state, wanted = opened(settings, settings.server.host, load=load)
    listener = bind(settings.server.host, settings.server.port)
    app = create_app(state, wanted, cors_origins=settings.server.cors_origins, registry=SERVED)
    config = uvicorn.Config(
        app,
        lifespan="off",  # startup() and shutdown() of the server do it
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # web.client reads them, from trusted proxies only
        http=bounded(settings.limits, SERVED.root),
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    url = base_url(listener)
    server = _Server(
        config, state, wanted, Reads(started, read_settings), url, lambda: announce(state, url)
    )
    listeners = [listener, *(listener.dup() for _ in range(_ACCEPTS - 1))]
    try:
        server.run(sockets=listeners)
    finally:
        for each in listeners:
            each.close()
    if state.failure is not None:
        raise state.failure
    _leave()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartError when the address is not free or not ours."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise StartError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. "
            "Choose another address with --host and --port (0 = any free port)."
        ) from None
    listener.set_inheritable(True)
    return listener


def base_url(listener: socket.socket) -> str:
    """The URL under which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, with a drain before its shutdown, a reload on SIGHUP, and models loaded behind."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: State,
        wanted: ServingPlan,
        reads: Reads,
        url: str,
        announce: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._state = state
        self._wanted = wanted
        self._announce = announce
        self._tasks: set[asyncio.Task[None]] = set()
        self._signals = Stopping()
        self._url = url
        self._systemd = Systemd()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hangups = 0  # SIGHUPs before the loop could take them
        self._reloader = state.running = Reloader(state, reads)
        self._control = control_of(reads.started, url, self._reloader.settings, state.fleet.facts)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._hang_up)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but it does not wait for threads that work for nobody any more."""
        loop = (self.config.get_loop_factory() or asyncio.new_event_loop)()
        self._loop = loop
        loop.run_until_complete(self.serve(sockets))
        if not self.force_exit:
            loop.run_until_complete(_end_tasks())
            loop.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load what ships inside, open the port, then load the checkpoints behind it."""
        gc.freeze()  # what was imported: a sixth of a busy loop's time went into looking through it
        try:
            with explained("What ships with rerankd"):
                await self._state.start(self._wanted)
        except StartError as error:
            self._state.failure = error
            self._systemd.stopping(str(error))
            self.should_exit = True
        if self.should_exit:  # it failed, or a signal came; no connection was accepted yet
            return
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        self._open_control()
        if self._systemd.pulse_s is not None:
            self._spawn("watchdog", watched("watchdog", self._give_signs, lambda _: None))
        self._spawn("load", self._load())
        if self._hangups:
            self._reload()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """All is answered, or a signal forces: say goodbye to connections, free the models."""
        self._control.close()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        started = time.monotonic()
        while self._has_callers() and time.monotonic() - started < self._patience_s():  # noqa: ASYNC110 - no event
            await asyncio.sleep(_TICK_S)
        if not self.force_exit:
            with contextlib.suppress(TimeoutError):  # a thread that still works is left behind
                async with asyncio.timeout(_GOODBYE_S):
                    await self._state.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, but our exit status after a drain is 0, not death by the signal.

        From the end on signals are ignored: the process ends, and one that is repeated now must not
        make it end otherwise.
        """
        for number in _STOP_SIGNALS:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain; then, for a signal that is not the first one repeated, stop now."""
        meaning = self._signals.signal()
        if meaning == "force":
            self.should_exit = self.force_exit = True
            self._soon(self._state.drain.expire)
        elif meaning == "drain" and not self.started:
            self.should_exit = True
        self._soon(self._signalled, meaning)

    def _soon(self, call: Callable[..., object], *args: object) -> None:
        """Run something in the loop, from a signal handler."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    def _signalled(self, meaning: Meaning) -> None:
        if meaning == "drain":
            self._stop()
        else:
            ignored = "a signal within 5 s of the first is the same one; later it stops at once"
            running = self._state.drain.running
            if meaning == "again":
                log_event("signal repeated", running=running, note=ignored)
            else:
                log_event("stopping at once", running=running)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._spawn("drain", self._drain())

    def _hang_up(self, sig: int, frame: FrameType | None) -> None:
        self._hangups += 1

    def _reload(self) -> None:
        self._spawn("reload", self._reload_now())

    async def _reload_now(self) -> None:
        with self._systemd.reloading():
            await self._reloader.reload()

    async def _give_signs(self) -> None:
        async def ills() -> str:
            return (await self._state.backend.check()).ills

        await self._systemd.pulse(ills)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_failed_task(task.get_name(), error)

    async def _load(self) -> None:
        backend = self._state.backend
        async with self._reloader.loading:  # new models of a reload wait for the first ones
            facts = backend.facts().models
            if missing := [model.name for model in facts if model.state == "loading"]:
                log_event("loading", models=missing)
            try:
                with explained("The models"):
                    await backend.load()
            except StartError as error:
                self._state.failure = error
                self._stop()  # what was accepted for a model that is there is still answered
                return
        self._announce()
        self._systemd.ready(f"serving on {self._url}")

    def _open_control(self) -> None:
        try:
            self._control.open()
        except OSError as error:
            log_refusal("no control socket", f"`rerankd config` cannot ask this server: {error}.")

    async def _drain(self) -> None:
        log_event("draining", running=self._state.drain.running)
        self._systemd.stopping(str(self._state.failure or "requests in progress get answers"))
        close_idle(self.server_state.connections)
        await self._state.drain.wait(self._state.limits.drain_s)
        self.should_exit = True

    def _patience_s(self) -> float:
        return _FORCED_S if self.force_exit else _GOODBYE_S

    def _has_callers(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)


async def _end_tasks() -> None:
    """Cancel what is left, so that nothing complains of it when the process ends."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_FORCED_S)


def _leave() -> NoReturn:
    """End the process with status 0, whatever its threads do: all is answered and told.

    A thread inside a library cannot be stopped, and Python would wait for it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
