"""/ui of whoever calls only: what his own key used, and what is left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from rerankd.core.errors import InvalidRequest
from rerankd.core.money import shown
from rerankd.web.admin.money import amounts_of
from rerankd.web.console import usage
from rerankd.web.console.budgets import amount
from rerankd.web.console.forms import Field, Shown
from rerankd.web.console.render import page
from rerankd.web.console.spans import BUCKETS, RANGES, TimeRange, span_of
from rerankd.web.console.visit import Visit

_MEASURES: Final = ("charge", "requests", "documents", "tokens")
_GROUPS: Final = {"none": "", "model": "model", "dialect": "dialect", "status": "status"}
FIELDS: Final = (
    Field(name="range", label="Range", kind="choice", choices=RANGES),
    Field(name="from", label="Dates: from", example="2026-11-01"),
    Field(name="to", label="Dates: to", example="2026-11-30"),
    Field(name="bucket", label="Per", kind="choice", choices=BUCKETS),
    Field(name="by", label="Told apart by", kind="choice", choices=tuple(_GROUPS)),
    Field(name="measure", label="Chart of", kind="choice", choices=_MEASURES),
)
_ROWS: Final = "25"


async def own_usage(visit: Visit) -> Response:
    """The page."""
    values = {**usage.DEFAULTS, **{n: v for n, v in visit.request.query_params.items() if v}}
    form = Shown(fields=FIELDS, values=values)
    left = left_of(visit)
    try:
        chosen = span_of(values, time.time())
    except InvalidRequest as error:
        return page("own", visit, 400, form=form, refused=str(error), seen=None, left=left)
    by = values["by"] if values["by"] in _GROUPS else "model"
    measure: Any = values["measure"] if values["measure"] in _MEASURES else "charge"
    buckets = await _buckets(visit, chosen, _GROUPS[by])
    currency = visit.own.currency
    asked = [("start_time", str(chosen.start)), ("end_time", str(chosen.end))]
    cursor = [("cursor", visit.asked("cursor"))] if visit.asked("cursor") else []
    rows = await visit.own.rows(visit.key, [*asked, *cursor, ("limit", _ROWS)])
    return page(
        "own",
        visit,
        form=form,
        refused=None,
        seen=usage.view(buckets, _GROUPS[by], measure, {}, currency, chosen),
        rows=rows.content,
        left=left,
        export=urlencode(asked),
        curl=usage.curl(visit, "/v1/usage/export", [*asked, ("format", "csv")]),
    )


async def export(visit: Visit) -> Response:
    """The file of one's own requests."""
    stream = visit.own.export(visit.key, visit.request.query_params.multi_items())
    return visit.admin.desk.sent(stream)


def left_of(visit: Visit) -> list[dict[str, Any]]:
    """What limits the key, and how much is left of it."""
    found: list[dict[str, Any]] = []
    currency = visit.own.currency
    for budget, state in visit.own.states(visit.key):
        amounts = amounts_of(budget, state)
        window = "" if budget.window == "total" else f" per {budget.window}"
        whose = {"key": "this key", "team": "its team"}.get(budget.owner.kind, "everybody")
        used = state.spent + state.reserved
        found.append(
            {
                "name": "Balance" if budget.is_prepaid else f"Budget of {whose}{window}",
                "amount": amount(_written(budget.unit, state.amount), budget.unit, currency),
                "left": amount(amounts["left"], budget.unit, currency),
                "share": used / state.amount if state.amount else 1.0,
            }
        )
    return found


def _written(unit: str, count: int) -> str:
    return shown(count) if unit == "money" else str(count)


async def _buckets(visit: Visit, chosen: TimeRange, group_by: str) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = [*chosen.asked(), *([("group_by", group_by)] if group_by else [])]
    next_page: str | None = ""
    while next_page is not None:
        more = [("page", next_page)] if next_page else []
        answer = (await visit.own.sums(visit.key, [*query, *more])).content
        found += answer["data"]
        next_page = answer["next_page"]
    return found


PAGES: Final = {"/own/export": export}
