"""Lines of a journal to rows, attempts and hourly sums: one transaction, with how far it came.

Exactly once: where to go on is read in the transaction that writes the rows, never remembered.
"""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from rerankd.store.budget_moves import locked_for_rows, move_held
from rerankd.store.database import Database
from rerankd.store.journal import Journal, JournalFile
from rerankd.store.rows import COLUMNS, UsageRow
from rerankd.store.tables import (
    HOUR_KEY,
    HOUR_SUMS,
    TOOK,
    TOOK_MS,
    attempt,
    journal_offset,
    usage,
    usage_hour,
)
from rerankd.telemetry.logs import log_refusal

HOUR_US: Final = 3_600_000_000
LINES: Final = 500  # of one transaction
_BYTES: Final = 1_048_576
UNREAD: Final = ".unread"  # instead of .jsonl: lines that became no rows
_TOOK_US: Final = tuple(1000 * ms for ms in TOOK_MS)
_COUNTED: Final = {"requests", "unknown_tokens", *TOOK}
_ADDED: Final = tuple(name for name in HOUR_SUMS if name not in _COUNTED)
_decode: Final = msgspec.json.Decoder(UsageRow).decode


def drain(database: Database, file: JournalFile) -> int:
    """The next lines of a journal, at most LINES, into the database.

    A line that cannot become a row is put aside in a file beside the journal, and passed over.

    Returns:
        How many bytes of lines that took; 0 = there is nothing more.

    Raises:
        StoreAway: nothing was written; or all was, and the next call finds that.
        OSError: the journal cannot be read, or a line cannot be put aside.
    """
    for most in (LINES, 1):  # what the database does not take may be one line of them
        try:
            return _drain(database, file, most)
        except (exc.DBAPIError, OverflowError, ValueError) as error:  # ValueError: a driver's
            refused = str(getattr(error, "orig", error))
    return _pass_over(database, file, refused)


def drained_position(connection: sa.Connection, journal: Journal) -> int:
    """How many bytes of all lines that this process wrote are rows, in a transaction's view."""
    names = journal_offset.c.journal
    found = connection.execute(
        sa.select(names, journal_offset.c.offset)
        .where(names.between(journal.run, journal.run + "~"))
        .order_by(names.desc())
        .limit(1)
    ).first()
    return journal.position_of(found[0], found[1]) if found is not None else 0


def insert_of(database: Database, table: sa.Table) -> Any:
    """An insert that knows `on conflict`."""
    return (postgresql if database.dialect == "postgresql" else sqlite).insert(table)


def hour_sums(rows: Iterable[UsageRow]) -> list[dict[str, Any]]:
    """What rows add to usage_hour, in the order of its key: so writers never wait in a circle."""
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in rows:
        sums = found.setdefault(_hour_key(row), dict.fromkeys(HOUR_SUMS, 0))
        sums["requests"] += 1
        sums["unknown_tokens"] += row.input_tokens is None
        sums[TOOK[bisect.bisect_left(_TOOK_US, row.total_us)]] += 1
        for name in _ADDED:
            sums[name] += getattr(row, name) or 0
    return [dict(zip(HOUR_KEY, key, strict=True)) | found[key] for key in sorted(found)]


def _drain(database: Database, file: JournalFile, most: int) -> int:
    with database.write() as connection:
        begin = _offset(connection, file.name)
        *lines, _ = file.read(begin, _BYTES).split(b"\n", most)
        at, rows = begin, list[tuple[str, UsageRow]]()
        for line in lines:
            try:
                rows.append((entry_of(file.name, at), _decode(line)))
            except (msgspec.MsgspecError, UnicodeError) as error:
                _put_aside(file, at, line, str(error))
            at += len(line) + 1
        if lines:
            locked_for_rows(connection)
            _write(database, connection, rows)
            move_held(connection, file.run, [row for _, row in rows])
            _advance(database, connection, (file.name, at), [row for _, row in rows])
    file.drained = at
    return at - begin


def _pass_over(database: Database, file: JournalFile, why: str) -> int:
    """Put aside the next line."""
    with database.write() as connection:
        begin = _offset(connection, file.name)
        line = file.read(begin, _BYTES).partition(b"\n")[0]
        _put_aside(file, begin, line, why)
        _advance(database, connection, (file.name, begin + len(line) + 1), [])
    file.drained = begin + len(line) + 1
    return len(line) + 1


def entry_of(journal: str, offset: int) -> str:
    """The key of the row that a line becomes; sorted as the lines are."""
    return f"{journal}:{offset:09}"


def _offset(connection: sa.Connection, journal: str) -> int:
    """Where to go on in a journal."""
    asked = sa.select(journal_offset.c.offset).where(journal_offset.c.journal == journal)
    return connection.execute(asked.with_for_update()).scalar() or 0


def _write(
    database: Database, connection: sa.Connection, rows: Sequence[tuple[str, UsageRow]]
) -> None:
    if not rows:
        return
    connection.execute(
        sa.insert(usage),
        [{"entry": e, **{name: getattr(row, name) for name in COLUMNS}} for e, row in rows],
    )
    tries = [
        {"entry": entry, "n": n, **msgspec.structs.asdict(each)}
        for entry, row in rows
        for n, each in enumerate(row.tries, 1)
    ]
    if tries:
        connection.execute(sa.insert(attempt), tries)
    add_hours(database, connection, hour_sums(row for _, row in rows))


def add_hours(
    database: Database, connection: sa.Connection, sums: Sequence[dict[str, Any]]
) -> None:
    """Add to usage_hour."""
    insert = insert_of(database, usage_hour)
    added = {name: usage_hour.c[name] + insert.excluded[name] for name in HOUR_SUMS}
    connection.execute(insert.on_conflict_do_update(index_elements=HOUR_KEY, set_=added), sums)


def _advance(
    database: Database, connection: sa.Connection, to: tuple[str, int], rows: Sequence[UsageRow]
) -> None:
    """Say how far a journal is in the database, and with how much."""
    insert = insert_of(database, journal_offset)
    sums = ("lines", "charge_nano")
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["journal"],
            set_={name: insert.excluded[name] for name in ("offset", "at_us")}
            | {name: journal_offset.c[name] + insert.excluded[name] for name in sums},
        ),
        {
            "journal": to[0],
            "offset": to[1],
            "lines": len(rows),
            "charge_nano": sum(row.charge_nano for row in rows),
            "at_us": time.time_ns() // 1000,
            "removed_lines": 0,
            "removed_charge_nano": 0,
        },
    )


def _put_aside(file: JournalFile, at: int, line: bytes, why: str) -> None:
    """Keep a line that cannot become a row, on disk before it is passed over."""
    kept = file.path.with_suffix(UNREAD)
    said = msgspec.json.encode({"at": at, "why": why, "line": line.decode("latin-1")})
    fd = os.open(kept, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    with open(fd, "wb", buffering=0) as out:  # noqa: PTH123 - a descriptor
        out.write(said + b"\n")
        os.fsync(fd)
    log_refusal("a line of the journal became no row", why, file=str(kept), at=at)


def _hour_key(row: UsageRow) -> tuple[Any, ...]:
    """As HOUR_KEY."""
    return (
        *(row.at_us // HOUR_US * HOUR_US, row.key_id or 0, row.key_name, row.team_id or 0),
        *(row.model_answered, row.route, row.upstream, row.dialect, row.status // 100),
    )
