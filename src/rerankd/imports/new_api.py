"""new-api's table `tokens`: its columns are those of model/token.go.

Keys are in plain text there, and its HTTP API shows them masked: only an export of the table has
them. A caller may write one with or without `sk-`; both are taken over, as hashes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from rerankd.access.fields import KeyFields
from rerankd.access.keys import digest
from rerankd.imports.keys import Found, decimal_text, set_beside
from rerankd.imports.rows import Row, flag, number, text_of, words

QUOTA_OF_A_DOLLAR: Final = 500_000  # QuotaPerUnit
_ENABLED: Final = "1"
_STATES: Final = {"2": "is disabled there", "4": "has used up its quota there"}
_BESIDE: Final = {
    "group": "its group, which chose prices and channels there",
    "cross_group_retry": "retries in other groups",
    "auto_groups": "its groups",
    "used_quota": "what it used before",
}


def found_in(row: Row) -> Found:
    """The token of a row."""
    label, key = text_of(row.get("name")), text_of(row.get("key")).removeprefix("sk-")
    label = label or f"token {text_of(row.get('id')) or '?'}"
    state = text_of(row.get("status")) or _ENABLED
    refused = _STATES.get(state, "")
    if not key:
        refused = "has no column key: this is no export of the table tokens"
    elif "*" in key:
        refused = "is masked, as new-api's HTTP API shows keys: export its table tokens instead"
    elif text_of(row.get("deleted_at")):
        refused = "is deleted there"
    if refused:
        return Found(label=label, refused=refused)
    given: dict[str, Any] = {"name": label}
    if flag(row.get("model_limits_enabled")):
        given["models"] = words(row.get("model_limits"))
        if not given["models"]:
            return Found(label=label, refused="may use no model there")
    addresses = text_of(row.get("allow_ips")).replace(",", "\n").split()
    if addresses:
        given["networks"] = addresses
    ends = number(row.get("expired_time"))  # seconds; -1 = never
    if ends is not None:
        given["expires_us"] = ends * 1_000_000
    if user := text_of(row.get("user_id")):
        given["tags"] = [f"user:{user}"]
    return Found(
        label=label,
        fields=KeyFields(**given),
        digests=(digest(f"sk-{key}"), digest(key)),
        budget=_budget(row),
        lost=tuple(set_beside(row, _BESIDE)),
    )


def _budget(row: Row) -> str:
    """What is left of its quota, which is counted in parts of a dollar."""
    if flag(row.get("unlimited_quota")) or "remain_quota" not in row:
        return ""
    left = number(row["remain_quota"]) or 0
    return f"{decimal_text(Decimal(left) / QUOTA_OF_A_DOLLAR)} USD/total"
