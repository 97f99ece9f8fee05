"""Runs the app: bind, load, reload on SIGHUP, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any

import uvicorn

from rerankd.core.errors import StartError
from rerankd.core.options import BY_THE_CARD
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.pool import Plan, plan
from rerankd.settings import Limits, Settings
from rerankd.telemetry import configure_logging, log_event, log_failure, log_refusal
from rerankd.web.app import create_app, make_state
from rerankd.web.protocol import Bounds, bounded, close_idle
from rerankd.web.state import State

_KEEP_ALIVE_S = 75  # longer than the usual proxies', so that they close first


def serve(
    read_settings: Callable[[], Settings],
    announce: Callable[[State, str], None],
    *,
    load: Callable[[Spec], Loaded] = load,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        read_settings: reads file, environment and flags; called again on SIGHUP.
        announce: told once, when everything is loaded, the state and the base URL.
        load: opens and checks a model.

    Raises:
        StartError: settings, models or the address are unusable; nothing is served.
    """
    settings = read_settings()
    configure_logging(settings.server.log)
    check_exposure(settings.server.host, settings)
    wanted = plan_of(settings)
    listener = bind(settings.server.host, settings.server.port)
    state = make_state(settings, load=load)
    app = create_app(state, wanted, cors_origins=settings.server.cors_origins)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=bounded(bounds_of(settings.limits)),
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,  # by then only idle connections are left
    )
    url, host = base_url(listener), str(listener.getsockname()[0])
    server = _Server(config, state, read_settings, lambda: announce(state, url), host)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the loop can take it
    try:
        server.run(sockets=[listener])
    except SystemExit:  # uvicorn's way out when the lifespan fails
        if state.failure is None:
            raise
    finally:
        listener.close()
    if state.failure is not None:
        raise state.failure


def bounds_of(limits: Limits) -> Bounds:
    """What one connection may use."""
    return Bounds(body_s=limits.body_s, body_bytes=limits.body_bytes, write_s=limits.write_s)


def plan_of(settings: Settings) -> Plan:
    """The models that the settings ask for.

    Raises:
        StartError: one cannot be served as asked, or a key may use one that is not served.
    """
    stages = {name: model.stages for name, model in settings.model.items() if model.stages}
    options = {
        name: model.load_options()
        for name, model in settings.model.items()
        if name not in stages or model.load_options() != BY_THE_CARD  # an alias has stages alone
    }
    found = plan(settings.models, settings.aliases, options, stages)
    served = {*(spec.name for spec in found.specs), *found.aliases}
    for key in settings.keys:
        unknown = set(key.models or ()) - served
        if unknown:
            raise StartError(
                f'keys "{key.name}": models names {min(unknown)}, which is not served; served are '
                f"{', '.join(sorted(served))}."
            )
    return found


def check_exposure(host: str, settings: Settings) -> None:
    """Without keys, only this machine may call.

    Args:
        host: where the server listens, which a reload does not change.
        settings: the ones to come.

    Raises:
        StartError: no keys and an address that others can reach.
    """
    if not settings.keys and not is_loopback(host):
        raise StartError(
            f"--host {host} can be reached from other machines, and no API key is "
            "configured. Set RERANKD_API_KEYS=key1,key2 or [[keys]] in the config file, or "
            "listen on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        read_settings: Callable[[], Settings],
        announce: Callable[[], None],
        host: str,
    ) -> None:
        super().__init__(config)
        self._state = state
        self._read_settings = read_settings
        self._announce = announce
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._reloading = asyncio.Lock()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load what ships inside, open the port, then load the checkpoints behind it."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, lambda: self._spawn(self._reload)
            )
        self._spawn(self._load)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, but our exit status after a drain is 0, not death by the signal."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain, then stop. Second: stop now."""
        if self._stopping:
            self.should_exit = self.force_exit = True
            return
        self._stopping = True
        if self.started:
            self.servers[0].get_loop().call_soon_threadsafe(self._spawn, self._drain)
        else:
            self.should_exit = True

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self) -> None:
        pool = self._state.pipeline.pool
        async with self._reloading:  # a reload that comes now waits for the first load
            if missing := [name for name in pool.names if name not in pool.served]:
                log_event("loading", models=missing)
            try:
                await pool.load()
            except StartError as error:
                self._give_up(error)
                return
        self._announce()

    async def _drain(self) -> None:
        log_event("draining", running=self._state.drain.running)
        close_idle(self.server_state.connections)
        await self._state.drain.wait(self._state.limits.drain_s)
        self.should_exit = True

    async def _reload(self) -> None:
        """Take over keys and models from the settings as they are now; keep what is bad out."""
        async with self._reloading:
            try:
                settings = self._read_settings()
                check_exposure(self._host, settings)
                await self._state.pipeline.pool.swap(plan_of(settings))
            except StartError as error:
                log_refusal("reload refused", str(error))
                return
            except Exception as error:  # noqa: BLE001 - what was served must go on being served
                log_failure("reload", error)
                return
            self._state.use_keys(settings)
            log_event(
                "reloaded", models=self._state.pipeline.pool.names, keys=len(self._state.keys)
            )

    def _give_up(self, error: StartError) -> None:
        self._state.failure = error
        self.should_exit = True
