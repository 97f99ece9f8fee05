"""What a caller is told whose budget has no room: the numbers, and when it has room again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from rerankd.accounts.budget import Budget, Exceeded
from rerankd.core.errors import QuotaExceeded, RateLimited
from rerankd.core.money import shown

_SOON_US: Final = 60_000_000  # a window that ends within a minute is worth waiting for
_WHOSE: Final = {"key": "this key", "team": "this key's team", "all": "this server"}


def amount_of(budget: Budget, amount: int, currency: str) -> str:
    """An amount of a budget's unit, to read: `0.25 USD`, `120 tokens`."""
    return f"{shown(amount)} {currency}" if budget.unit == "money" else f"{amount} {budget.unit}"


def refusal(exceeded: Exceeded, now_us: int, currency: str) -> QuotaExceeded | RateLimited:
    """The error for a caller: 429 only where the same request fits within a minute.

    What everybody together has spent is nobody's to know: of the server's own budget no numbers.
    """
    budget, state = exceeded.budget, exceeded.state
    end_us, is_own = state.span.end_us, budget.owner.kind != "all"
    said = f"The {'balance' if budget.is_prepaid else 'budget'} of {_WHOSE[budget.owner.kind]} "
    said += "has no room for this request"
    if is_own:
        said += f": {_numbers(exceeded, currency)}"
    remaining = amount_of(budget, max(state.left, 0), currency) if is_own else None
    if end_us is not None and end_us - now_us <= _SOON_US and exceeded.needed <= budget.amount:
        wait_s = max(end_us - now_us, 0) / 1_000_000
        return RateLimited("budget", retry_after_s=wait_s, why=said, remaining=remaining)
    if end_us is not None:
        begins = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=end_us)
        said += f". It begins anew at {begins:%Y-%m-%dT%H:%M:%SZ}"
    return QuotaExceeded(f"{said}.", remaining=remaining)


def _numbers(exceeded: Exceeded, currency: str) -> str:
    budget, state = exceeded.budget, exceeded.state
    spent, reserved, needed = (
        amount_of(budget, amount, currency)
        for amount in (state.spent, state.reserved, exceeded.needed)
    )
    whole = amount_of(budget, budget.amount, currency)
    each = "paid in" if budget.is_prepaid else f"per {budget.window}"
    if budget.window == "total" and not budget.is_prepaid:
        each = "in total"
    return (
        f"{whole} {each}, {spent} spent, {reserved} reserved by requests in progress, "
        f"{needed} needed"
    )
