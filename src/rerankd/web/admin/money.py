"""/admin/v1/prices, /costs and /budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.accounts.budget import EVERYBODY, Budget, BudgetState, Owner, Unit
from rerankd.accounts.price import Kind
from rerankd.accounts.window import Window
from rerankd.accounts.written import (
    WrittenPrice,
    amount_nano,
    checked_budget,
    price_of,
)
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import shown
from rerankd.store.budgets import BudgetRow, TopUpRow
from rerankd.store.prices import PriceRow
from rerankd.web.admin.answers import AdminAnswer
from rerankd.web.admin.asked import (
    MOST_ID,
    Id,
    PageQuery,
    Version,
    VersionQuery,
    id_of,
    page,
    place_of,
)
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation

_NOTE: Final = 2_000  # characters
_NAME: Final = 200
_Documents = Annotated[int, Meta(ge=1, le=MOST_ID)]


class PriceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What callers pay for a model from a time on. Amounts are decimal texts, never numbers."""

    model: str  # "*": all that have none of their own
    per_1m_input_tokens: str | None = None
    per_1k_searches: str | None = None
    search_documents: _Documents = 100
    per_1m_image_tokens: str | None = None
    per_request: str | None = None
    minimum: str | None = None
    currency: str | None = None
    starts: str | None = msgspec.field(default=None, name="from")  # ISO 8601; null = at once


class CostBody(PriceBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an upstream takes for one of its models."""

    upstream: str


class PriceQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which prices."""

    model: str | None = None


class CostQuery(PriceQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which costs."""

    upstream: str | None = None


class PricePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the history, as it was added."""

    object: Literal["list"]
    data: list[PriceRow]
    has_more: bool
    next_cursor: str | None


class BudgetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget of a key, of a team, or of everybody together; replaces that of unit and window."""

    key: str | Id | None = None  # id, public id or name
    team: str | Id | None = None  # id or name
    unit: Unit
    amount: str  # whole number; of money a decimal text
    window: Window = "total"
    tz: str = "UTC"


class BudgetEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another amount."""

    amount: str
    version: Version


class BudgetQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which budgets."""

    key: str | None = None
    team: str | None = None
    ended: bool = False  # those too


class BudgetView(BudgetRow, frozen=True, kw_only=True):
    """A budget, and how much of it is used in this process' window of now."""

    spent: str | None = None  # null: it has just been set, or has ended
    reserved: str | None = None  # by requests in progress
    left: str | None = None


class BudgetList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of budgets, by id."""

    object: Literal["list"]
    data: list[BudgetView]
    has_more: bool
    next_cursor: str | None


class TopUpBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that was paid in."""

    amount: str  # a decimal text
    note: Annotated[str, Meta(max_length=_NOTE)] = ""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of all that was paid in, as this process counts; decimal texts."""

    amount: str  # that was paid in
    spent: str
    reserved: str  # by requests in progress
    left: str


class TopUpList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what was paid in."""

    object: Literal["list"]
    data: list[TopUpRow]
    has_more: bool
    next_cursor: str | None
    balance: Balance | None  # null: nothing was, or just now


def _add_price(kind: Kind, desk: Desk, call: Call) -> AdminAnswer:
    wanted = price_of(WrittenPrice(**msgspec.structs.asdict(call.body)), kind, desk.currency)
    return AdminAnswer(status=201, content=msgspec.to_builtins(desk.prices.add(wanted)))


def _prices(kind: Kind, desk: Desk, call: Call) -> AdminAnswer:
    query: PriceQuery = call.query
    rows = desk.prices.list(
        kind=kind,
        model=query.model,
        upstream=getattr(query, "upstream", None),
        after=0 if query.cursor is None else place_of(query.cursor, int),
        limit=query.limit + 1,
    )
    return _listed(rows, query.limit)


def set_budget(desk: Desk, call: Call) -> AdminAnswer:
    """Give a budget, or another amount."""
    body: BudgetBody = call.body
    wanted = checked_budget(body.unit, body.amount, body.window, body.tz)
    row = desk.budgets.set(_owner(desk, body.key, body.team), wanted)
    return AdminAnswer(status=201, content=_row(row))


def budgets(desk: Desk, call: Call) -> AdminAnswer:
    """A page of budgets."""
    query: BudgetQuery = call.query
    is_all = query.key is None and query.team is None
    rows = desk.budgets.list(
        owner=None if is_all else _owner(desk, _number(query.key), _number(query.team)),
        ended=query.ended,
        after=0 if query.cursor is None else place_of(query.cursor, int),
        limit=query.limit + 1,
    )
    return AdminAnswer(content=page([_row(r) for r in rows], query.limit, [r.id for r in rows]))


def budget(desk: Desk, call: Call) -> AdminAnswer:
    """One budget."""
    return AdminAnswer(content=_row(desk.budgets.get(_budget_id(call))))


def edit_budget(desk: Desk, call: Call) -> AdminAnswer:
    """Another amount."""
    body: BudgetEdit = call.body
    row = desk.budgets.get(_budget_id(call))
    wanted = checked_budget(row.unit, body.amount, row.window, row.tz)
    return AdminAnswer(content=_row(desk.budgets.edit(row.id, body.version, wanted.amount)))


def end_budget(desk: Desk, call: Call) -> AdminAnswer:
    """Nobody is refused by it any more."""
    query: VersionQuery = call.query
    return AdminAnswer(content=_row(desk.budgets.end(_budget_id(call), query.version)))


def _top_up(kind: Literal["key", "team"], desk: Desk, call: Call) -> AdminAnswer:
    body: TopUpBody = call.body
    owner = _owner(desk, **{kind: _number(call.ids[0])})
    amount = amount_nano(body.amount, "amount")
    row = desk.budgets.top_up(owner, amount, by=call.by.name, note=body.note)
    return AdminAnswer(status=201, content=msgspec.to_builtins(row))


def _top_ups(kind: Literal["key", "team"], desk: Desk, call: Call) -> AdminAnswer:
    query: PageQuery = call.query
    rows = desk.budgets.top_ups(
        _owner(desk, **{kind: _number(call.ids[0])}),
        after=0 if query.cursor is None else place_of(query.cursor, int),
        limit=query.limit + 1,
    )
    return _listed(rows, query.limit)


def with_states(desk: Desk, answer: AdminAnswer) -> AdminAnswer:
    """Budgets and how much of each is used, as this process counts. On the event loop."""
    content = answer.content
    several = content.get("data")
    rows = [content] if several is None else several
    filled = [row | _used(desk, row) for row in rows]
    return replace(answer, content=filled[0] if several is None else {**content, "data": filled})


def _used(desk: Desk, row: dict[str, Any]) -> dict[str, Any]:
    owner = EVERYBODY
    if row["key_id"] is not None:
        owner = Owner("key", row["key_id"])
    elif row["team_id"] is not None:
        owner = Owner("team", row["team_id"])
    states = desk.books.budgets.states(owner, desk.now_us)
    found = [(b, s) for b, s in states if b.ref.id == row["id"] and not b.is_prepaid]
    return amounts_of(*found[0]) if found else {}


def with_balance(desk: Desk, answer: AdminAnswer) -> AdminAnswer:
    """What was paid in and what is left of it. On the event loop."""
    content, balance = answer.content, None
    for row in content["data"][:1]:
        is_of_key = row["key_id"] is not None
        owner = Owner("key", row["key_id"]) if is_of_key else Owner("team", row["team_id"])
        for budget, state in desk.books.budgets.states(owner, desk.now_us):
            if budget.is_prepaid:
                balance = {"amount": shown(state.amount), **amounts_of(budget, state)}
    return replace(answer, content={**content, "balance": balance})


def amounts_of(budget: Budget, state: BudgetState) -> dict[str, Any]:
    """What is used and left, in the budget's unit."""
    show: Callable[[int], str] = shown if budget.unit == "money" else str
    found = {"spent": state.spent, "reserved": state.reserved, "left": state.left}
    return {name: show(amount) for name, amount in found.items()}


def _listed(rows: list[Any], limit: int) -> AdminAnswer:
    return AdminAnswer(
        content=page([msgspec.to_builtins(row) for row in rows], limit, [row.id for row in rows])
    )


def _row(row: BudgetRow) -> dict[str, Any]:
    return msgspec.to_builtins(BudgetView(**msgspec.structs.asdict(row)))


def _number(written: str | None) -> str | int | None:
    """Digits of a path or query are an id."""
    return None if written is None else id_of(written)


def _owner(desk: Desk, key: str | int | None = None, team: str | int | None = None) -> Owner:
    """Raises InvalidRequest, NotFound."""
    if key is not None and team is not None:
        raise InvalidRequest("team: a budget is of a key or of a team, not both.", param="team")
    if key is not None:
        return Owner("key", desk.keys.get(key).id)
    return EVERYBODY if team is None else Owner("team", desk.teams.get(team).id)


def _budget_id(call: Call) -> int:
    found = _number(call.ids[0])
    return found if isinstance(found, int) else 0  # which none has


def _of_prices(kind: Kind, path: str, body: Any, query: Any) -> tuple[Operation, ...]:
    return (
        Operation(
            method="POST",
            path=path,
            summary=f"Add a {kind}, which follows those of the same model; none is ever changed.",
            body=body,
            answer=PriceRow,
            status=201,
            run=partial(_add_price, kind),
        ),
        Operation(
            method="GET",
            path=path,
            summary=f"The history of {kind}s, a page at a time.",
            query=query,
            answer=PricePage,
            run=partial(_prices, kind),
        ),
    )


def _of_top_ups(kind: Literal["key", "team"]) -> tuple[Operation, ...]:
    path = f"/budgets/{kind}s/{{id}}/top-ups"
    return (
        Operation(
            method="POST",
            path=path,
            summary=f"Pay in for a {kind}: a prepaid balance. Send an Idempotency-Key.",
            body=TopUpBody,
            answer=TopUpRow,
            status=201,
            run=partial(_top_up, kind),
        ),
        Operation(
            method="GET",
            path=path,
            summary=f"What was paid in for a {kind}, a page at a time.",
            query=PageQuery,
            answer=TopUpList,
            run=partial(_top_ups, kind),
            finish=with_balance,
        ),
    )


OPERATIONS: Final = (
    *_of_prices("price", "/prices", PriceBody, PriceQuery),
    *_of_prices("cost", "/costs", CostBody, CostQuery),
    Operation(
        method="POST",
        path="/budgets",
        summary="Give a budget, or the one of this unit and window another amount.",
        body=BudgetBody,
        answer=BudgetView,
        status=201,
        run=set_budget,
    ),
    Operation(
        method="GET",
        path="/budgets",
        summary="Budgets and what is left of each, a page at a time.",
        query=BudgetQuery,
        answer=BudgetList,
        run=budgets,
        finish=with_states,
    ),
    Operation(
        method="GET",
        path="/budgets/{id}",
        summary="One budget and what is left of it.",
        answer=BudgetView,
        run=budget,
        finish=with_states,
    ),
    Operation(
        method="PATCH",
        path="/budgets/{id}",
        summary="Another amount.",
        body=BudgetEdit,
        answer=BudgetView,
        run=edit_budget,
    ),
    Operation(
        method="DELETE",
        path="/budgets/{id}",
        summary="End a budget: nobody is refused by it any more.",
        query=VersionQuery,
        answer=BudgetView,
        run=end_budget,
    ),
    *_of_top_ups("key"),
    *_of_top_ups("team"),
)
