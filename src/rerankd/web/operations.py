"""What operators ask: health, readiness, metrics. None needs a key."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rerankd.dialects.wire import JSON
from rerankd.web.reports import HealthReport, ReadyReport
from rerankd.web.state import State
from rerankd.web.wire_answers import Counted


class Operations:
    """The reports of one server."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def health(self, request: Request) -> Response:
        """200 when every model's last probe scored a pair, else 503."""
        backend = self._state.backend
        verdict = await backend.check()
        report = HealthReport("ok" if verdict.ok else "failing", verdict.models)
        if workers := backend.facts().workers:
            report.workers = {str(worker.number): worker.state for worker in workers}
        return _json(report, status=200 if verdict.ok else 503)

    async def ready(self, request: Request) -> Response:
        """200 when all models are loaded and the server is not shutting down.

        One that an operator unloaded is not waited for, unless nobody else answers.
        """
        facts = self._state.backend.facts()
        status = "ready" if facts.is_ready else "loading"
        if facts.is_ready and not facts.ready and not self._state.router.routes:
            status = "unloaded"
        if self._state.drain.draining:
            status = "draining"
        warnings = {model.name: list(model.warnings) for model in facts.ready if model.warnings}
        report = ReadyReport(status, [model.name for model in facts.ready], warnings)
        return _json(report, status=200 if status == "ready" else 503)

    async def metrics(self, request: Request) -> Response:
        """Prometheus exposition."""
        facts = self._state.backend.facts()
        body, content_type = self._state.metrics.render(
            facts, in_flight=self._state.drain.running, upstreams=self._state.fleet.facts()
        )
        response = Response(body, headers={"content-type": content_type})
        return Counted(response, self._state.inflight)


def _json(content: msgspec.Struct, *, status: int) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type=JSON)
