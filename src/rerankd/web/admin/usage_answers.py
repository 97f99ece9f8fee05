"""Usage answered from the ledger: for administrators, and for a caller's own key."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from rerankd.core.errors import InvalidRequest
from rerankd.core.money import shown
from rerankd.store.database import Database
from rerankd.store.export import safe_cell
from rerankd.store.times import shown_time
from rerankd.store.usage import By, TooManySums, UsageQuery, all_rows, summary
from rerankd.store.usage import rows as rows_of
from rerankd.web.admin.answers import AdminAnswer, Stream
from rerankd.web.admin.asked import page, place_of
from rerankd.web.admin.usage_forms import (
    GROUPS,
    BucketQuery,
    GroupBy,
    OwnExportQuery,
    OwnRecord,
    OwnRowsQuery,
    OwnSums,
)

_MONEY: Final = ("charge", "cost", "maybe_billed")
_AT_ONCE: Final = 500  # rows of a piece
Form = type[OwnRecord]


def rows(
    database: Database, asked: UsageQuery, query: OwnRowsQuery, form: Form, money: str
) -> AdminAnswer:
    """A page of single requests.

    Args:
        database: of the ledger.
        asked: of which requests.
        query: which page of them.
        form: how each is shown.
        money: the currency.
    """
    after = None if query.cursor is None else place_of(query.cursor, tuple[int, str])
    newest = query.order == "desc"
    with database.read() as connection:
        found = rows_of(connection, asked, limit=query.limit + 1, after=after, newest_first=newest)
    places = [[row["at_us"], row["entry"]] for row in found]
    shown_rows = [msgspec.to_builtins(shown_row(row, form, money)) for row in found]
    return AdminAnswer(content=page(shown_rows, query.limit, places))


def shown_row(row: dict[str, Any], form: Form, money: str) -> OwnRecord:
    """A row of the ledger in a form."""
    values: dict[str, Any] = {
        **row,
        "at": shown_time(row["at_us"]),
        "done": shown_time(row["done_us"]),
        "currency": money,
        **{name: shown(row[f"{name}_nano"]) for name in _MONEY},
    }
    return form(**{name: values[name] for name in form.__struct_fields__ if name in values})


def sums(  # noqa: PLR0913 - what is asked, and of whom
    database: Database,
    asked: UsageQuery,
    query: BucketQuery,
    groups: list[GroupBy],
    form: type[OwnSums],
    *,
    now_us: int,
    money: str,
) -> AdminAnswer:
    """A page of buckets. Raises InvalidRequest."""
    by: list[By] = list(dict.fromkeys(GROUPS[name] for name in groups))
    try:
        with database.read() as connection:
            found = summary(
                connection,
                asked,
                now_us=now_us,
                width=query.bucket_width,
                by=by,
                limit=query.limit,
                page=query.page,
            )
    except TooManySums:
        raise InvalidRequest(
            "group_by: there are too many groups for one answer: ask for fewer buckets (limit), or "
            "group by less.",
            param="group_by",
        ) from None
    data = [
        bucket | {"results": [_sums(row, form, money) for row in bucket["results"]]}
        for bucket in found.data
    ]
    answer = {"object": "page", "data": data, "has_more": found.has_more}
    return AdminAnswer(content={**answer, "next_page": found.next_page})


def _sums(row: dict[str, Any], form: type[OwnSums], money: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        **row,
        "num_model_requests": row["requests"],
        "input_cached_tokens": row["cached_tokens"],
        "currency": money,
        "api_key_id": row.get("key_id"),
        "api_key_name": row.get("key_name"),
        "status": row.get("status_class"),
        **{name: shown(row[f"{name}_nano"]) for name in _MONEY},
    }
    names = [name for name in form.__struct_fields__ if name in values]
    made = form(**{name: values[name] for name in names})
    return msgspec.to_builtins(made)


def export(
    database: Database, asked: UsageQuery, query: OwnExportQuery, form: Form, money: str
) -> Stream:
    """Every request as a file, oldest first, made as it is sent."""
    records = (shown_row(row, form, money) for row in all_rows(database, asked))
    parts = iter(lambda: list(islice(records, _AT_ONCE)), [])
    if query.format == "jsonl":
        encoder = msgspec.json.Encoder()
        return Stream(
            pieces=map(encoder.encode_lines, parts),
            media_type="application/jsonl",
            file_name="usage.jsonl",
        )
    return Stream(pieces=_csv(parts, form), media_type="text/csv", file_name="usage.csv")


def _csv(parts: Iterator[list[OwnRecord]], form: Form) -> Iterator[bytes]:
    names = form.__struct_fields__
    yield _lines([list(names)])
    for some in parts:
        yield _lines([[safe_cell(getattr(row, name)) for name in names] for row in some])


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
