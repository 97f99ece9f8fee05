"""Old rows go, hour by hour, once they are found right; hourly sums stay."""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa

from rerankd.store.database import Database
from rerankd.store.tables import attempt, journal_offset, meta, usage, usage_hour
from rerankd.store.transfer import HOUR_US, insert_of
from rerankd.store.verify import (
    RETAINED_FROM,
    LedgerVerdict,
    journal_of_row,
    retained_from,
    terms_of,
    verify_hour,
)

_BUSY_S: Final = 1.0  # of one call: lines of the journal wait meanwhile


def remove_before(database: Database, cutoff_us: int) -> LedgerVerdict:
    """Remove the rows of whole hours before a time, for about a second.

    An hour that does not add up stays, and all after it.

    Returns:
        What was removed; `problems` say why it stopped.

    Raises:
        StoreAway: see there.
    """
    verdict = LedgerVerdict()
    until = time.monotonic() + _BUSY_S
    while verdict.ok and time.monotonic() < until:
        if not _remove_hour(database, cutoff_us, verdict):
            break
    return verdict


def _remove_hour(database: Database, cutoff_us: int, verdict: LedgerVerdict) -> bool:
    """Verify and remove the oldest hour; False = there is none before the cutoff."""
    with database.write() as connection:
        begin = retained_from(connection)
        hour_us = usage_hour.c.hour_us
        oldest = sa.select(sa.func.min(hour_us)).where(hour_us >= begin)
        hour = connection.execute(oldest).scalar()
        if hour is None or hour + HOUR_US > cutoff_us:
            return False
        verify_hour(connection, hour, terms_of(connection), verdict)
        if not verdict.ok:
            return False
        verdict.hours += 1
        in_hour = sa.and_(usage.c.at_us >= hour, usage.c.at_us < hour + HOUR_US)
        name = journal_of_row()
        total = sa.cast(sa.func.sum(usage.c.charge_nano), sa.BigInteger)
        counted = sa.select(name, sa.func.count(), total).where(in_hour).group_by(name)
        for journal, count, charge in connection.execute(counted).all():
            connection.execute(
                sa.update(journal_offset)
                .where(journal_offset.c.journal == journal)
                .values(
                    removed_lines=journal_offset.c.removed_lines + count,
                    removed_charge_nano=journal_offset.c.removed_charge_nano + charge,
                )
            )
        entries = sa.select(usage.c.entry).where(in_hour)
        connection.execute(sa.delete(attempt).where(attempt.c.entry.in_(entries)))
        connection.execute(sa.delete(usage).where(in_hour))
        insert = insert_of(database, meta).values(name=RETAINED_FROM, value=str(hour + HOUR_US))
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["name"], set_={"value": insert.excluded.value}
            )
        )
    return True
