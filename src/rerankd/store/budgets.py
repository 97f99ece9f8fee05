"""Budgets and prepaid balances in the store, and what is spent of them by the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from rerankd.accounts.budget import EVERYBODY, Budget, Owner, Ref
from rerankd.accounts.window import Span, span
from rerankd.accounts.written import WrittenBudget, time_of
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import shown
from rerankd.store.bumped import bumped
from rerankd.store.database import Database
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.prices import now_us
from rerankd.store.tables import api_key, budget, team, topup, usage, usage_hour

_HOUR_US: Final = 3_600_000_000
_AT_ONCE: Final = 500  # owners of one statement
_MOST_NANO: Final = 10**18  # of all top-ups of one owner
# Unit -> what a row and an hour add to it.
_ROW: Final[dict[str, Any]] = {
    "requests": sa.func.count(),
    "tokens": sa.func.sum(usage.c.input_tokens),
    "searches": sa.func.sum(usage.c.searches),
    "money": sa.func.sum(usage.c.charge_nano),
}
_HOUR: Final[dict[str, Any]] = {
    "requests": sa.func.sum(usage_hour.c.requests),
    "tokens": sa.func.sum(usage_hour.c.input_tokens),
    "searches": sa.func.sum(usage_hour.c.searches),
    "money": sa.func.sum(usage_hour.c.charge_nano),
}


class BudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as it is in the store; an amount of money is a decimal text."""

    id: int
    key_id: int | None
    team_id: int | None
    unit: str
    amount: str
    window: str
    tz: str
    created: str
    ended: str | None
    version: int


class TopUpRow(msgspec.Struct, frozen=True, kw_only=True):
    """Money that was paid in."""

    id: int
    key_id: int | None
    team_id: int | None
    amount: str
    at: str
    by: str
    note: str


class BudgetRepo:
    """Budgets and top-ups."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock

    def set(self, owner: Owner, wanted: WrittenBudget) -> BudgetRow:
        """Give an owner a budget, or the one that he has in that unit and window another amount.

        Raises:
            NotFound: there is no such key or team.
            StoreAway: see there.
        """
        with self._database.write() as connection:
            _check(connection, owner)
            values = {"amount": wanted.amount, "tz": wanted.tz}
            changed = (
                sa.update(budget)
                .where(
                    *_is(budget, owner),
                    budget.c.unit == wanted.unit,
                    budget.c.window == wanted.window,
                    budget.c.ended_us.is_(None),
                )
                .values(values | {"version": budget.c.version + 1})
            )
            row = connection.execute(changed.returning(budget)).first()
            if row is None:
                values |= {"unit": wanted.unit, "window": wanted.window}
                values |= _columns(owner) | {"created_us": self._clock(), "version": 1}
                row = connection.execute(sa.insert(budget).values(values).returning(budget)).one()
            bumped(connection)
            return _row(row)

    def edit(self, budget_id: int, version: int, amount: int) -> BudgetRow:
        """Change an amount, which nobody else changed meanwhile.

        Raises:
            NotFound, Conflict, StoreAway: see there.
        """
        return self._change(budget_id, version, {"amount": amount})

    def end(self, budget_id: int, version: int | None = None) -> BudgetRow:
        """End a budget: nobody is refused by it any more. Raises as `edit`."""
        return self._change(budget_id, version, {"ended_us": self._clock()})

    def get(self, budget_id: int) -> BudgetRow:
        """One budget, ended or not. Raises NotFound, StoreAway."""
        with self._database.read() as connection:
            return _row(_found(connection, budget_id))

    def list(
        self,
        *,
        owner: Owner | None = None,
        ended: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> list[BudgetRow]:
        """A page of budgets by id; with `ended` also those. Raises StoreAway."""
        asked = sa.select(budget).where(budget.c.id > after).order_by(budget.c.id).limit(limit)
        if owner is not None:
            asked = asked.where(*_is(budget, owner))
        if not ended:
            asked = asked.where(budget.c.ended_us.is_(None))
        with self._database.read() as connection:
            return [_row(found) for found in connection.execute(asked)]

    def top_up(
        self, owner: Owner, amount: int, *, by: str = "", note: str = "", idem: str | None = None
    ) -> TopUpRow:
        """Pay money in for a key or a team; with the same `idem` again, nothing is paid in twice.

        Raises:
            NotFound: there is no such key or team.
            Conflict: `idem` was another payment.
            InvalidRequest: the amount.
            StoreAway: see there.
        """
        if owner.kind == "all":
            raise InvalidRequest("key: a balance is of a key or of a team.", param="key")
        if amount <= 0:
            raise InvalidRequest("amount: must be above 0.", param="amount")
        with self._database.write() as connection:
            _check(connection, owner)
            if idem is not None and (known := _paid(connection, idem)) is not None:
                if (known.key_id, known.team_id, known.amount_nano) != (*_ids(owner), amount):
                    raise Conflict(f"The id {idem!r} was another payment, number {known.id}.")
                return _topup_row(known)
            if self.paid_in(connection, owner) + amount > _MOST_NANO:
                raise InvalidRequest("amount: the balance would be too large.", param="amount")
            values = {"amount_nano": amount, "at_us": self._clock(), "by": by, "note": note}
            values |= {"idem": idem} | _columns(owner)
            try:
                row = connection.execute(sa.insert(topup).values(values).returning(topup)).one()
            except exc.IntegrityError:  # the same request at the same time
                raise Conflict(f"The id {idem!r} is being paid in now.") from None
            bumped(connection)
            return _topup_row(row)

    def top_ups(self, owner: Owner, *, after: int = 0, limit: int = 100) -> list[TopUpRow]:
        """A page of what was paid in. Raises StoreAway."""
        asked = sa.select(topup).where(*_is(topup, owner), topup.c.id > after)
        with self._database.read() as connection:
            found = connection.execute(asked.order_by(topup.c.id).limit(limit))
            return [_topup_row(row) for row in found]

    def paid_in(self, connection: sa.Connection, owner: Owner) -> int:
        """The sum of an owner's top-ups, in nano."""
        asked = sa.select(sa.func.sum(topup.c.amount_nano)).where(*_is(topup, owner))
        return int(connection.execute(asked).scalar() or 0)

    def active(self, connection: sa.Connection) -> list[Budget]:
        """All budgets that are in force, prepaid balances among them."""
        asked = sa.select(budget).where(budget.c.ended_us.is_(None))
        found = [
            Budget(
                ref=Ref(row.id),
                owner=_owner(row),
                unit=row.unit,
                amount=row.amount,
                window=row.window,
                tz=row.tz,
            )
            for row in connection.execute(asked)
        ]
        sums = sa.select(topup.c.key_id, topup.c.team_id, sa.func.sum(topup.c.amount_nano))
        for key_id, team_id, amount in connection.execute(
            sums.group_by(topup.c.key_id, topup.c.team_id)
        ):
            owner = Owner("team", team_id) if key_id is None else Owner("key", key_id)
            found.append(
                Budget(
                    ref=Ref(prepaid=owner),
                    owner=owner,
                    unit="money",
                    amount=int(amount),
                    window="total",
                )
            )
        return found

    def _change(self, budget_id: int, version: int | None, values: dict[str, Any]) -> BudgetRow:
        with self._database.write() as connection:
            row = _found(connection, budget_id)
            if version is not None and row.version != version:
                raise Conflict(
                    f"Budget {budget_id} has version {row.version}, not {version}.",
                    version=row.version,
                )
            if row.ended_us is not None:
                raise Conflict(f"Budget {budget_id} has ended.")
            changed = sa.update(budget).where(budget.c.id == budget_id)
            changed = changed.values(values | {"version": row.version + 1}).returning(budget)
            row = connection.execute(changed).one()
            bumped(connection)
            return _row(row)


def spent(
    connection: sa.Connection, budgets: Sequence[Budget], at_us: int
) -> dict[Ref, tuple[int, int]]:
    """What the ledger's rows have of each budget in the window of a moment.

    Hours that are whole come from their sums, the rest from rows.

    Returns:
        start of the window and what is spent in it, by budget.
    """
    groups: dict[tuple[str, str, Span], dict[int, list[Ref]]] = {}
    found: dict[Ref, tuple[int, int]] = {}
    for each in budgets:
        window = span(each.window, at_us, each.tz)
        found[each.ref] = window.start_us, 0
        refs = groups.setdefault((each.owner.kind, each.unit, window), {})
        refs.setdefault(each.owner.id, []).append(each.ref)
    for (kind, unit, window), owners in groups.items():
        for ids in _parts(sorted(owners)):
            for asked in _sums(kind, unit, window, ids):
                for owner_id, amount in connection.execute(asked):
                    for ref in owners[owner_id]:
                        found[ref] = window.start_us, found[ref][1] + int(amount or 0)
    return found


def _sums(kind: str, unit: str, window: Span, ids: Sequence[int]) -> Iterator[sa.Select[Any, Any]]:
    """Statements whose results, added up by owner, are what is spent in a window."""
    start, end = window
    whole = -(-start // _HOUR_US) * _HOUR_US
    last = None if end is None else end // _HOUR_US * _HOUR_US
    if last is not None and last < whole:  # inside one hour
        yield _of(usage, _ROW[unit], usage.c.status.between(200, 299), kind, ids).where(
            usage.c.at_us >= start, usage.c.at_us < end
        )
        return
    hours = _of(usage_hour, _HOUR[unit], usage_hour.c.status_class == 2, kind, ids)
    hours = hours.where(usage_hour.c.hour_us >= whole)
    yield hours if last is None else hours.where(usage_hour.c.hour_us < last)
    for begin, until in ((start, whole), (last, end)):
        if begin is not None and begin != until:
            yield _of(usage, _ROW[unit], usage.c.status.between(200, 299), kind, ids).where(
                usage.c.at_us >= begin, usage.c.at_us < until
            )


def _of(
    table: sa.Table, amount: Any, is_answer: Any, kind: str, ids: Sequence[int]
) -> sa.Select[Any, Any]:
    if kind == "all":
        return sa.select(sa.literal(EVERYBODY.id), amount).select_from(table).where(is_answer)
    owner = table.c.key_id if kind == "key" else table.c.team_id
    return sa.select(owner, amount).where(is_answer, owner.in_(ids)).group_by(owner)


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[i : i + _AT_ONCE] for i in range(0, len(ids), _AT_ONCE))


def _ids(owner: Owner) -> tuple[int | None, int | None]:
    return (
        owner.id if owner.kind == "key" else None,
        owner.id if owner.kind == "team" else None,
    )


def _columns(owner: Owner) -> dict[str, int | None]:
    return dict(zip(("key_id", "team_id"), _ids(owner), strict=True))


def _is(table: sa.Table, owner: Owner) -> tuple[Any, Any]:
    """Conditions of an owner's rows."""
    key_id, team_id = _ids(owner)
    return table.c.key_id.is_not_distinct_from(key_id), table.c.team_id.is_not_distinct_from(
        team_id
    )


def _owner(row: Any) -> Owner:
    if row.key_id is not None:
        return Owner("key", row.key_id)
    return EVERYBODY if row.team_id is None else Owner("team", row.team_id)


def _check(connection: sa.Connection, owner: Owner) -> None:
    """Raises NotFound."""
    if owner.kind == "all":
        return
    table = api_key if owner.kind == "key" else team
    if connection.execute(sa.select(table.c.id).where(table.c.id == owner.id)).first() is None:
        raise NotFound(f"There is no {owner.kind} with the id {owner.id}.")


def _found(connection: sa.Connection, budget_id: int) -> Any:
    row = connection.execute(sa.select(budget).where(budget.c.id == budget_id)).first()
    if row is None:
        raise NotFound(f"There is no budget with the id {budget_id}.")
    return row


def _paid(connection: sa.Connection, idem: str) -> Any:
    return connection.execute(sa.select(topup).where(topup.c.idem == idem)).first()


def _row(row: Any) -> BudgetRow:
    return BudgetRow(
        id=row.id,
        key_id=row.key_id,
        team_id=row.team_id,
        unit=row.unit,
        amount=shown(row.amount) if row.unit == "money" else str(row.amount),
        window=row.window,
        tz=row.tz,
        created=time_of(row.created_us),
        ended=None if row.ended_us is None else time_of(row.ended_us),
        version=row.version,
    )


def _topup_row(row: Any) -> TopUpRow:
    return TopUpRow(
        id=row.id,
        key_id=row.key_id,
        team_id=row.team_id,
        amount=shown(row.amount_nano),
        at=time_of(row.at_us),
        by=row.by,
        note=row.note,
    )
