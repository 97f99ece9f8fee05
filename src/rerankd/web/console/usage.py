"""/ui/usage: what was used and earned, by time and by whom; the same as a file and as a call."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from rerankd.core.errors import InvalidRequest
from rerankd.web.console.charts import largest, stacked
from rerankd.web.console.forms import Field, Shown
from rerankd.web.console.render import page
from rerankd.web.console.spans import BUCKETS, RANGES, TimeRange, span_of
from rerankd.web.console.sums import MEASURES, Measure, Sum, added, shown, totals
from rerankd.web.console.visit import Visit

# What sums are told apart by: the page's word for it, that of the API, the field of a result.
GROUPS: Final = {
    "none": ("", ""),
    "team": ("team_id", "team_id"),
    "model": ("model", "model"),
    "key": ("api_key_id", "api_key_name"),
    "route": ("route", "route"),
    "upstream": ("upstream", "upstream"),
    "dialect": ("dialect", "dialect"),
    "status": ("status", "status"),
}
OF: Final = ("api_key_id", "team_id", "model", "route", "upstream", "dialect")
FIELDS: Final = (
    Field(name="range", label="Range", kind="choice", choices=RANGES),
    Field(name="from", label="Dates: from", example="2026-11-01"),
    Field(name="to", label="Dates: to", example="2026-11-30"),
    Field(name="bucket", label="Per", kind="choice", choices=BUCKETS),
    Field(name="by", label="Told apart by", kind="choice", choices=tuple(GROUPS)),
    Field(name="measure", label="Chart of", kind="choice", choices=MEASURES),
)
DEFAULTS: Final = {"range": "7 days", "bucket": "day", "by": "model", "measure": "charge"}


async def usage(visit: Visit) -> Response:
    """The page."""
    values = {**DEFAULTS, **{n: v for n, v in visit.request.query_params.items() if v}}
    form = Shown(fields=FIELDS, values=values)
    try:
        chosen = span_of(values, time.time())
    except InvalidRequest as error:
        return page("usage", visit, 400, form=form, refused=str(error), seen=None)
    by = values["by"] if values["by"] in GROUPS else DEFAULTS["by"]
    measure: Any = values["measure"] if values["measure"] in MEASURES else DEFAULTS["measure"]
    of = [(name, visit.asked(name)) for name in OF if visit.asked(name)]
    names = await _teams(visit) if by == "team" else {}
    buckets = await buckets_of(visit, chosen, of, GROUPS[by][0])
    seen = view(buckets, GROUPS[by][1], measure, names, visit.own.currency, chosen)
    asked = [("start_time", str(chosen.start)), ("end_time", str(chosen.end)), *of]
    return page(
        "usage",
        visit,
        form=form,
        refused=None,
        seen=seen,
        of=of,
        export=urlencode(asked),
        curl=curl(visit, "/admin/v1/usage/export", [*asked, ("format", "csv")]),
    )


async def export(visit: Visit) -> Response:
    """The file that the API call makes."""
    return await visit.file("/usage/export", query=visit.request.query_params.multi_items())


async def buckets_of(
    visit: Visit, chosen: TimeRange, of: Sequence[tuple[str, str]], group_by: str
) -> list[dict[str, Any]]:
    """All of a range, however many pages they are."""
    found: list[dict[str, Any]] = []
    query = [*chosen.asked(), *of, *([("group_by", group_by)] if group_by else [])]
    next_page: str | None = ""
    while next_page is not None:
        more = [("page", next_page)] if next_page else []
        answer = await visit.ask("GET", "/usage/summary", query=[*query, *more])
        found += answer["data"]
        next_page = answer["next_page"]
    return found


def view(
    buckets: Sequence[Mapping[str, Any]],
    field: str,
    measure: Measure,
    names: Mapping[Any, str],
    currency: str,
    chosen: TimeRange,
) -> dict[str, Any]:
    """Chart and tables of buckets.

    Args:
        buckets: as the API answered.
        field: of a result, that tells it apart; "" = all are one.
        measure: of the chart.
        names: what values of the field are called, where not as they are.
        currency: of money.
        chosen: the range.
    """

    def name_of(result: Mapping[str, Any]) -> str:
        value = result[field] if field else "all"
        if field == "status":
            return f"{value}xx"
        return names.get(value) or (str(value) if value not in (None, "", 0) else "none")

    cells = [added(bucket["results"], name_of) for bucket in buckets]
    groups = totals(cells)
    ordered = sorted(groups, key=lambda name: -abs(groups[name].number(measure)))
    labels = [chosen.label(bucket["start_time"]) for bucket in buckets]
    series = {
        name: [cell[name].number(measure) if name in cell else 0.0 for cell in cells]
        for name in ordered
    }
    drawn = largest(series)
    return {
        "chart": stacked(labels, drawn, lambda value: shown(value, measure, currency)),
        "measure": measure,
        "groups": [(name, groups[name]) for name in ordered],
        "total": sum(groups.values(), Sum()),
        "columns": ordered,
        "rows": [
            (label, cell, sum(cell.values(), Sum()))
            for label, cell in zip(labels, cells, strict=True)
        ],
        "field": field,
        "currency": currency,
        "span": chosen,
    }


def curl(visit: Visit, path: str, query: Sequence[tuple[str, str]]) -> str:
    """The call as a command."""
    url = f"{visit.address.rstrip('/')}{path}?{urlencode(query)}"
    return f'curl -H "Authorization: Bearer $RERANKD_KEY" {shlex.quote(url)}'


async def _teams(visit: Visit) -> dict[int, str]:
    """Names by id, where the key may see them; else they are numbers."""
    if not visit.may("admin"):
        return {}
    found: dict[int, str] = {}
    cursor: str | None = ""
    while cursor is not None:
        query = [("limit", "1000"), ("archived", "true"), *([("cursor", cursor)] if cursor else [])]
        answer = await visit.ask("GET", "/teams", query=query)
        found |= {each["id"]: each["name"] for each in answer["data"]}
        cursor = answer["next_cursor"]
    return found


PAGES: Final = {"/usage": usage, "/usage/export": export}
