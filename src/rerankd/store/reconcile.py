"""An upstream's invoice beside what the ledger says of it, by day."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from rerankd.core.errors import StartError
from rerankd.core.money import nano
from rerankd.store.tables import attempt, usage

_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: Final = ("date", "upstream", "amount")
_LINES: Final = 1_000_000


class InvoiceDay(msgspec.Struct, frozen=True):
    """One upstream on one day of UTC; amounts in 10^-9 of the currency."""

    day: str
    upstream: str
    ours_nano: int  # of what it answered
    theirs_nano: int
    maybe_billed_nano: int  # of what it did not answer, and may bill

    @property
    def is_explained(self) -> bool:
        """Whether the invoice is what was answered, or that and some of what failed."""
        return self.ours_nano <= self.theirs_nano <= self.ours_nano + self.maybe_billed_nano


def reconcile(connection: sa.Connection, invoice: Path) -> list[InvoiceDay]:
    """Compare an invoice with the ledger: every day and upstream that is in it.

    Raises:
        StartError: the invoice cannot be read; says what it must look like.
    """
    theirs: dict[tuple[str, str], int] = {}
    for day, upstream, amount in _read(invoice):
        at = (day, upstream)
        theirs[at] = theirs.get(at, 0) + amount
    if not theirs:
        raise StartError(f"{invoice} has no lines.")
    days = sorted({day for day, _ in theirs})
    upstreams = {upstream for _, upstream in theirs}
    ours = _ours(connection, _us(days[0]), _us(days[-1]) + _DAY_US)
    wanted = theirs.keys() | {at for at in ours if at[1] in upstreams}
    return [
        InvoiceDay(*at, ours.get(at, (0, 0))[0], theirs.get(at, 0), ours.get(at, (0, 0))[1])
        for at in sorted(wanted)
    ]


def _ours(
    connection: sa.Connection, since_us: int, until_us: int
) -> dict[tuple[str, str], tuple[int, int]]:
    """Costs and what may be billed, by day and upstream."""
    day = usage.c.at_us // sa.literal_column(str(_DAY_US), sa.BigInteger)
    number = sa.cast(day, sa.BigInteger).label("day")
    statement = (
        sa.select(
            number,
            attempt.c.upstream,
            sa.cast(sa.func.sum(attempt.c.cost_nano), sa.BigInteger),
            sa.cast(sa.func.sum(attempt.c.maybe_billed_nano), sa.BigInteger),
        )
        .join(usage, usage.c.entry == attempt.c.entry)
        .where(usage.c.at_us >= since_us, usage.c.at_us < until_us, attempt.c.upstream != "")
        .group_by(number, attempt.c.upstream)
    )
    return {
        ((_EPOCH + timedelta(days=found)).date().isoformat(), upstream): (cost, billed)
        for found, upstream, cost, billed in connection.execute(statement)
    }


def _read(invoice: Path) -> Iterator[tuple[str, str, int]]:
    """Day, upstream and amount of every line. Raises StartError."""
    form = f"{invoice}: an invoice is a CSV file with the columns {', '.join(_COLUMNS)}"
    try:
        with invoice.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise StartError(f"{form}.")
            for number, line in enumerate(reader, 2):
                if number > _LINES:
                    raise StartError(f"{invoice} has more than {_LINES:,} lines.")
                try:
                    day = date.fromisoformat((line["date"] or "").strip()).isoformat()
                    yield (
                        day,
                        (line["upstream"] or "").strip(),
                        nano((line["amount"] or "").strip()),
                    )
                except ValueError as error:
                    raise StartError(f"{form}; line {number}: {error}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StartError(f"Cannot read {invoice}: {error}.") from None


def _us(day: str) -> int:
    found = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return (found - _EPOCH) // timedelta(microseconds=1)
