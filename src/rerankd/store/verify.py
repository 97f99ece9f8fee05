"""Whether the ledger adds up: every charge by its price, journal = rows = hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from rerankd.accounts.charge import PricedUsage, charge
from rerankd.accounts.price import Terms
from rerankd.store.database import Database
from rerankd.store.journal import SUFFIX
from rerankd.store.rows import COLUMNS, UsageRow
from rerankd.store.tables import attempt, journal_offset, meta, price, usage, usage_hour
from rerankd.store.transfer import HOUR_US, UNREAD, hour_sums

RETAINED_FROM: Final = "retained_from_us"  # rows of hours before are removed
_PLACE: Final = 10  # characters of an entry behind the name of its journal
_TOLD: Final = 50  # problems that are named, the others are counted
_CHUNK: Final = 2000


class LedgerVerdict(msgspec.Struct, kw_only=True):
    """What was looked at, and what does not add up."""

    rows: int = 0
    charge_nano: int = 0
    cost_nano: int = 0
    hours: int = 0
    journals: int = 0
    problems: list[str] = []
    more_problems: int = 0  # that are not named

    @property
    def ok(self) -> bool:
        """Whether all adds up."""
        return not self.problems

    def say(self, problem: str) -> None:
        """Note what does not."""
        if len(self.problems) < _TOLD:
            self.problems.append(problem)
        else:
            self.more_problems += 1


def verify(database: Database, folder: Path | None) -> LedgerVerdict:
    """Look at everything, in one state of the store; a server may go on meanwhile.

    Args:
        database: with all tables.
        folder: of journals on this machine; None = they are not looked at.

    Raises:
        StoreAway: see there.
    """
    verdict = LedgerVerdict()
    with database.read() as connection:
        terms = terms_of(connection)
        begin = retained_from(connection)
        for hour in _hours(connection, begin):
            verdict.hours += 1
            verify_hour(connection, hour, terms, verdict)
        counted = sa.select(sa.func.count()).select_from(usage).where(usage.c.at_us >= begin)
        if (found := connection.execute(counted).scalar_one()) != verdict.rows:
            verdict.say(f"{found - verdict.rows} rows are of hours that have no sums.")
        offsets = _journals(connection, verdict)
    if folder is not None:
        _files(folder, offsets, verdict)
    return verdict


def verify_hour(
    connection: sa.Connection, hour: int, terms: Mapping[int, Terms], verdict: LedgerVerdict
) -> None:
    """Look at the rows of an hour, and at its sums."""

    def seen() -> Iterator[UsageRow]:
        for entry, row, tries in _rows_of(connection, hour):
            verdict.rows += 1
            verdict.charge_nano += row.charge_nano
            verdict.cost_nano += row.cost_nano
            for problem in problems_of(row, tries, terms):
                verdict.say(f"{entry} (request {row.request_id}): {problem}")
            yield row

    wanted = {_key(each): each for each in hour_sums(seen())}
    asked = sa.select(usage_hour).where(usage_hour.c.hour_us == hour)
    found = {_key(each): dict(each) for each in connection.execute(asked).mappings()}
    for key in wanted.keys() | found.keys():
        of_rows, of_hour = wanted.get(key, {}), found.get(key, {})
        names = [n for n in {**of_rows, **of_hour} if of_rows.get(n, 0) != of_hour.get(n, 0)]
        if names:
            said = ", ".join(f"{n}: {of_hour.get(n)} and {of_rows.get(n)}" for n in names[:3])
            verdict.say(f"hour {hour // HOUR_US}, {key}: its sum and its rows differ in {said}")


def problems_of(
    row: UsageRow, tries: Iterable[Mapping[Any, Any]], terms: Mapping[int, Terms]
) -> Iterator[str]:
    """What does not follow from a row's own numbers and prices."""
    wanted = 0
    if row.price_id is not None and row.status // 100 == 2:
        if row.price_id not in terms:
            yield f"its price {row.price_id} is not there."
            return
        used = PricedUsage(row.input_tokens or 0, row.searches, row.image_tokens)
        wanted = charge(terms[row.price_id], used)
    if row.charge_nano != wanted:
        yield f"it was charged {row.charge_nano}, by its price it is {wanted}."
    cost = billed = 0
    for each in tries:
        found = terms.get(each["cost_id"] or 0)
        if each["cost_id"] is not None and found is None:
            yield f"the cost {each['cost_id']} of attempt {each['n']} is not there."
            continue
        used = PricedUsage(each["input_tokens"], each["searches"])
        by_price = charge(found, used) if found is not None else 0
        answered = not each["error"]
        if each["cost_nano"] != (by_price if answered else 0):
            yield f"attempt {each['n']} costs {each['cost_nano']}, by its price {by_price}."
        if each["maybe_billed_nano"] not in ((0,) if answered else (0, by_price)):
            yield f"attempt {each['n']} may be billed, but not {each['maybe_billed_nano']}."
        cost += each["cost_nano"]
        billed += each["maybe_billed_nano"]
    if (row.cost_nano, row.maybe_billed_nano) != (cost, billed):
        said = f"{row.cost_nano} + {row.maybe_billed_nano}"
        yield f"its costs are {said}, those of its attempts {cost} + {billed}."


def retained_from(connection: sa.Connection) -> int:
    """The first hour whose rows are all there, microseconds."""
    asked = sa.select(meta.c.value).where(meta.c.name == RETAINED_FROM)
    return int(connection.execute(asked).scalar() or 0)


def terms_of(connection: sa.Connection) -> dict[int, Terms]:
    """The terms of every price and cost, by id."""
    return {
        row["id"]: Terms(
            per_1m_input=row["per_1m_input_nano"],
            per_1k_search=row["per_1k_search_nano"],
            search_documents=row["search_documents"],
            per_1m_image=row["per_1m_image_nano"],
            per_request=row["per_request_nano"],
            minimum=row["minimum_nano"],
        )
        for row in connection.execute(sa.select(price)).mappings()
    }


def _hours(connection: sa.Connection, begin: int) -> list[int]:
    hour = usage_hour.c.hour_us
    asked = sa.select(hour).where(hour >= begin).distinct().order_by(hour)
    return list(connection.execute(asked).scalars())


def _rows_of(
    connection: sa.Connection, hour: int
) -> Iterator[tuple[str, UsageRow, list[Mapping[Any, Any]]]]:
    """The rows of an hour with their attempts, some at a time."""
    place = sa.tuple_(usage.c.at_us, usage.c.entry)
    after = (hour - 1, "")
    while True:
        page = (
            connection.execute(
                sa.select(usage)
                .where(usage.c.at_us < hour + HOUR_US)
                .where(place > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
                .order_by(usage.c.at_us, usage.c.entry)
                .limit(_CHUNK)
            )
            .mappings()
            .all()
        )
        tries: dict[str, list[Mapping[Any, Any]]] = {}
        entries = [row["entry"] for row in page if row["attempts"]]
        if entries:
            asked = sa.select(attempt).where(attempt.c.entry.in_(entries))
            for each in connection.execute(asked).mappings():
                tries.setdefault(each["entry"], []).append(each)
        for row in page:
            told = msgspec.convert({name: row[name] for name in COLUMNS}, UsageRow)
            yield row["entry"], told, tries.get(row["entry"], [])
        if len(page) < _CHUNK:
            return
        after = (page[-1]["at_us"], page[-1]["entry"])


def journal_of_row() -> sa.ColumnElement[str]:
    """The name of a row's journal; a column, so it must not have parameters."""
    entry, place = usage.c.entry, sa.literal_column(str(_PLACE), sa.Integer)
    return sa.func.substr(entry, sa.literal_column("1"), sa.func.length(entry) - place)


def _journals(connection: sa.Connection, verdict: LedgerVerdict) -> dict[str, tuple[int, int]]:
    """Compare what was drained with the rows; offset and lines by journal."""
    name = journal_of_row()
    total = sa.cast(sa.func.sum(usage.c.charge_nano), sa.BigInteger)
    grouped = sa.select(name, sa.func.count(), total).group_by(name)
    rows = {row[0]: (row[1], row[2]) for row in connection.execute(grouped)}
    offsets: dict[str, tuple[int, int]] = {}
    for each in connection.execute(sa.select(journal_offset)).mappings():
        verdict.journals += 1
        offsets[each["journal"]] = (each["offset"], each["lines"])
        kept = each["lines"] - each["removed_lines"]
        money = each["charge_nano"] - each["removed_charge_nano"]
        found = rows.pop(each["journal"], (0, 0))
        if found != (kept, money):
            verdict.say(
                f"journal {each['journal']}: {kept} lines over {money} were read, and there are "
                f"{found[0]} rows over {found[1]}."
            )
    for journal, (count, _) in rows.items():
        verdict.say(f"{count} rows are of a journal {journal} that nobody read.")
    return offsets


def _files(folder: Path, offsets: Mapping[str, tuple[int, int]], verdict: LedgerVerdict) -> None:
    """Compare journals that are still there with what was read of them."""
    for file in sorted(folder.glob(f"*{UNREAD}")):
        verdict.say(f"{file} holds lines that became no rows.")
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        offset, lines = offsets.get(file.name.removesuffix(SUFFIX), (0, 0))
        try:
            found = _lines(file, offset)
        except FileNotFoundError:  # drained meanwhile
            continue
        aside = file.with_suffix(UNREAD)
        if found != lines and not aside.exists():
            verdict.say(f"{file}: {lines} lines were read of the {found} up to byte {offset}.")


def _lines(file: Path, size: int) -> int:
    """How many lines begin in the first bytes of a file."""
    count = 0
    with file.open("rb") as read:
        while size > 0 and (found := read.read(min(size, 1 << 20))):
            count += found.count(b"\n")
            size -= len(found)
    return count


def _key(sums: Mapping[Any, Any]) -> tuple[Any, ...]:
    names = ("key_id", "key_name", "team_id", "model", "route", "upstream", "dialect")
    return tuple(sums[name] for name in (*names, "status_class"))
