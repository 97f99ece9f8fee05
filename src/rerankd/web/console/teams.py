"""/ui/teams: keys that share limits, models and budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import RedirectResponse, Response

from rerankd.web.console import budgets
from rerankd.web.console.forms import (
    Field,
    RefusedForm,
    Shown,
    attempt,
    body_of,
    changes_of,
    filled,
    version_of,
)
from rerankd.web.console.keys import LIMITS, MODELS, NOTE
from rerankd.web.console.render import HEADERS, page
from rerankd.web.console.visit import Visit

FIELDS: Final = (
    Field(name="name", label="Name", needed=True, example="search"),
    *LIMITS,
    MODELS,
    NOTE,
)


async def teams(visit: Visit) -> Response:
    """The list."""
    return await _listed(visit, Shown(fields=FIELDS))


async def _listed(visit: Visit, form: Shown) -> Response:
    query = [(name, visit.asked(name)) for name in ("archived", "cursor") if visit.asked(name)]
    found = await visit.ask("GET", "/teams", query=[*query, ("limit", "50")])
    status = 200 if form.refused is None else form.refused.status
    return page("teams", visit, status, found=found, form=form)


async def create(visit: Visit, form: Mapping[str, str]) -> Response:
    """A team."""
    made = await attempt(visit, "POST", "/teams", body_of(FIELDS, form))
    if isinstance(made, RefusedForm):
        return await _listed(visit, Shown(fields=FIELDS, values=form, refused=made))
    visit.note(" ".join(["The team is made.", *made["warnings"]]))
    return _to(made["id"])


async def one(visit: Visit) -> Response:
    """A team."""
    return await _one(visit)


async def _one(visit: Visit, status: int = 200, **shown: Shown) -> Response:
    team = await visit.ask("GET", f"/teams/{visit.ids[0]}")
    members = await visit.ask("GET", "/keys", query=[("team", team["name"]), ("limit", "100")])
    forms = {
        "edit": Shown(fields=FIELDS, values=filled(FIELDS, team)),
        "archive": Shown(fields=()),
        **budgets.EMPTY,
        **shown,
    }
    money = await budgets.of_owner(visit, "team", team["id"])
    return page("team", visit, status, each=team, members=members, forms=forms, money=money)


async def edit(visit: Visit, form: Mapping[str, str]) -> Response:
    """What differs from what the form was made of; refused if somebody was faster."""
    path = f"/teams/{visit.ids[0]}"
    team = await visit.ask("GET", path)
    changes = changes_of(FIELDS, form, team)
    if not changes:
        visit.note("Nothing was changed.")
        return _to(team["id"])
    made = await attempt(visit, "PATCH", path, {**changes, "version": version_of(form)})
    if isinstance(made, RefusedForm):
        shown = Shown(fields=FIELDS, values=form, refused=made)
        return await _one(visit, made.status, edit=shown)
    visit.note(" ".join(["The team is changed.", *made["warnings"]]))
    return _to(team["id"])


async def archive(visit: Visit, form: Mapping[str, str]) -> Response:
    """Its keys are refused from now on, or let in again."""
    is_back = form.get("archived") == "false"
    body = {"archived": not is_back, "version": version_of(form)}
    made = await attempt(visit, "PATCH", f"/teams/{visit.ids[0]}", body)
    if isinstance(made, RefusedForm):
        return await _one(visit, made.status, archive=Shown(fields=(), refused=made))
    visit.note("Its keys are let in again." if is_back else "Its keys are refused from now on.")
    return _to(made["id"])


async def give_budget(visit: Visit, form: Mapping[str, str]) -> Response:
    """To this team."""
    refused = await budgets.give(visit, "team", form)
    if refused is not None:
        shown = Shown(fields=budgets.BUDGET, values=form, refused=refused)
        return await _one(visit, refused.status, budget=shown)
    return _to(int(visit.ids[0]))


async def pay_in(visit: Visit, form: Mapping[str, str]) -> Response:
    """For this team."""
    refused = await budgets.top_up(visit, "team", form)
    if refused is not None:
        shown = Shown(fields=budgets.TOP_UP, values=form, refused=refused)
        return await _one(visit, refused.status, top_up=shown)
    return _to(int(visit.ids[0]))


def _to(team: int) -> Response:
    return RedirectResponse(f"/ui/teams/{team}", 303, HEADERS)


PAGES: Final = {"/teams": teams, "/teams/{id}": one}
FORMS: Final = {
    "/teams": create,
    "/teams/{id}": edit,
    "/teams/{id}/archive": archive,
    "/teams/{id}/budget": give_budget,
    "/teams/{id}/top-up": pay_in,
}
