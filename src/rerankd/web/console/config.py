"""/ui/config: the settings in force, where each comes from, and a reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from rerankd.web.console.forms import Field, RefusedForm, Shown, attempt
from rerankd.web.console.render import page
from rerankd.web.console.visit import Visit

_SHOW: Final = ("", "set", "needs a restart")
_FILTER: Final = (
    Field(name="text", label="Name or value has"),
    Field(name="show", label="Only what is", kind="choice", choices=_SHOW),
)


async def config(visit: Visit) -> Response:
    """The settings."""
    return await _shown(visit)


async def _shown(
    visit: Visit,
    status: int = 200,
    *,
    reloaded: Mapping[str, Any] | None = None,
    refused: RefusedForm | None = None,
) -> Response:
    found: Any = await attempt(visit, "GET", "/config")
    form = Shown(fields=_FILTER, values=dict(visit.request.query_params))
    if isinstance(found, RefusedForm):
        found, refused = {"settings": {}, "origins": {}}, found
    sought, show = visit.asked("text").lower(), visit.asked("show")
    rows: list[dict[str, Any]] = [
        {"name": name, "value": written(value), **found["origins"][name]}
        for name, value in found["settings"].items()
    ]
    rows = [
        row
        for row in rows
        if (sought in row["name"].lower() or sought in row["value"].lower())
        and (show != "set" or row["source"] != "default")
        and (show != "needs a restart" or row["needs_restart"])
    ]
    sections: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sections.setdefault(row["name"].partition(".")[0], []).append(row)
    return page(
        "config",
        visit,
        status,
        sections=sections,
        form=form,
        reloaded=reloaded,
        refused=refused,
        written=written,
    )


async def reload(visit: Visit, _: Mapping[str, str]) -> Response:
    """As SIGHUP does; the answer says what came of it."""
    made = await attempt(visit, "POST", "/reload", {})
    if isinstance(made, RefusedForm):
        return await _shown(visit, made.status, refused=made)
    return await _shown(visit, reloaded=made)


def written(value: Any) -> str:
    """A value of the settings as TOML has it, nearly: as JSON; what is not set is empty."""
    return "" if value is None else msgspec.json.encode(value).decode()


PAGES: Final = {"/config": config}
FORMS: Final = {"/config/reload": reload}
