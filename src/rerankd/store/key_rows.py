"""One key of the store, as a row, as it is shown, and as a running server holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from rerankd.access.fields import LIMITS, networks_of
from rerankd.access.keys import Key, Role, Team
from rerankd.store.tables import api_key, key_digest
from rerankd.store.times import shown_time

State = Literal["good", "expired", "revoked"]

_TIMES = ("expires_us", "created_us", "revoked_us")


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One key. Times are microseconds since 1970. Never holds the key itself, nor its hash."""

    id: int
    public_id: str
    name: str
    team_id: int | None = None
    team: str | None = None  # by name
    role: Role = "call"
    models: list[str] | None = None
    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    in_flight: int | None = None
    networks: list[str] | None = None
    expires_us: int | None = None
    created_us: int
    revoked_us: int | None = None
    note: str = ""
    tags: list[str] | None = None
    version: int
    change: int

    def state(self, now_us: int) -> State:
        """Whether it is let in now."""
        if self.revoked_us is not None:
            return "revoked"
        is_over = self.expires_us is not None and self.expires_us <= now_us
        return "expired" if is_over else "good"

    def shown(self, now_us: int) -> dict[str, object]:
        """As JSON for people and programs: times in ISO 8601."""
        found = msgspec.structs.asdict(self)
        del found["change"]
        for name in _TIMES:
            found[f"{name.removesuffix('_us')}_at"] = shown_time(found.pop(name))
        return {**found, "source": "store", "state": self.state(now_us)}


class Digest(NamedTuple):
    """One SHA-256 by which a key is found."""

    digest: bytes
    until_us: int | None  # of a key that was rotated; None = as long as the key is good


def keys_of(row: KeyRow, digests: Iterable[Digest], team: Team | None) -> list[Key]:
    """What a ring takes over: the key by each of its digests, those that stay first."""
    made = Key(
        name=row.name,
        digest=b"",
        id=row.id,
        public_id=row.public_id,
        team=team,
        models=None if row.models is None else frozenset(row.models),
        networks=networks_of(row.networks or []),
        role=row.role,
        expires=_seconds(row.expires_us),
        revoked=row.revoked_us is not None,
        **{name: getattr(row, name) for name in LIMITS},
    )
    found: list[Key] = []
    for each in sorted(digests, key=lambda each: each.until_us is not None):
        ends = [at for at in (made.expires, _seconds(each.until_us)) if at is not None]
        found.append(replace(made, digest=each.digest, expires=min(ends, default=None)))
    return found


def digests_of(connection: sa.Connection, which: sa.ColumnElement[bool]) -> dict[int, list[Digest]]:
    """The digests of the keys that a condition on api_key names, by key."""
    found: dict[int, list[Digest]] = {}
    rows = sa.select(key_digest).join(api_key, api_key.c.id == key_digest.c.key_id).where(which)
    for digest, key_id, until_us in connection.execute(rows):
        found.setdefault(key_id, []).append(Digest(digest, until_us))
    return found


def row_of(values: sa.RowMapping, team: str | None) -> KeyRow:
    """A row of api_key, with the name of its team."""
    names = KeyRow.__struct_fields__
    return KeyRow(**{name: values[name] for name in names if name != "team"}, team=team)


def _seconds(at_us: int | None) -> float | None:
    return None if at_us is None else at_us / 1_000_000
