"""Questions to the ledger: pages of rows, and sums by whatever they are asked by."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
import sqlalchemy as sa

from rerankd.core.errors import InvalidRequest
from rerankd.store.database import Database
from rerankd.store.rows import COLUMNS
from rerankd.store.tables import HOUR_SUMS, TOOK, attempt, team, usage, usage_hour
from rerankd.store.transfer import HOUR_US

By = Literal["key", "team", "model", "route", "upstream", "dialect", "status", "hour", "day"]
BYS: Final[tuple[By, ...]] = get_args(By)
Width = Literal["1m", "1h", "1d"]
WIDTHS_US: Final[dict[Width, int]] = {"1m": 60_000_000, "1h": HOUR_US, "1d": 24 * HOUR_US}
# Buckets of a page: how many when nobody says, and at most; as OpenAI's.
_BUCKETS: Final[dict[Width, tuple[int, int]]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
_PAGE: Final = 2000  # rows of one question of `all_rows`
SUMS: Final = tuple(name for name in HOUR_SUMS if name not in TOOK)
MOST_SUMS: Final = 20_000  # rows of one page of buckets


class TooManySums(Exception):
    """A page of buckets would have more than MOST_SUMS rows."""


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which rows; microseconds since 1970, `until_us` is not among them."""

    since_us: int = 0
    until_us: int | None = None
    key_id: int | None = None  # 0: of the settings, or none
    key_name: str | None = None
    team_id: int | None = None
    model: str | None = None
    route: str | None = None
    upstream: str | None = None
    dialect: str | None = None
    request_id: str | None = None  # of rows only


def rows(
    connection: sa.Connection,
    asked: UsageQuery,
    *,
    limit: int,
    after: tuple[int, str] | None = None,
    newest_first: bool = True,
) -> list[dict[str, Any]]:
    """A page of rows by their time.

    Args:
        connection: that reads.
        asked: of which.
        limit: at most so many.
        after: time and entry of the last row of the page before.
        newest_first: else the oldest.
    """
    place = sa.tuple_(usage.c.at_us, usage.c.entry)
    statement = sa.select(usage).where(*_where(usage, usage.c.at_us, asked)).limit(limit)
    if asked.request_id is not None:
        statement = statement.where(usage.c.request_id == asked.request_id)
    if newest_first:
        statement = statement.order_by(usage.c.at_us.desc(), usage.c.entry.desc())
    else:
        statement = statement.order_by(usage.c.at_us, usage.c.entry)
    if after is not None:
        at = sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        statement = statement.where(place < at if newest_first else place > at)
    found = connection.execute(statement).mappings()
    return [{name: row[name] for name in ("entry", *COLUMNS)} for row in found]


def attempts_of(connection: sa.Connection, entry: str) -> list[dict[str, Any]]:
    """The targets that were asked for a row, in order."""
    asked = sa.select(attempt).where(attempt.c.entry == entry).order_by(attempt.c.n)
    return [dict(each) for each in connection.execute(asked).mappings()]


def all_rows(database: Database, asked: UsageQuery) -> Generator[dict[str, Any]]:
    """Every row by its time, the oldest first, in constant memory. Raises StoreAway."""
    after = None
    while True:
        with database.read() as connection:
            page = rows(connection, asked, limit=_PAGE, after=after, newest_first=False)
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1]["at_us"], page[-1]["entry"])


def sums(
    connection: sa.Connection, asked: UsageQuery, by: Sequence[By], *, width_us: int | None = None
) -> list[dict[str, Any]]:
    """What rows add up to, by whatever is named; of whole hours from the hourly sums.

    Args:
        connection: that reads.
        asked: of which rows.
        by: the columns of the answer before its sums.
        width_us: of buckets of time; then `bucket_us` is the first column.

    Raises:
        TooManySums: see there; of buckets only.
    """
    ends = (asked.since_us, asked.until_us or 0, width_us or 0)
    hourly = all(end % HOUR_US == 0 for end in ends)
    table = usage_hour if hourly else usage
    at = usage_hour.c.hour_us if hourly else usage.c.at_us
    names = _names(table, at)
    columns = [column for each in by for column in names[each]]
    if width_us is not None:
        columns.insert(0, (at - at % _number(width_us)).label("bucket_us"))
    added = [sa.cast(sa.func.sum(_term(table, name)), sa.BigInteger).label(name) for name in SUMS]
    statement = sa.select(*columns, *added).where(*_where(table, at, asked))
    if "team" in by:
        statement = statement.select_from(
            table.outerjoin(team, team.c.id == sa.func.nullif(table.c.team_id, 0))
        )
    if columns:
        statement = statement.group_by(*columns).order_by(*columns)
    if width_us is not None:
        statement = statement.limit(MOST_SUMS + 1)
    found = connection.execute(statement).mappings().all()
    if width_us is not None and len(found) > MOST_SUMS:
        raise TooManySums
    return [{str(k): v for k, v in row.items()} for row in found if row["requests"]]


class Page(msgspec.Struct, frozen=True):
    """Sums in buckets of time, the form of OpenAI's usage API; times are seconds since 1970."""

    data: list[dict[str, Any]]
    has_more: bool
    next_page: str | None
    object: Literal["page"] = "page"


def summary(  # noqa: PLR0913 - one for each parameter of the API
    connection: sa.Connection,
    asked: UsageQuery,
    *,
    now_us: int,
    width: Width = "1d",
    by: Sequence[By] = (),
    limit: int | None = None,
    page: str | None = None,
) -> Page:
    """Sums in buckets of time; a bucket without requests has no results.

    Args:
        connection: that reads.
        asked: of which rows; `since_us` and `until_us` are widened to whole buckets.
        now_us: where it ends when nobody says.
        width: of a bucket.
        by: what results are told apart by.
        limit: buckets of a page.
        page: `next_page` of the page before.

    Raises:
        InvalidRequest: `page` is none, or `limit` is out of range.
        TooManySums: see there.
    """
    width_us, (usual, most) = WIDTHS_US[width], _BUCKETS[width]
    count = usual if limit is None else limit
    if not 1 <= count <= most:
        raise InvalidRequest(f"limit: 1 to {most} for bucket_width {width}.", param="limit")
    begin = asked.since_us if page is None else _page_us(page, width_us)
    begin -= begin % width_us
    end = now_us if asked.until_us is None else asked.until_us
    buckets = min(max(-(-(end - begin) // width_us), 0), count)
    until = begin + buckets * width_us
    wanted = msgspec.structs.replace(asked, since_us=begin, until_us=until)
    found = sums(connection, wanted, by, width_us=width_us) if buckets else []
    results: dict[int, list[dict[str, Any]]] = {}
    for row in found:
        results.setdefault(row.pop("bucket_us"), []).append(row)
    data = [
        {
            "object": "bucket",
            "start_time": at // 1_000_000,
            "end_time": (at + width_us) // 1_000_000,
            "results": results.get(at, []),
        }
        for at in range(begin, until, width_us)
    ]
    has_more = until < end
    return Page(data, has_more, str(until // 1_000_000) if has_more else None)


def _page_us(page: str, width_us: int) -> int:
    if not (page.isascii() and page.isdigit() and len(page) <= 12) or (
        int(page) * 1_000_000 % width_us
    ):
        raise InvalidRequest("page: is the next_page of an answer before.", param="page")
    return int(page) * 1_000_000


def _number(value: int) -> Any:
    """A number in the statement itself: as parameters, two equal ones need not be the same."""
    return sa.literal_column(str(value), sa.BigInteger)


def _names(table: sa.Table, at: Any) -> dict[By, list[Any]]:
    """What an answer is told apart by, as columns."""
    is_hourly = table is usage_hour
    model = table.c.model if is_hourly else table.c.model_answered
    status = table.c.status_class if is_hourly else table.c.status // _number(100)
    key_id = sa.func.coalesce(table.c.key_id, _number(0))
    return {
        "key": [key_id.label("key_id"), table.c.key_name.label("key_name")],
        "team": [
            sa.func.coalesce(table.c.team_id, _number(0)).label("team_id"),
            sa.func.coalesce(team.c.name, sa.literal_column("''")).label("team"),
        ],
        "model": [model.label("model")],
        "route": [table.c.route.label("route")],
        "upstream": [table.c.upstream.label("upstream")],
        "dialect": [table.c.dialect.label("dialect")],
        "status": [sa.cast(status, sa.BigInteger).label("status_class")],
        "hour": [(at - at % _number(HOUR_US)).label("hour_us")],
        "day": [(at - at % _number(24 * HOUR_US)).label("day_us")],
    }


def _term(table: sa.Table, name: str) -> Any:
    """What one line of a table adds to a sum."""
    if table is usage_hour:
        return table.c[name]
    if name == "requests":
        return sa.literal(1)
    if name == "unknown_tokens":
        return sa.case((table.c.input_tokens.is_(None), 1), else_=0)
    return sa.func.coalesce(table.c[name], 0)


def _where(table: sa.Table, at: Any, asked: UsageQuery) -> list[Any]:
    model = table.c.model if table is usage_hour else table.c.model_answered
    wanted = [at >= asked.since_us]
    if asked.until_us is not None:
        wanted.append(at < asked.until_us)
    if asked.key_id == 0:
        wanted.append(table.c.key_id == 0 if table is usage_hour else table.c.key_id.is_(None))
    equal = (
        (table.c.key_id, asked.key_id or None),
        (table.c.key_name, asked.key_name),
        (table.c.team_id, asked.team_id),
        (model, asked.model),
        (table.c.route, asked.route),
        (table.c.upstream, asked.upstream),
        (table.c.dialect, asked.dialect),
    )
    return wanted + [column == value for column, value in equal if value is not None]
