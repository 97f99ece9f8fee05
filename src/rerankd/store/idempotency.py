"""Answers to calls that came with an idempotency key, kept for a day: a call sent twice acts once.

All of it within the transaction of the change itself (`Database.together`): a crash leaves both the
change and its answer, or neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from rerankd.store.tables import idempotency as table
from rerankd.store.times import now_us

KEPT_S: Final = 86_400


class NamedCall(NamedTuple):
    """One call, as far as it must be the same when it comes again."""

    admin_key_id: int
    idem: str  # what the caller named it
    method_path: str
    body_sha256: bytes


class KeptAnswer(NamedTuple):
    """An answer that was given."""

    status: int
    response: Any  # JSON, without a secret


class OtherCall(Exception):
    """The name of the call was used within a day for a call that is not the same."""


def begin(
    connection: sa.Connection, asked: NamedCall, *, clock: Callable[[], float] = time.time
) -> KeptAnswer | None:
    """The answer that the same call got before; None = it is new, to be followed by `end`.

    Who sends the same at the same time waits here until the other's transaction is over.

    Raises:
        OtherCall: see there.
    """
    now = now_us(clock)
    connection.execute(sa.delete(table).where(table.c.at_us < now - KEPT_S * 1_000_000))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    new = {**asked._asdict(), "status": 0, "at_us": now}
    made = insert(table).values(**new).on_conflict_do_nothing().returning(table.c.idem)
    if connection.execute(made).first() is not None:
        return None
    found = connection.execute(sa.select(table).where(*_is(asked))).one()
    if (found.method_path, found.body_sha256) != (asked.method_path, asked.body_sha256):
        raise OtherCall(asked.idem)
    return KeptAnswer(found.status, found.response)


def end(connection: sa.Connection, asked: NamedCall, kept: KeptAnswer) -> None:
    """Keep an answer; it must hold no secret."""
    values = {"status": kept.status, "response": kept.response}
    connection.execute(sa.update(table).where(*_is(asked)).values(**values))


def _is(asked: NamedCall) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.admin_key_id == asked.admin_key_id, table.c.idem == asked.idem
