"""/ui/models: what is served here, under which names, and who answers for routed ones."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from rerankd.web.console.render import page
from rerankd.web.console.visit import Visit


async def models(visit: Visit) -> Response:
    """Models, their other names, routes."""
    found = await visit.ask("GET", "/models")
    routes = (await visit.ask("GET", "/routes"))["data"]
    names: dict[str, list[str]] = {each["name"]: [] for each in found["data"]}
    for name, model in found["aliases"].items():
        names.setdefault(model, []).append(name)
    return page("models", visit, models=found["data"], names=names, routes=routes)


PAGES: Final = {"/models": models}
