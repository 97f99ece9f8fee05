"""LiteLLM's keys: `GET /key/list?return_full_object=true`, or its table LiteLLM_VerificationToken.

`token` is the SHA-256 of the key in hex, which is what is kept here as well.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from rerankd.access.fields import KeyFields
from rerankd.imports.keys import Found, decimal_text, iso_us, set_beside, sha256_of
from rerankd.imports.rows import Row, flag, number, text_of, words

_ALL: Final = frozenset({"all-proxy-models", "all-team-models"})
_NO_MODEL: Final = "no-default-models"
_WINDOWS: Final = {"h": "hour", "d": "day", "mo": "month"}
_DURATION: Final = re.compile(r"([0-9]+)(mo|[smhdw])")
_BESIDE: Final = {
    "aliases": "names of models of its own",
    "config": "settings of its own",
    "permissions": "permissions",
    "allowed_routes": "paths that it may use",
    "model_max_budget": "budgets by model",
    "budget_limits": "budgets by model",
    "budget_id": "a budget that keys share",
    "organization_id": "its organization",
    "project_id": "its project",
    "policies": "policies",
    "access_group_ids": "access groups",
    "object_permission_id": "permissions of objects",
    "auto_rotate": "rotation by itself",
    "router_settings": "settings of the router",
}


def found_in(row: Row) -> Found:
    """The key of a row."""
    token = text_of(row.get("token"))
    label = text_of(row.get("key_alias")) or f"litellm-{token[:8]}"
    digest = sha256_of(token)
    models = words(row.get("models"))
    refused = ""
    if digest is None:
        refused = "token is not 64 hexadecimal digits"
    elif flag(row.get("blocked")):
        refused = "is blocked there"
    elif _NO_MODEL in models:
        refused = "may use no model there"
    if refused or digest is None:
        return Found(label=label, refused=refused)
    given: dict[str, Any] = {"name": label}
    if models and not _ALL & set(models):
        given["models"] = models
    limits = {"rpm": "rpm_limit", "tpm": "tpm_limit", "in_flight": "max_parallel_requests"}
    given |= {ours: found for ours, its in limits.items() if (found := number(row.get(its)))}
    if team := text_of(row.get("team_alias")) or text_of(row.get("team_id")):
        given["team"] = team
    if expires := text_of(row.get("expires")):
        given["expires_us"] = iso_us(expires)
        if given["expires_us"] is None:
            return Found(label=label, refused="expires is no time")
    if user := text_of(row.get("user_id")):
        given["tags"] = [f"user:{user}"]
    budget, lost = _budget(row)
    return Found(
        label=label,
        fields=KeyFields(**given),
        digests=(digest,),
        budget=budget,
        lost=(*set_beside(row, _BESIDE), *lost),
    )


def _budget(row: Row) -> tuple[str, tuple[str, ...]]:
    """Its budget as ours is written, and what of it has no place here."""
    amount = decimal_text(row.get("max_budget"))
    if amount is None:
        return "", ()
    duration = text_of(row.get("budget_duration"))
    if not duration:
        left = Decimal(amount) - Decimal(decimal_text(row.get("spend")) or 0)
        return f"{decimal_text(max(left, Decimal(0)))} USD/total", ()
    found = _DURATION.fullmatch(duration)
    window = _WINDOWS.get(found[2]) if found and found[1] == "1" else None
    if duration in ("24h", "30d"):
        window = "day" if duration == "24h" else "month"
    if window is None:
        return "", (f"budget_duration {duration}: there are hour, day and month",)
    lost = ("budget_duration 30d: a calendar month here",) if duration == "30d" else ()
    return f"{amount} USD/{window}", lost
