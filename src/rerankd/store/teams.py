"""The teams of the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from rerankd.access.fields import LIMITS, TeamFields
from rerankd.access.keys import Team
from rerankd.core.errors import InvalidRequest
from rerankd.store.bumped import bumped
from rerankd.store.database import Database
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.tables import api_key, team
from rerankd.store.times import now_us, shown_time


class TeamRow(msgspec.Struct, frozen=True, kw_only=True):
    """One team. Times are microseconds since 1970."""

    id: int
    name: str
    models: list[str] | None = None
    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    in_flight: int | None = None
    note: str = ""
    version: int
    created_us: int
    archived_us: int | None = None

    def shown(self) -> dict[str, object]:
        """As JSON for people and programs: times in ISO 8601."""
        found = msgspec.structs.asdict(self)
        for name in ("created_us", "archived_us"):
            found[f"{name.removesuffix('_us')}_at"] = shown_time(found.pop(name))
        return found

    def team(self) -> Team:
        """What its keys keep to."""
        return Team(
            id=self.id,
            name=self.name,
            models=None if self.models is None else frozenset(self.models),
            archived=self.archived_us is not None,
            **{name: getattr(self, name) for name in LIMITS},
        )


class TeamRepo:
    """Creates, finds and changes teams. Every method may raise StoreAway."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(self, fields: TeamFields) -> TeamRow:
        """A new team.

        Raises:
            InvalidRequest: a field cannot be meant.
            Conflict: there is one of that name.
        """
        fields.check()
        given = fields.given()
        if "name" not in given:
            raise InvalidRequest("name: a team needs one.", param="name")
        name, note = given.pop("name"), given.pop("note", "")
        values = {"name": name, "limits": given, "note": note, "created_us": now_us(self._clock)}
        try:
            with self._database.write() as connection:
                bumped(connection)
                made = connection.execute(sa.insert(team).values(**values).returning(team))
                return _row(made.mappings().one())
        except exc.IntegrityError:
            raise Conflict(f"There is a team {name!r} already.") from None

    def list(self, *, after: int = 0, limit: int = 100, archived: bool = False) -> list[TeamRow]:
        """At most `limit` teams, by id; those that are archived only if asked for."""
        found = sa.select(team).where(team.c.id > after).order_by(team.c.id).limit(limit)
        if not archived:
            found = found.where(team.c.archived_us.is_(None))
        with self._database.read() as connection:
            return [_row(each) for each in connection.execute(found).mappings()]

    def get(self, which: int | str) -> TeamRow:
        """A team by id or name. Raises NotFound."""
        with self._database.read() as connection:
            return _found(connection, which)

    def edit(self, which: int | str, fields: TeamFields, *, version: int | None = None) -> TeamRow:
        """Change what is set.

        Args:
            which: by id or name.
            fields: what changes.
            version: that it must have; None = any.

        Raises:
            InvalidRequest: a field cannot be meant.
            NotFound, Conflict: see there.
        """
        fields.check()
        given = fields.given()
        try:
            with self._database.write() as connection:
                bumped(connection)
                found = _found(connection, which)
                limits = {name: getattr(found, name) for name in ("models", *LIMITS)}
                limits |= {name: given[name] for name in limits.keys() & given.keys()}
                values = {name: given[name] for name in ("name", "note") if name in given}
                return _changed(connection, found, version, limits=limits, **values)
        except exc.IntegrityError:
            raise Conflict(f"There is a team {given.get('name')!r} already.") from None

    def archive(
        self, which: int | str, *, undo: bool = False, version: int | None = None
    ) -> TeamRow:
        """Refuse all of its keys from now on, or let them in again. Raises NotFound, Conflict."""
        with self._database.write() as connection:
            bumped(connection)
            found = _found(connection, which)
            at = None if undo else found.archived_us or now_us(self._clock)
            return _changed(connection, found, version, archived_us=at)

    def keys(self, which: int | str) -> int:
        """How many of its keys are not revoked. Raises NotFound."""
        with self._database.read() as connection:
            ours = api_key.c.team_id == _found(connection, which).id
            counted = sa.select(sa.func.count()).where(ours, api_key.c.revoked_us.is_(None))
            return connection.execute(counted).scalar_one()


def all_teams(connection: sa.Connection) -> dict[int, TeamRow]:
    """Every team, by id."""
    return {row.id: row for row in map(_row, connection.execute(sa.select(team)).mappings())}


def team_id(connection: sa.Connection, name: str) -> int:
    """Of a team that is not archived. Raises InvalidRequest."""
    found = connection.execute(sa.select(team).where(team.c.name == name)).first()
    if found is None or found.archived_us is not None:
        what = "is archived" if found else "does not exist: `rerankd teams create` makes one"
        raise InvalidRequest(f"team: {name!r} {what}.", param="team")
    return found.id


def _found(connection: sa.Connection, which: int | str) -> TeamRow:
    by = team.c.id == which if isinstance(which, int) else team.c.name == which
    found = connection.execute(sa.select(team).where(by)).mappings().first()
    if found is None:
        raise NotFound(f"There is no team {which!r}.")
    return _row(found)


def _changed(
    connection: sa.Connection, found: TeamRow, version: int | None, **values: Any
) -> TeamRow:
    if version not in (None, found.version):
        raise Conflict(
            f"The team {found.name!r} was changed in between: it is version {found.version} now.",
            version=found.version,
        )
    values["version"] = found.version + 1
    change = sa.update(team).where(team.c.id == found.id).values(**values).returning(team)
    return _row(connection.execute(change).mappings().one())


def _row(found: sa.RowMapping) -> TeamRow:
    values = dict[str, Any](found)
    return TeamRow(**values.pop("limits") or {}, **values)
