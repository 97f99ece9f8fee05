"""/ui/budgets, and the budgets and top-ups of one key or team on its own page."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from starlette.responses import RedirectResponse, Response

from rerankd.accounts.budget import UNITS
from rerankd.accounts.window import WINDOWS
from rerankd.web.console.forms import Field, RefusedForm, Shown, attempt, body_of, version_of
from rerankd.web.console.render import HEADERS, money, page, whole
from rerankd.web.console.visit import Visit

Kind = Literal["key", "team"]
BUDGET: Final = (
    Field(name="unit", label="Of what", kind="choice", choices=UNITS),
    Field(name="amount", label="How much", needed=True, example="20.00"),
    Field(name="window", label="In each", kind="choice", choices=WINDOWS),
    Field(name="tz", label="Time zone", hint="Where a day begins.", example="UTC"),
)
OWNED: Final = (
    Field(name="key", label="Of the key", hint="Name or id; empty: of a team, or everybody."),
    Field(name="team", label="Of the team", hint="Name or id; empty: of a key, or everybody."),
    *BUDGET,
)
TOP_UP: Final = (
    Field(name="amount", label="Amount", needed=True, example="50.00"),
    Field(name="note", label="Note", example="invoice 2026-114"),
)


@dataclass(frozen=True, slots=True)
class Owners:
    """Names of whom budgets are of."""

    keys: Mapping[int, str]
    teams: Mapping[int, str]

    @classmethod
    async def of(cls, visit: Visit, budgets: Sequence[Mapping[str, Any]]) -> Owners:
        """Those of some budgets."""
        keys = {each["key_id"] for each in budgets} - {None}
        teams = {each["team_id"] for each in budgets} - {None}
        return cls(
            {i: (await visit.ask("GET", f"/keys/{i}"))["name"] for i in sorted(keys)},
            {i: (await visit.ask("GET", f"/teams/{i}"))["name"] for i in sorted(teams)},
        )

    def named(self, budget: Mapping[str, Any]) -> tuple[str, str]:
        """Whose it is, and the page about that; "" = everybody's."""
        if (key := budget["key_id"]) is not None:
            return f"Key {self.keys[key]}", f"/ui/keys/{key}"
        if (team := budget["team_id"]) is not None:
            return f"Team {self.teams[team]}", f"/ui/teams/{team}"
        return "Everybody", ""


def amount(written: str, unit: str, currency: str) -> str:
    """An amount of a budget to read."""
    return money(written, currency) if unit == "money" else f"{whole(int(written))} {unit}"


def share(budget: Mapping[str, Any]) -> float:
    """How much of a budget is used or held by requests in progress; 1 = all."""
    if budget["spent"] is None:
        return 0.0
    most = Decimal(budget["amount"])
    return float((Decimal(budget["spent"]) + Decimal(budget["reserved"])) / most) if most else 1.0


def with_bars(
    budgets: Sequence[Mapping[str, Any]], owners: Owners, currency: str
) -> list[dict[str, Any]]:
    """Budgets as pages show them: whose, how much of what is used, as words and as a share."""
    found: list[dict[str, Any]] = []
    for each in budgets:
        owner, path = owners.named(each)
        unit, spent = each["unit"], each["spent"]
        window = "in total" if each["window"] == "total" else f"per {each['window']}"
        found.append(
            {
                **each,
                "owner": owner,
                "path": path,
                "said": f"{amount(each['amount'], unit, currency)} {window}",
                "share": share(each),
                "spent_said": None if spent is None else amount(spent, unit, currency),
                "left_said": None if spent is None else amount(each["left"], unit, currency),
            }
        )
    return found


async def budgets(visit: Visit) -> Response:
    """All of them."""
    return await _listed(visit, Shown(fields=OWNED, values=_DEFAULTS))


async def _listed(visit: Visit, form: Shown) -> Response:
    query = [("limit", "50")]
    query += [(name, visit.asked(name)) for name in ("cursor", "ended") if visit.asked(name)]
    found = await visit.ask("GET", "/budgets", query=query)
    rows = with_bars(found["data"], await Owners.of(visit, found["data"]), visit.own.currency)
    status = 200 if form.refused is None else form.refused.status
    return page("budgets", visit, status, budgets=rows, found=found, form=form)


async def set_budget(visit: Visit, form: Mapping[str, str]) -> Response:
    """Of whoever the form names."""
    made = await attempt(visit, "POST", "/budgets", body_of(OWNED, form))
    if isinstance(made, RefusedForm):
        return await _listed(visit, Shown(fields=OWNED, values=form, refused=made))
    visit.note("The budget is in force.")
    return back(form, "/ui/budgets")


async def edit_budget(visit: Visit, form: Mapping[str, str]) -> Response:
    """Another amount."""
    body = {"amount": form.get("amount", "").strip(), "version": version_of(form)}
    made = await attempt(visit, "PATCH", f"/budgets/{visit.ids[0]}", body)
    if isinstance(made, RefusedForm):
        return await _listed(visit, Shown(fields=(), refused=made))
    visit.note("The budget has its new amount.")
    return back(form, "/ui/budgets")


async def end_budget(visit: Visit, form: Mapping[str, str]) -> Response:
    """Nobody is refused by it any more."""
    query = [("version", form.get("version", ""))]
    made = await attempt(visit, "DELETE", f"/budgets/{visit.ids[0]}", query=query)
    if isinstance(made, RefusedForm):
        return await _listed(visit, Shown(fields=(), refused=made))
    visit.note("The budget has ended.")
    return back(form, "/ui/budgets")


async def of_owner(visit: Visit, kind: Kind, owner_id: int) -> dict[str, Any]:
    """What the page of a key or a team shows of its budgets and of what was paid in."""
    found = await visit.ask("GET", "/budgets", query=[(kind, str(owner_id)), ("limit", "100")])
    paid = await visit.ask("GET", f"/budgets/{kind}s/{owner_id}/top-ups", query=[("limit", "20")])
    owners = await Owners.of(visit, found["data"])
    return {
        "budgets": with_bars(found["data"], owners, visit.own.currency),
        "top_ups": paid["data"],
        "balance": paid["balance"],
        "currency": visit.own.currency,
        "once": secrets.token_hex(8),
    }


async def give(visit: Visit, kind: Kind, form: Mapping[str, str]) -> RefusedForm | None:
    """A budget to the key or team of the page."""
    body = {**body_of(BUDGET, form), kind: int(visit.ids[0])}
    made = await attempt(visit, "POST", "/budgets", body)
    if isinstance(made, RefusedForm):
        return made
    visit.note("The budget is in force.")
    return None


async def top_up(visit: Visit, kind: Kind, form: Mapping[str, str]) -> RefusedForm | None:
    """Money that was paid in, once for each form that was shown."""
    once = form.get("once", "")
    if once in visit.session.done:
        visit.note("This was paid in already.")
        return None
    path = f"/budgets/{kind}s/{visit.ids[0]}/top-ups"
    visit.session.done.append(once)
    made = await attempt(visit, "POST", path, body_of(TOP_UP, form))
    if isinstance(made, RefusedForm):
        visit.session.done.remove(once)
        return made
    visit.note(f"{money(made['amount'], visit.own.currency)} are paid in.")
    return None


def back(form: Mapping[str, str], default: str) -> Response:
    """To the page that the form was on."""
    wanted = form.get("back", "")
    is_ours = wanted.startswith(("/ui/keys/", "/ui/teams/")) and "\\" not in wanted
    return RedirectResponse(wanted if is_ours else default, 303, HEADERS)


_DEFAULTS: Final = {"unit": "money", "window": "month", "tz": "UTC"}
# The forms on the page of a key or team, before they are filled in.
EMPTY: Final = {
    "budget": Shown(fields=BUDGET, values=_DEFAULTS),
    "top_up": Shown(fields=TOP_UP),
}
PAGES: Final = {"/budgets": budgets}
FORMS: Final = {
    "/budgets": set_budget,
    "/budgets/{id}/amount": edit_budget,
    "/budgets/{id}/end": end_budget,
}
