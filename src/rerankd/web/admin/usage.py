"""/admin/v1/usage: single requests, sums in the form of OpenAI's usage API, and all as a file."""

from __future__ import annotations

from typing import Final

import msgspec

from rerankd.core.money import shown
from rerankd.store.errors import NotFound
from rerankd.store.usage import UsageQuery, attempts_of
from rerankd.store.usage import rows as usage_rows
from rerankd.web.admin import usage_answers
from rerankd.web.admin.answers import AdminAnswer, Stream
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation
from rerankd.web.admin.usage_forms import (
    Attempted,
    ExportQuery,
    GroupBy,
    Record,
    RecordDetail,
    RecordList,
    RowsQuery,
    Sums,
    SumsPage,
    SumsQuery,
)


def rows(desk: Desk, call: Call) -> AdminAnswer:
    """A page of requests."""
    query: RowsQuery = call.query
    return usage_answers.rows(desk.database, query.asked(), query, Record, desk.currency)


def one(desk: Desk, call: Call) -> AdminAnswer:
    """One request."""
    with desk.database.read() as connection:
        found = usage_rows(connection, UsageQuery(request_id=call.ids[0]), limit=1)
        if not found:
            raise NotFound(f"There is no request {call.ids[0][:100]!r} in the ledger.")
        row, tries = found[0], attempts_of(connection, found[0]["entry"])
    names = [name for name in Attempted.__struct_fields__ if name != "cost"]
    asked = [
        Attempted(**{name: each[name] for name in names}, cost=shown(each["cost_nano"]))
        for each in tries
    ]
    record = usage_answers.shown_row(row, Record, desk.currency)
    price = None if row["price_id"] is None else desk.prices.get(row["price_id"])
    more = msgspec.to_builtins({"tries": asked, "price": price})
    return AdminAnswer(content={**msgspec.to_builtins(record), **more})


def sums(desk: Desk, call: Call) -> AdminAnswer:
    """A page of buckets."""
    query: SumsQuery = call.query
    asked = query.asked()
    groups: list[GroupBy] = [*query.group_by]
    return usage_answers.sums(
        desk.database, asked, query, groups, Sums, now_us=desk.now_us, money=desk.currency
    )


def export(desk: Desk, call: Call) -> Stream:
    """A file."""
    query: ExportQuery = call.query
    return usage_answers.export(desk.database, query.asked(), query, Record, desk.currency)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/usage",
        summary="Single requests, newest first, a page at a time.",
        role="read",
        query=RowsQuery,
        answer=RecordList,
        run=rows,
    ),
    Operation(
        method="GET",
        path="/usage/summary",
        summary="Sums by time and group, in the form of OpenAI's usage API.",
        role="read",
        query=SumsQuery,
        answer=SumsPage,
        run=sums,
    ),
    Operation(
        method="GET",
        path="/usage/export",
        summary="Every request as csv or jsonl, oldest first, however many there are.",
        role="read",
        query=ExportQuery,
        answer=None,
        stream=export,
    ),
    Operation(
        method="GET",
        path="/usage/requests/{id}",
        summary="One request by its id: every target that was asked, the price it was charged by.",
        role="read",
        answer=RecordDetail,
        run=one,
    ),
)
