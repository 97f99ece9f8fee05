"""One replica of Ray Serve: HTTP, limits, queue and engine in one process.

Serve starts, places and replaces it, and tells HAProxy where it listens. What is in an answer is
rerankd's own. Serve's second hop (a deployment behind a handle) and its batching are not used.
"""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from rerankd.adapters.ray.cores import OwnCores
from rerankd.adapters.ray.load import LoadReport
from rerankd.adapters.ray.node import NAME, ONGOING, check_node, settings_of
from rerankd.dialects.registry import SERVED
from rerankd.extras import RAY, library
from rerankd.telemetry.logs import log_event
from rerankd.web.app import create_app
from rerankd.web.opening import opened
from rerankd.web.state import State

ray: Any = library("ray", RAY)
serve: Any = library("ray.serve", RAY)
# Others may reach a replica whatever the settings say: HAProxy does, from every node.
_ANYWHERE: Final = "0.0.0.0"  # noqa: S104


def application(args: dict[str, Any]) -> Any:
    """What a document of Serve's names as `import_path`.

    Args:
        args: "config": path of the TOML file on every node, or None; "digest": of its bytes.
    """
    return deployment.bind(args.get("config"), args.get("digest"))


class Replica:
    """A server without a listener: Serve has that."""

    async def __init__(self, config: str | None, digest: str | None) -> None:
        """Load everything: a replica that exists can answer.

        Raises:
            StartError: settings, models or the node are unusable; Serve shows its sentence.
        """
        check_node(os.environ)
        settings = settings_of(config, digest, os.environ)
        state, wanted = opened(settings, _ANYWHERE)
        self.cores = OwnCores()
        pin(self.cores)
        await state.start(wanted)
        await state.backend.load()
        gc.freeze()
        self.state = state
        app = create_app(state, wanted, cors_origins=settings.server.cors_origins, registry=SERVED)
        self.served = Started(app, state)
        self.load = LoadReport(state)
        self.watching = asyncio.get_running_loop().create_task(self.load.watch())

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve asks for it once, after __init__."""
        return self.served

    async def check_health(self) -> None:
        """As /health: Serve replaces a replica that raises here."""
        verdict = await self.state.backend.check()
        if not verdict.ok:
            raise RuntimeError(f"a model does not score: {verdict.models}")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `scaling` decides by."""
        return self.load.report()


deployment: Any = serve.deployment(name=NAME, max_ongoing_requests=ONGOING, max_queued_requests=-1)(
    serve.ingress()(Replica)
)


def pin(cores: OwnCores) -> None:
    """Keep to as many cores as Serve counts for this replica, which no other of this node has."""
    usable = os.sched_getaffinity(0)
    count = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0))
    held = cores.hold(count, usable) if 0 < count < len(usable) else None
    if held is not None:
        os.sched_setaffinity(0, held)
    log_event("cores of a replica", counted=count, pinned=sorted(held or ()), usable=len(usable))


class Started:
    """The app of a server that is started already; its end comes when Serve has drained it."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the lifespan's two calls, pass everything else on."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.state.close()
        await send({"type": "lifespan.shutdown.complete"})
