"""/ui: how the server does now, the last day, and what needs somebody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rerankd.web.console import own, usage
from rerankd.web.console.budgets import Owners, share, with_bars
from rerankd.web.console.charts import stacked
from rerankd.web.console.render import moment, page, whole
from rerankd.web.console.sums import shown
from rerankd.web.console.visit import Visit

_NEARLY: Final = 0.8  # of a budget
_NAMED: Final = 10  # budgets that are told about one by one, those with the least left


async def overview(visit: Visit) -> Response:
    """The first page of whoever is signed in."""
    if not visit.may("admin"):
        if visit.may("read"):
            return await usage.usage(visit)
        return await own.own_usage(visit)
    now = await visit.ask("GET", "/overview")
    used_up = await _used_up(visit)
    named = sorted(used_up, key=share, reverse=True)[:_NAMED]
    bars = with_bars(named, await Owners.of(visit, named), now["currency"])
    return page(
        "overview",
        visit,
        now=now,
        alerts=alerts(now, bars, len(used_up) - len(named)),
        charts=charts(now["hours"], now["currency"]),
    )


async def _used_up(visit: Visit) -> list[Mapping[str, Any]]:
    """All budgets that are nearly spent."""
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while True:
        query = [("limit", "1000")] + ([] if cursor is None else [("cursor", cursor)])
        budgets = await visit.ask("GET", "/budgets", query=query)
        found += [each for each in budgets["data"] if share(each) >= _NEARLY]
        cursor = budgets["next_cursor"]
        if cursor is None:
            return found


def alerts(
    now: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]], more: int
) -> list[tuple[str, str, str]]:
    """What needs somebody: how bad, a sentence, the page about it.

    Args:
        now: what /overview answered.
        budgets: some that are nearly spent.
        more: how many others are.
    """
    found: list[tuple[str, str, str]] = []
    if now["is_draining"]:
        found.append(("bad", "The server is shutting down.", "/ui/reliability"))
    if away_s := now["ledger"]["away_s"]:
        said = f"The database has been away for {away_s:.0f} s: usage waits in the journal."
        found.append(("bad", said, "/ui/reliability"))
    for each in now["upstreams"]:
        if each["state"] != "closed":
            is_off = each["state"] == "off"
            why = "none of its keys is good" if is_off else f"its breaker is {each['state']}"
            css = "warn" if each["state"] == "probing" else "bad"
            found.append((css, f"Upstream {each['name']}: {why}.", "/ui/upstreams"))
    for each in now["models"]:
        if (said := _MODELS.get(each["state"])) is not None:
            found.append((said[0], f"Model {each['name']} {said[1]}.", "/ui/models"))
        found += [("warn", f"{each['name']}: {said}", "/ui/models") for said in each["warnings"]]
    for each in budgets:
        css = "bad" if each["share"] >= 1 else "warn"
        said = f"{each['owner']}: {each['share']:.0%} of {each['said']} is used."
        found.append((css, said, "/ui/budgets"))
    if more:
        found.append(("warn", f"{more} more budgets are nearly used up.", "/ui/budgets"))
    return found


_MODELS: Final = {  # state -> how bad, what it is
    "loading": ("warn", "is being loaded"),
    "unloading": ("warn", "is being unloaded"),
    "unloaded": ("warn", "is unloaded: requests for it are answered 503"),
    "failed": ("bad", "could not be loaded: requests for it are answered 503"),
}


def charts(hours: Sequence[Mapping[str, Any]], currency: str) -> dict[str, Any]:
    """Requests and charges of the hours that the API has."""
    labels = [moment(each["start"])[11:16] for each in hours]
    requests = {"requests": [float(each["requests"]) for each in hours]}
    charges = {"charge": [float(each["charge"]) for each in hours]}
    return {
        "requests": stacked(labels, requests, whole),
        "charge": stacked(labels, charges, lambda value: shown(value, "charge", currency)),
    }


PAGES = {"/": overview}
