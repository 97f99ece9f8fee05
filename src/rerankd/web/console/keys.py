"""/ui/keys: who may call, with which limits; a new key's text is on the page once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from rerankd.access.keys import ROLES
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
from rerankd.web.console.render import HEADERS, page
from rerankd.web.console.visit import Visit

LIMITS: Final = (
    Field(name="rpm", label="Requests per minute", kind="whole"),
    Field(name="tpm", label="Tokens per minute", kind="whole"),
    Field(name="rpd", label="Requests per day", kind="whole"),
    Field(name="tpd", label="Tokens per day", kind="whole"),
    Field(name="in_flight", label="Requests at once", kind="whole"),
)
MODELS: Final = Field(
    name="models",
    label="Models",
    kind="words",
    hint="One a line; * stands for anything. Empty: all.",
)
NOTE: Final = Field(name="note", label="Note", kind="long")
_NAME: Final = Field(name="name", label="Name", needed=True, example="search-team-prod")
_STATES: Final = ("", "good", "expired", "revoked")
_SOURCES: Final = ("", "store", "file")


def key_fields(teams: list[str]) -> tuple[Field, ...]:
    """All that can be said of a key."""
    return (
        _NAME,
        Field(name="team", label="Team", kind="choice", choices=["", *teams]),
        Field(
            name="role",
            label="Role",
            kind="choice",
            choices=ROLES,
            hint="call ranks; read sees usage; admin may do all.",
        ),
        Field(
            name="expires_at",
            label="Good until",
            kind="time",
            example="2027-01-31",
            hint="A day or a time, in UTC. Empty: for ever.",
        ),
        *LIMITS,
        MODELS,
        Field(
            name="networks",
            label="Networks",
            kind="words",
            hint="Such as 10.0.0.0/8, one a line. Empty: from anywhere.",
        ),
        Field(name="tags", label="Tags", kind="words"),
        NOTE,
    )


async def keys(visit: Visit) -> Response:
    """The list."""
    names = ("text", "team", "role", "state", "source", "cursor")
    query = [(name, visit.asked(name)) for name in names if visit.asked(name)]
    found = await visit.ask("GET", "/keys", query=[*query, ("limit", "50")])
    fields = (
        Field(name="text", label="Name or id"),
        Field(name="team", label="Team", kind="choice", choices=["", *await team_names(visit)]),
        Field(name="role", label="Role", kind="choice", choices=["", *ROLES]),
        Field(name="state", label="State", kind="choice", choices=_STATES),
        Field(name="source", label="From", kind="choice", choices=_SOURCES),
    )
    filter_form = Shown(fields=fields, values=dict(visit.request.query_params))
    return page("keys", visit, found=found, filter=filter_form)


async def new(visit: Visit) -> Response:
    """The form for a key."""
    fields = key_fields(await team_names(visit))
    values = {"role": "call", "team": visit.asked("team")}
    return page("key_new", visit, form=Shown(fields=fields, values=values))


async def create(visit: Visit, form: Mapping[str, str]) -> Response:
    """A key, whose text this answer has and no other."""
    fields = key_fields(await team_names(visit))
    made = await attempt(visit, "POST", "/keys", body_of(fields, form))
    if isinstance(made, RefusedForm):
        shown = Shown(fields=fields, values=form, refused=made)
        return page("key_new", visit, made.status, form=shown)
    return _told_once(visit, made, "The key is made.")


async def one(visit: Visit) -> Response:
    """A key."""
    return await _one(visit)


async def _one(visit: Visit, status: int = 200, **shown: Shown) -> Response:
    key = await visit.ask("GET", f"/keys/{visit.ids[0]}")
    if key["source"] == "file":
        return page("key_file", visit, key=key)
    fields = key_fields(await team_names(visit, key["team"]))
    money = await budgets.of_owner(visit, "key", key["id"])
    forms = {
        "edit": Shown(fields=fields, values=filled(fields, key)),
        "rotate": Shown(fields=ROTATION, values={"grace": "24h"}),
        "revoke": Shown(fields=()),
        **budgets.EMPTY,
        **shown,
    }
    return page("key", visit, status, each=key, forms=forms, money=money)


async def edit(visit: Visit, form: Mapping[str, str]) -> Response:
    """What differs from what the form was made of; refused if somebody was faster."""
    path = f"/keys/{visit.ids[0]}"
    key = await visit.ask("GET", path)
    fields = key_fields(await team_names(visit, key["team"]))
    changes = changes_of(fields, form, key)
    if not changes:
        visit.note("Nothing was changed.")
        return _to(key)
    made = await attempt(visit, "PATCH", path, {**changes, "version": version_of(form)})
    if isinstance(made, RefusedForm):
        shown = Shown(fields=fields, values=form, refused=made)
        return await _one(visit, made.status, edit=shown)
    _note_warnings(visit, "The key is changed.", made)
    return _to(key)


async def rotate(visit: Visit, form: Mapping[str, str]) -> Response:
    """Another text for the key."""
    body = {**body_of(ROTATION, form), "version": version_of(form)}
    made = await attempt(visit, "POST", f"/keys/{visit.ids[0]}/rotate", body)
    if isinstance(made, RefusedForm):
        shown = Shown(fields=ROTATION, values=form, refused=made)
        return await _one(visit, made.status, rotate=shown)
    return _told_once(visit, made, "The key has another text.")


async def revoke(visit: Visit, form: Mapping[str, str]) -> Response:
    """For ever."""
    query = [("version", form.get("version", ""))]
    made = await attempt(visit, "DELETE", f"/keys/{visit.ids[0]}", query=query)
    if isinstance(made, RefusedForm):
        return await _one(visit, made.status, revoke=Shown(fields=(), refused=made))
    visit.note(f"{made['name']} is revoked.")
    return _to(made)


async def give_budget(visit: Visit, form: Mapping[str, str]) -> Response:
    """To this key."""
    refused = await budgets.give(visit, "key", form)
    if refused is not None:
        shown = Shown(fields=budgets.BUDGET, values=form, refused=refused)
        return await _one(visit, refused.status, budget=shown)
    return RedirectResponse(f"/ui/keys/{int(visit.ids[0])}", 303, HEADERS)


async def pay_in(visit: Visit, form: Mapping[str, str]) -> Response:
    """For this key."""
    refused = await budgets.top_up(visit, "key", form)
    if refused is not None:
        shown = Shown(fields=budgets.TOP_UP, values=form, refused=refused)
        return await _one(visit, refused.status, top_up=shown)
    return RedirectResponse(f"/ui/keys/{int(visit.ids[0])}", 303, HEADERS)


async def team_names(visit: Visit, own: str | None = None) -> list[str]:
    """Of all teams that are not archived, and one more."""
    names: list[str] = [] if own is None else [own]
    cursor: str | None = ""
    while cursor is not None:
        query = [("limit", "1000"), *([("cursor", cursor)] if cursor else [])]
        found = await visit.ask("GET", "/teams", query=query)
        names += [each["name"] for each in found["data"]]
        cursor = found["next_cursor"]
    return sorted(set(names))


def _told_once(visit: Visit, made: Mapping[str, Any], said: str) -> Response:
    return page("key_once", visit, made=made, said=said)


def _note_warnings(visit: Visit, said: str, made: Mapping[str, Any]) -> None:
    visit.note(" ".join([said, *made["warnings"]]))


def _to(key: Mapping[str, Any]) -> Response:
    return RedirectResponse(f"/ui/keys/{key['id']}", 303, HEADERS)


ROTATION: Final = (
    Field(
        name="grace",
        label="The old key stays good for",
        hint="0, 30m, 24h, 7d: so long both are.",
        needed=True,
    ),
)
PAGES: Final = {"/keys": keys, "/keys/new": new, "/keys/{id}": one}
FORMS: Final = {
    "/keys": create,
    "/keys/{id}": edit,
    "/keys/{id}/rotate": rotate,
    "/keys/{id}/revoke": revoke,
    "/keys/{id}/budget": give_budget,
    "/keys/{id}/top-up": pay_in,
}
