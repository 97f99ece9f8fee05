"""/admin/v1/teams."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from rerankd.access.fields import TeamFields
from rerankd.store.teams import TeamRow
from rerankd.web.admin.answers import AdminAnswer
from rerankd.web.admin.asked import PageQuery, Version, VersionQuery, given, id_of, page, place_of
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation


class TeamEdit(TeamFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a team; what is left out stays."""

    archived: bool | UnsetType = UNSET  # false: let its keys in again
    version: Version | UnsetType = UNSET  # that it must have still

    def fields(self) -> TeamFields:
        """As the store takes them."""
        values = self.given()
        values.pop("version", None)
        values.pop("archived", None)
        return TeamFields(**values)  # pyright: ignore[reportArgumentType] - checked by msgspec


class TeamQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which teams."""

    archived: bool = False  # those too


class TeamView(msgspec.Struct, frozen=True, kw_only=True):
    """A team, whose limits its keys share."""

    id: int
    name: str
    models: list[str] | None
    rpm: int | None
    tpm: int | None
    rpd: int | None
    tpd: int | None
    in_flight: int | None
    note: str
    version: int
    created_at: str
    archived_at: str | None


class ChangedTeam(TeamView, frozen=True, kw_only=True):
    """A team that was just made or changed."""

    warnings: list[str]  # models that nothing served fits


class TeamList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of teams, by id."""

    object: Literal["list"]
    data: list[TeamView]
    has_more: bool
    next_cursor: str | None


def create(desk: Desk, call: Call) -> AdminAnswer:
    """A new team."""
    body: TeamFields = call.body
    return AdminAnswer(status=201, content=_changed(desk, desk.teams.create(body)))


def listed(desk: Desk, call: Call) -> AdminAnswer:
    """A page of teams."""
    query: TeamQuery = call.query
    after = 0 if query.cursor is None else place_of(query.cursor, int)
    rows = desk.teams.list(after=after, limit=query.limit + 1, archived=query.archived)
    return AdminAnswer(
        content=page([_shown(row) for row in rows], query.limit, [r.id for r in rows])
    )


def one(desk: Desk, call: Call) -> AdminAnswer:
    """One team."""
    return AdminAnswer(content=_shown(desk.teams.get(id_of(call.ids[0]))))


def edit(desk: Desk, call: Call) -> AdminAnswer:
    """Change a team."""
    body: TeamEdit = call.body
    which, version = id_of(call.ids[0]), given(body.version)
    row = desk.teams.edit(which, body.fields(), version=version)
    archived = given(body.archived)
    if archived is not None and archived != (row.archived_us is not None):
        row = desk.teams.archive(row.id, undo=not archived)
    return AdminAnswer(content=_changed(desk, row))


def archive(desk: Desk, call: Call) -> AdminAnswer:
    """Refuse all of its keys."""
    query: VersionQuery = call.query
    return AdminAnswer(
        content=_shown(desk.teams.archive(id_of(call.ids[0]), version=query.version))
    )


def _shown(row: TeamRow) -> dict[str, Any]:
    return msgspec.to_builtins(msgspec.convert(row.shown(), TeamView))


def _changed(desk: Desk, row: TeamRow) -> dict[str, Any]:
    return {**_shown(row), "warnings": desk.unserved(row.models)}


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/teams",
        summary="Make a team.",
        body=TeamFields,
        answer=ChangedTeam,
        status=201,
        run=create,
    ),
    Operation(
        method="GET",
        path="/teams",
        summary="Teams, a page at a time.",
        query=TeamQuery,
        answer=TeamList,
        run=listed,
    ),
    Operation(
        method="GET",
        path="/teams/{id}",
        summary="One team, by id or name.",
        answer=TeamView,
        run=one,
    ),
    Operation(
        method="PATCH",
        path="/teams/{id}",
        summary="Change what is given of a team; `archived`: refuse its keys, or let them in.",
        body=TeamEdit,
        answer=ChangedTeam,
        run=edit,
    ),
    Operation(
        method="DELETE",
        path="/teams/{id}",
        summary="Archive a team: its keys are refused from now on.",
        query=VersionQuery,
        answer=TeamView,
        run=archive,
    ),
)
