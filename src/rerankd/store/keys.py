"""The keys of the store: made, found, changed, rotated, revoked.

Every change raises one number in its own transaction (bumped): running servers look at that, and
read what has changed since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from rerankd.access import token
from rerankd.access.fields import KeyFields
from rerankd.access.keys import digest
from rerankd.core.errors import InvalidRequest
from rerankd.store.bumped import bumped, last_change
from rerankd.store.database import Database
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.key_rows import Digest, KeyRow, State, digests_of, row_of
from rerankd.store.tables import api_key, key_digest, team
from rerankd.store.teams import TeamRow, all_teams, team_id
from rerankd.store.times import now_us

PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a server reads: all that changed after some number, up to `change`."""

    change: int
    keys: list[KeyRow]
    digests: dict[int, list[Digest]]  # of those keys
    teams: dict[int, TeamRow]  # all of them, by id


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which keys to list."""

    text: str = ""  # in the name, or the public id itself
    team: str | None = None
    role: str | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class MadeElsewhere:
    """A key whose text is not known here."""

    fields: KeyFields
    digests: tuple[bytes, ...]  # SHA-256 of each way to write it


class KeyRepo:
    """Every method may raise StoreAway."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._numbers: dict[str, int] = {}  # behind names that were taken

    @property
    def now_us(self) -> int:
        """Microseconds since 1970."""
        return now_us(self._clock)

    def create(self, fields: KeyFields) -> tuple[KeyRow, str]:
        """A new key, and its text: it is told here and never again.

        Raises:
            InvalidRequest: a field cannot be meant.
            Conflict: there is one of that name.
        """
        fields.check()
        if "name" not in fields.given():
            raise InvalidRequest("name: a key needs one.", param="name")
        made = token.make()
        with self._writing(fields) as (connection, change):
            ours = [digest(made.text)]
            key_id = self._add(connection, change, fields, ours, made.public_id)
            return _found(connection, key_id), made.text

    def take_over(self, found: Sequence[MadeElsewhere], taken: Collection[str]) -> list[str | None]:
        """Keys that were made elsewhere, all in one transaction.

        Args:
            found: their fields are checked, their teams are there.
            taken: names that they may not have, besides those of other keys.

        Returns:
            The name of each, with a number where its own was taken; None = this very key is here.
        """
        names: list[str | None] = []
        with self._writing() as (connection, change):
            for each in found:
                is_here = key_digest.c.digest.in_(each.digests)
                if connection.execute(sa.select(key_digest.c.key_id).where(is_here)).first():
                    names.append(None)
                    continue
                name = self._free_name(connection, str(each.fields.name), taken)
                fields = msgspec.structs.replace(each.fields, name=name)
                self._add(connection, change, fields, each.digests, token.new_public_id())
                names.append(name)
        return names

    def list(self, wanted: Wanted, *, after: int = 0, limit: int = PAGE) -> list[KeyRow]:
        """At most `limit` keys, by id, behind the key `after`."""
        found = _select().where(api_key.c.id > after).order_by(api_key.c.id).limit(limit)
        for condition in _conditions(wanted, self.now_us):
            found = found.where(condition)
        with self._database.read() as connection:
            return [_row(each) for each in connection.execute(found).mappings()]

    def get(self, which: int | str) -> KeyRow:
        """A key by id, public id or name; of several with one name the one that is not revoked.

        Raises:
            NotFound: see there.
        """
        with self._database.read() as connection:
            return _found(connection, which)

    def edit(self, which: int | str, fields: KeyFields, *, version: int | None = None) -> KeyRow:
        """Change what is set.

        Args:
            which: as `get`.
            fields: what changes.
            version: that it must have; None = any.

        Raises:
            InvalidRequest: a field cannot be meant, or the key is revoked.
            NotFound, Conflict: see there.
        """
        fields.check()
        with self._writing(fields) as (connection, change):
            found = _changeable(connection, which, version)
            values = fields.given()
            if "team" in values:
                values["team_id"] = _team_id(connection, values.pop("team"))
            return _changed(connection, found, change, **values)

    def rotate(
        self, which: int | str, *, grace_s: int = 0, version: int | None = None
    ) -> tuple[KeyRow, str]:
        """Another key in its place; the old one is good for `grace_s` more.

        Raises:
            InvalidRequest: the key is revoked.
            NotFound, Conflict: see there.
        """
        now = self.now_us
        with self._writing() as (connection, change):
            found = _changeable(connection, which, version)
            made = token.make(found.public_id)
            ours = key_digest.c.key_id == found.id
            connection.execute(
                sa.update(key_digest)
                .where(ours, key_digest.c.until_us.is_(None))
                .values(until_us=now + grace_s * 1_000_000)
            )
            connection.execute(sa.delete(key_digest).where(ours, key_digest.c.until_us < now))
            new = {"digest": digest(made.text), "key_id": found.id}
            connection.execute(sa.insert(key_digest).values(**new))
            return _changed(connection, found, change), made.text

    def revoke(self, which: int | str, *, version: int | None = None) -> KeyRow:
        """Good no more, for ever; a key that is revoked stays so. Raises NotFound, Conflict."""
        with self._writing() as (connection, change):
            found = _found(connection, which)
            if found.revoked_us is not None:
                return found
            _check_version(found, version)
            return _changed(connection, found, change, revoked_us=self.now_us)

    def administrators(self) -> int:
        """How many keys are good now that may administer."""
        ends = api_key.c.expires_us
        asked = sa.select(sa.func.count()).select_from(
            api_key.outerjoin(team, team.c.id == api_key.c.team_id)
        )
        asked = asked.where(
            api_key.c.role == "admin",
            api_key.c.revoked_us.is_(None),
            sa.or_(ends.is_(None), ends > self.now_us),
            team.c.archived_us.is_(None),
        )
        with self._database.read() as connection:
            return connection.execute(asked).scalar_one()

    def changed_since(self, number: int) -> Changed:
        """What a server does not know yet; 0 = everything."""
        which = api_key.c.change > number
        with self._database.read() as connection:
            rows = [_row(each) for each in connection.execute(_select().where(which)).mappings()]
            return Changed(
                change=last_change(connection),
                keys=rows,
                digests=digests_of(connection, which),
                teams=all_teams(connection),
            )

    def _free_name(self, connection: sa.Connection, name: str, taken: Collection[str]) -> str:
        """A name that no good key has: search, search-2, search-3; each number is tried once."""
        while True:
            count = self._numbers[name] = self._numbers.get(name, 0) + 1
            numbered = name if count == 1 else f"{name}-{count}"
            if numbered not in taken and _is_free(connection, numbered):
                return numbered

    @contextmanager
    def _writing(self, fields: KeyFields | None = None) -> Generator[tuple[sa.Connection, int]]:
        """A transaction and the number of its change. Raises Conflict: name or key is taken."""
        try:
            with self._database.write() as connection:
                yield connection, bumped(connection)
        except exc.IntegrityError:
            name = None if fields is None else fields.given().get("name")
            raise Conflict(f"There is a key {name!r} already.") from None

    def _add(
        self,
        connection: sa.Connection,
        change: int,
        fields: KeyFields,
        digests: Sequence[bytes],
        public_id: str,
    ) -> int:
        """Its id."""
        values = {"role": "call", **fields.given(), "created_us": self.now_us, "change": change}
        team_name = values.pop("team", None)
        values["team_id"] = _team_id(connection, team_name)
        values["public_id"] = public_id
        made = connection.execute(sa.insert(api_key).values(**values).returning(api_key.c.id))
        key_id = made.scalar_one()
        rows = [{"digest": each, "key_id": key_id} for each in digests]
        connection.execute(sa.insert(key_digest), rows)
        return key_id


def _is_free(connection: sa.Connection, name: str) -> bool:
    """Whether no good key has a name."""
    same = sa.select(api_key.c.id).where(api_key.c.name == name, api_key.c.revoked_us.is_(None))
    return connection.execute(same).first() is None


def _select() -> sa.Select[Any]:
    """Keys with the names of their teams."""
    joined = api_key.outerjoin(team, team.c.id == api_key.c.team_id)
    return sa.select(api_key, team.c.name.label("team")).select_from(joined)


def _row(found: sa.RowMapping) -> KeyRow:
    return row_of(found, found["team"])


def _found(connection: sa.Connection, which: int | str) -> KeyRow:
    select = _select()
    if isinstance(which, int):
        select = select.where(api_key.c.id == which)
    else:
        is_id, is_gone = api_key.c.public_id == which, api_key.c.revoked_us.is_not(None)
        select = select.where(sa.or_(is_id, api_key.c.name == which))
        select = select.order_by(is_id.desc(), is_gone, api_key.c.id.desc())
    found = connection.execute(select.limit(1)).mappings().first()
    if found is None:
        raise NotFound(f"There is no key {which!r}.")
    return _row(found)


def _changeable(connection: sa.Connection, which: int | str, version: int | None) -> KeyRow:
    """Raises NotFound, Conflict, InvalidRequest."""
    found = _found(connection, which)
    if found.revoked_us is not None:
        raise InvalidRequest(f"The key {found.name!r} is revoked: make another one.")
    _check_version(found, version)
    return found


def _check_version(found: KeyRow, version: int | None) -> None:
    if version not in (None, found.version):
        raise Conflict(
            f"The key {found.name!r} was changed in between: it is version {found.version} now.",
            version=found.version,
        )


def _changed(connection: sa.Connection, found: KeyRow, change: int, **values: Any) -> KeyRow:
    values |= {"version": found.version + 1, "change": change}
    connection.execute(sa.update(api_key).where(api_key.c.id == found.id).values(**values))
    return _found(connection, found.id)


def _team_id(connection: sa.Connection, name: object) -> int | None:
    return None if name is None else team_id(connection, str(name))


def _conditions(wanted: Wanted, now: int) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.text:
        among = api_key.c.name.icontains(wanted.text, autoescape=True)
        yield sa.or_(among, api_key.c.public_id == wanted.text)
    if wanted.team is not None:
        yield team.c.name == wanted.team
    if wanted.role is not None:
        yield api_key.c.role == wanted.role
    ends = api_key.c.expires_us
    match wanted.state:
        case "revoked":
            yield api_key.c.revoked_us.is_not(None)
        case "expired":
            yield sa.and_(api_key.c.revoked_us.is_(None), ends <= now)
        case "good":
            good = sa.or_(ends.is_(None), ends > now)
            yield sa.and_(api_key.c.revoked_us.is_(None), good)
        case None:
            pass
