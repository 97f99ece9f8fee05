"""/ui: how the server does now."""

from __future__ import annotations

from starlette.responses import Response

from rerankd.web.console.render import page
from rerankd.web.console.visit import Visit


async def overview(visit: Visit) -> Response:
    """Upstreams and routes now."""
    if not visit.may("admin"):
        return page("own", visit)
    upstreams = await visit.ask("GET", "/upstreams")
    routes = await visit.ask("GET", "/routes")
    return page("overview", visit, upstreams=upstreams["data"], routes=routes["data"])


PAGES = {"/": overview}
