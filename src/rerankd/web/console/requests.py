"""/ui/requests: the last ones as they end, without texts; one of them in its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.responses import JSONResponse, Response

from rerankd.web.console.arithmetic import lines_of
from rerankd.web.console.forms import Field, RefusedForm, Shown, attempt
from rerankd.web.console.render import HEADERS, fragment, page
from rerankd.web.console.visit import Visit

_LIVE: Final = "200"  # on the page
_LEDGER: Final = "50"
_FILTER: Final = (
    Field(name="text", label="Key, model, path or id has"),
    Field(
        name="status", label="Status", kind="choice", choices=("", "answered", "refused", "failed")
    ),
)
_STATUSES: Final = {"answered": (0, 400), "refused": (400, 500), "failed": (500, 1000)}
_FIELDS: Final = ("key_name", "model", "model_asked", "path", "dialect", "route", "request_id")


class TimeStep(NamedTuple):
    """A part of a request's time, by shares of the whole."""

    name: str
    ms: float
    begin: float
    share: float
    css: str


async def requests(visit: Visit) -> Response:
    """The last ones of this server; from the ledger for whoever may read only usage."""
    form = Shown(fields=_FILTER, values=dict(visit.request.query_params))
    if not visit.may("admin"):
        return await ledger(visit)
    found = await visit.ask("GET", "/requests", query=[("limit", _LIVE)])
    rows = wanted(found["data"], visit.asked("text"), visit.asked("status"))[::-1]
    return page("requests", visit, rows=rows, last=found["last"], form=form)


async def tail(visit: Visit) -> Response:
    """Rows that ended since, for the script of the page."""
    query = [("after", visit.asked("after", "0")), ("limit", _LIVE)]
    found = await visit.ask("GET", "/requests", query=query)
    rows = wanted(found["data"], visit.asked("text"), visit.asked("status"))[::-1]
    made = {"last": found["last"], "rows": fragment("requests_rows", visit, rows=rows)}
    return JSONResponse(made, headers=HEADERS)


async def ledger(visit: Visit) -> Response:
    """All that were ever charged or refused by key, a page at a time."""
    names = ("cursor", "model", "api_key_id", "team_id", "request_id")
    query = [(name, visit.asked(name)) for name in names if visit.asked(name)]
    found = await visit.ask("GET", "/usage", query=[*query, ("limit", _LEDGER)])
    return page("requests_ledger", visit, found=found)


async def one(visit: Visit) -> Response:
    """One request, from the ledger, or from what this server still knows of it."""
    written = await attempt(visit, "GET", f"/usage/requests/{visit.ids[0]}")
    if not isinstance(written, RefusedForm):
        return page(
            "request",
            visit,
            each=written,
            steps=steps_of(
                {n: written[f"{n}_us"] / 1000 for n in _STEPS}, written["total_us"] / 1000
            ),
            price=lines_of(written),
        )
    if visit.may("admin"):
        live = (await visit.ask("GET", "/requests", query=[("limit", "1000")]))["data"]
        for each in reversed(live):
            if each["request_id"] == visit.ids[0]:
                steps = steps_of({n: each[f"{n}_ms"] for n in ("media", *_STEPS)}, each["total_ms"])
                return page("request_live", visit, each=each, steps=steps)
    return page("request_none", visit, 404, refused=written)


def wanted(rows: Sequence[Mapping[str, Any]], text: str, status: str) -> list[Mapping[str, Any]]:
    """Those that a filter lets through.

    Args:
        rows: live requests.
        text: somewhere in a name or id; case does not matter.
        status: "answered", "refused" or "failed"; else any.
    """
    low, high = _STATUSES.get(status, (0, 1000))
    sought = text.lower()
    return [
        each
        for each in rows
        if low <= each["status"] < high
        and (not sought or any(sought in str(each[name]).lower() for name in _FIELDS))
    ]


def steps_of(parts: Mapping[str, float], total_ms: float) -> list[TimeStep]:
    """One after the other, and what is left of the whole.

    Args:
        parts: milliseconds by name, in order.
        total_ms: of the request.
    """
    found: list[TimeStep] = []
    whole = max(total_ms, sum(parts.values()), 1e-9)
    begin = 0.0
    named = {name: ms for name, ms in parts.items() if ms > 0}
    rest = total_ms - sum(named.values())
    if rest > 0:
        named["the rest"] = rest
    for place, (name, ms) in enumerate(named.items()):
        css = "s0" if name == "the rest" else f"s{place % 6 + 1}"
        found.append(TimeStep(name, ms, begin / whole, ms / whole, css))
        begin += ms
    return found


_STEPS: Final = ("prepare", "queue", "engine", "upstream")
PAGES: Final = {
    "/requests": requests,
    "/requests/tail": tail,
    "/requests/ledger": ledger,
    "/requests/{id}": one,
}
