"""Budgets that are nearly spent, or spent, as events for the operator's webhook."""

from __future__ import annotations

import time
from collections.abc import Callable

from rerankd.accounts.budget import Budget, Level
from rerankd.accounts.written import time_of
from rerankd.core.money import shown
from rerankd.gateway.webhook import WebhookEvent


def alert_of(level: Level, currency: str, at_us: int) -> WebhookEvent:
    """The event of a budget that has just been spent to so many percent; money is decimal text."""
    budget, state = level.budget, level.state

    def amount(value: int) -> str:
        return shown(value) if budget.unit == "money" else str(value)

    end_us = state.span.end_us
    data: dict[str, object] = {
        "percent": level.percent,
        "budget_id": None if budget.is_prepaid else budget.ref.id,
        "key_id": budget.owner.id if budget.owner.kind == "key" else None,
        "team_id": budget.owner.id if budget.owner.kind == "team" else None,
        "unit": budget.unit,
        "currency": currency if budget.unit == "money" else None,
        "amount": amount(state.amount),
        "spent": amount(state.spent),
        "window": "prepaid" if budget.is_prepaid else budget.window,
        "window_start": time_of(state.span.start_us),
        "window_end": None if end_us is None else time_of(end_us),
    }
    return WebhookEvent(
        id=f"msg_budget_{_named(budget)}_{state.amount}_{state.span.start_us}_{level.percent}",
        type="budget.spent",
        timestamp=time_of(at_us),
        data=data,
    )


def teller(currency: str, send: Callable[[WebhookEvent], None]) -> Callable[[Level], None]:
    """What budgets tell their levels."""

    def tell(level: Level) -> None:
        send(alert_of(level, currency, time.time_ns() // 1000))

    return tell


def _named(budget: Budget) -> str:
    return f"{budget.owner.kind}{budget.owner.id}" if budget.is_prepaid else str(budget.ref.id)
