"""/ui/reliability: what waits, what was refused and why, lag, the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rerankd.web.console.render import page
from rerankd.web.console.visit import Visit

# What an operator does about a refusal, by its kind.
ADVICE: Final[Mapping[str, str]] = {
    "overloaded": "The queue was full, a model was loading, or the server was ending.",
    "rate_limited": "A limit of a key or team: see its page, or the caller sends too fast.",
    "quota_exceeded": "A budget is used up: see Budgets.",
    "deadline_exceeded": "It took longer than limits.deadline_s: less at once, or more machines.",
    "upstream_failed": "Nobody of a route could answer: see Upstreams.",
    "space_unavailable": "A route insists on a scale that nobody answers on now.",
    "engine_failed": "A bug, or a lost device: the log has it by request id.",
    "invalid_request": "The caller's mistake; the answer says which field.",
    "unknown_model": "The caller named a model that nobody serves: see Models.",
    "unauthorized": "No key, a wrong one, or one that is good no more.",
    "forbidden": "The key may not do that, not with this model, or not from there.",
    "body_too_large": "Over limits.body_bytes.",
    "body_timeout": "The body did not arrive within limits.body_s.",
}


async def reliability(visit: Visit) -> Response:
    """How the server bears what is asked of it."""
    now = await visit.ask("GET", "/overview")
    return page("reliability", visit, now=now, lines=lines_of(now))


def lines_of(now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Refusals by reason, the most frequent first, with their share of all requests."""
    total = max(now["requests"], 1)
    ordered = sorted(now["refused"].items(), key=lambda each: (-each[1], each[0]))
    return [
        {"reason": reason, "count": count, "share": count / total, "advice": ADVICE.get(reason, "")}
        for reason, count in ordered
    ]


PAGES: Final = {"/reliability": reliability}
