"""/ui/upstreams: who else answers, how they do, and a trial with pairs that ship with rerankd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rerankd.web.console.forms import Field, RefusedForm, Shown, attempt, body_of
from rerankd.web.console.render import page
from rerankd.web.console.visit import Visit


async def upstreams(visit: Visit) -> Response:
    """The list."""
    return await _listed(visit)


async def _listed(
    visit: Visit,
    status: int = 200,
    *,
    tried: Mapping[str, Any] | None = None,
    refused: tuple[str, Shown] | None = None,
) -> Response:
    found = await visit.ask("GET", "/upstreams")
    routes = (await visit.ask("GET", "/routes"))["data"]
    models = (await visit.ask("GET", "/models"))["data"]
    fields = (
        Field(name="model", label="Its model", hint="Empty: the first that a route names."),
        Field(
            name="against",
            label="Beside a model of this server",
            kind="choice",
            choices=["", *(each["name"] for each in models)],
            hint="–: one of the same space, if there is one.",
        ),
    )
    names = [each["name"] for each in found["data"]]
    forms = {name: Shown(fields=fields) for name in names}
    if refused is not None:
        name, shown = refused
        forms[name] = Shown(fields=fields, values=shown.values, refused=shown.refused)
    named = {
        name: sorted(
            {
                f"{route['name']} ({target['model']})"
                for route in routes
                for target in route["to"]
                if target["upstream"] == name
            }
        )
        for name in names
    }
    return page(
        "upstreams", visit, status, found=found["data"], forms=forms, named=named, tried=tried
    )


async def test(visit: Visit, form: Mapping[str, str]) -> Response:
    """Send the pairs; the answer has what came of them."""
    name = visit.ids[0]
    fields = (Field(name="model", label=""), Field(name="against", label="", kind="choice"))
    made = await attempt(visit, "POST", f"/upstreams/{name}/test", body_of(fields, form))
    if isinstance(made, RefusedForm):
        shown = Shown(fields=fields, values=form, refused=made)
        return await _listed(visit, made.status, refused=(name, shown))
    return await _listed(visit, tried=made)


PAGES: Final = {"/upstreams": upstreams}
FORMS: Final = {"/upstreams/{id}/test": test}
