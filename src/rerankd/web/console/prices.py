"""/ui/prices: what callers pay, what upstreams take; a history to which is added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from starlette.responses import RedirectResponse, Response

from rerankd.web.console.forms import Field, RefusedForm, Shown, attempt, body_of
from rerankd.web.console.render import HEADERS, page
from rerankd.web.console.visit import Visit

Kind = Literal["price", "cost"]
PRICE: Final = (
    Field(name="model", label="Model", needed=True, hint="* is for all without one of their own."),
    Field(name="per_1m_input_tokens", label="Per 1 M input tokens", example="0.02"),
    Field(name="per_1k_searches", label="Per 1 000 searches", example="2.00"),
    Field(name="search_documents", label="Documents of a search", kind="whole", example="100"),
    Field(name="per_1m_image_tokens", label="Per 1 M image tokens"),
    Field(name="per_request", label="Per request"),
    Field(name="minimum", label="At least, per request"),
    Field(name="from", label="From", kind="time", hint="A day or time, in UTC. Empty: at once."),
)
COST: Final = (Field(name="upstream", label="Upstream", needed=True), *PRICE)
_FIELDS: Final[dict[Kind, tuple[Field, ...]]] = {"price": PRICE, "cost": COST}


async def prices(visit: Visit) -> Response:
    """Both histories."""
    return await _listed(visit)


async def _listed(visit: Visit, status: int = 200, **shown: Shown) -> Response:
    query = [("limit", "100")]
    if model := visit.asked("model"):
        query.append(("model", model))
    found = {
        kind: await visit.ask(
            "GET", f"/{kind}s", query=[*query, *_cursor(visit.asked(f"{kind}_cursor"))]
        )
        for kind in _FIELDS
    }
    forms = {kind: Shown(fields=fields) for kind, fields in _FIELDS.items()} | shown
    return page("prices", visit, status, found=found, forms=forms, currency=visit.own.currency)


async def _add(visit: Visit, form: Mapping[str, str], kind: Kind) -> Response:
    fields = _FIELDS[kind]
    made = await attempt(visit, "POST", f"/{kind}s", body_of(fields, form))
    if isinstance(made, RefusedForm):
        shown = Shown(fields=fields, values=form, refused=made)
        return await _listed(visit, made.status, **{kind: shown})
    visit.note(f"The {kind} of {made['model']} is in force from {made['starts']} on.")
    return RedirectResponse("/ui/prices", 303, HEADERS)


async def add_price(visit: Visit, form: Mapping[str, str]) -> Response:
    """What callers pay."""
    return await _add(visit, form, "price")


async def add_cost(visit: Visit, form: Mapping[str, str]) -> Response:
    """What an upstream takes."""
    return await _add(visit, form, "cost")


def _cursor(text: str) -> list[tuple[str, str]]:
    return [("cursor", text)] if text else []


PAGES: Final = {"/prices": prices}
FORMS: Final = {"/prices": add_price, "/costs": add_cost}
