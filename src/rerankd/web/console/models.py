"""/ui/models: what is served here, loaded and unloaded; under which names; who answers routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from starlette.responses import RedirectResponse, Response

from rerankd.web.console.forms import Field, RefusedForm, Shown, attempt, body_of
from rerankd.web.console.render import HEADERS, page
from rerankd.web.console.visit import Visit

_WAIT_S: Final = 2  # a form is answered then; the page shows what goes on


async def models(visit: Visit) -> Response:
    """Models, their other names, routes."""
    return await _listed(visit)


async def load(visit: Visit, form: Mapping[str, str]) -> Response:
    """Load one, with what was chosen where there is no room for it."""
    return await _changed(visit, "load", form)


async def unload(visit: Visit, form: Mapping[str, str]) -> Response:
    """Unload one, with what was chosen where something uses it."""
    return await _changed(visit, "unload", form)


async def _changed(
    visit: Visit, change: Literal["load", "unload"], form: Mapping[str, str]
) -> Response:
    body = {**body_of((Field(name="model", label=""),), form), "wait_s": _WAIT_S}
    if form.get("force") == "yes":
        body["force"] = True
    made = await attempt(visit, "POST", f"/models/{change}", body)
    if isinstance(made, RefusedForm):
        return await _listed(visit, made.status, refused=(form.get("model", ""), made))
    visit.note(_SAID[made["state"]].format(made["name"]))
    return RedirectResponse("/ui/models", 303, HEADERS)


_SAID: Final = {
    "ready": "{} is loaded.",
    "loading": "{} is being loaded.",
    "unloading": "{} is unloaded as soon as its last requests are answered.",
    "unloaded": "{} is unloaded.",
    "failed": "{} could not be loaded.",
}


async def _listed(
    visit: Visit, status: int = 200, *, refused: tuple[str, RefusedForm] | None = None
) -> Response:
    found = await visit.ask("GET", "/models")
    routes = (await visit.ask("GET", "/routes"))["data"]
    names: dict[str, list[str]] = {each["name"]: [] for each in found["data"]}
    for name, model in found["aliases"].items():
        names.setdefault(model, []).append(name)
    more = Field(name="model", label="Model", kind="choice", choices=found["loadable"])
    return page(
        "models",
        visit,
        status,
        models=found["data"],
        used_by=found["used_by"],
        memory=found["memory"],
        names=names,
        routes=routes,
        refused=_by_model(refused, found),
        more=Shown(fields=(more,), values={} if refused is None else {"model": refused[0]}),
        is_changing=any(each["state"] in ("loading", "unloading") for each in found["data"]),
    )


def _by_model(
    refused: tuple[str, RefusedForm] | None, found: Mapping[str, Any]
) -> dict[str, RefusedForm]:
    """What was refused, by model; "" = one that the page does not list."""
    if refused is None:
        return {}
    model, made = refused
    listed = {each["name"] for each in found["data"]}
    return {model if model in listed else "": made}


PAGES: Final = {"/models": models}
FORMS: Final = {"/models/load": load, "/models/unload": unload}
