"""/admin/v1/keys."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from rerankd.access.fields import KeyFields, TeamFields, networks_of
from rerankd.access.keys import Key, Role, is_in
from rerankd.core.errors import InvalidRequest
from rerankd.store.errors import NotFound
from rerankd.store.key_rows import KeyRow, State
from rerankd.store.keys import Wanted
from rerankd.store.times import span_s, time_us
from rerankd.web.admin.answers import AdminAnswer, AdminRefusal
from rerankd.web.admin.asked import (
    NoBody,
    PageQuery,
    Version,
    VersionQuery,
    cursor_of,
    given,
    id_of,
    place_of,
)
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.operation import Call, Operation

_OWN_GRACE_S: Final = 60  # of the key that a call is made with: its answer may be lost
Source = Literal["store", "file"]
_Place = tuple[Source, str | int]


class KeyBody(TeamFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. `name` is needed."""

    team: str | UnsetType | None = UNSET  # by name
    role: Role | UnsetType = UNSET
    networks: list[str] | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET  # ISO 8601; null = never
    tags: list[str] | UnsetType | None = UNSET

    def fields(self) -> KeyFields:
        """As the store takes them. Raises InvalidRequest."""
        values = self.given()
        values.pop("version", None)
        written = values.pop("expires_at", UNSET)
        if isinstance(written, str):
            values["expires_us"] = time_us(written, "expires_at")
        elif written is None:
            values["expires_us"] = None
        return KeyFields(**values)  # pyright: ignore[reportArgumentType] - checked by msgspec


class KeyEdit(KeyBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a key; what is left out stays."""

    version: Version | UnsetType = UNSET  # that it must have still


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another key in place of one."""

    grace: str = "0"  # how long the old one is good still: "24h", "30m"
    version: Version | UnsetType = UNSET


class KeyQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which keys."""

    text: str = ""  # in the name, or the public id
    team: str | None = None
    role: Role | None = None
    state: State | None = None
    source: Source | None = None


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key. Of one in the settings' file only name, models, rpm and tpm are known."""

    id: int | None
    public_id: str
    name: str
    source: Source
    state: State
    team_id: int | None
    team: str | None
    role: Role
    models: list[str] | None
    rpm: int | None
    tpm: int | None
    rpd: int | None
    tpd: int | None
    in_flight: int | None
    networks: list[str] | None
    expires_at: str | None
    created_at: str | None
    revoked_at: str | None
    note: str
    tags: list[str] | None
    version: int | None


class ChangedKey(KeyView, frozen=True, kw_only=True):
    """A key that was just made or changed."""

    warnings: list[str]  # models that nothing served fits


class MadeKey(ChangedKey, frozen=True, kw_only=True):
    """A key and its text, which is told here and never again."""

    key: str | None  # null: this answer is a replay


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of keys: those of the settings' file first, then those of the store by id."""

    object: Literal["list"]
    data: list[KeyView]
    has_more: bool
    next_cursor: str | None


def create(desk: Desk, call: Call) -> AdminAnswer:
    """A new key."""
    body: KeyBody = call.body
    if _is_in_file(desk, str(given(body.name))):
        raise AdminRefusal(
            409, "conflict", f"The settings' file has a key {body.name!r}.", param="name"
        )
    row, text = desk.keys.create(body.fields())
    return AdminAnswer(status=201, content=_changed(desk, row), once={"key": text})


def listed(desk: Desk, call: Call) -> AdminAnswer:
    """A page of keys."""
    query: KeyQuery = call.query
    source, after = ("file", "") if query.cursor is None else place_of(query.cursor, _Place)
    rows: list[tuple[list[Any], dict[str, Any]]] = []
    if source == "file" and query.source != "store":
        rows += [
            (["file", key.name], _of_file(key))
            for key in sorted(desk.state.keys.file, key=lambda key: key.name)
            if key.name > str(after) and _is_wanted(key, query)
        ]
    if query.source != "file" and len(rows) <= query.limit:
        wanted = Wanted(text=query.text, team=query.team, role=query.role, state=query.state)
        behind = after if source == "store" and isinstance(after, int) else 0
        more = desk.keys.list(wanted, after=behind, limit=query.limit + 1 - len(rows))
        rows += [(["store", row.id], _shown(desk, row)) for row in more]
    page, has_more = rows[: query.limit], len(rows) > query.limit
    return AdminAnswer(
        content={
            "object": "list",
            "data": [shown for _, shown in page],
            "has_more": has_more,
            "next_cursor": cursor_of(page[-1][0]) if has_more else None,
        }
    )


def one(desk: Desk, call: Call) -> AdminAnswer:
    """One key."""
    try:
        return AdminAnswer(content=_shown(desk, desk.keys.get(id_of(call.ids[0]))))
    except NotFound:
        for key in desk.state.keys.file:
            if key.name == call.ids[0]:
                return AdminAnswer(content=_of_file(key))
        raise


def edit(desk: Desk, call: Call) -> AdminAnswer:
    """Change a key."""
    body: KeyEdit = call.body
    which = _changeable(desk, call.ids[0])
    fields = body.fields()
    networks = fields.networks
    if isinstance(networks, list) and desk.keys.get(which).id == call.by.id:
        address, wanted = call.address, networks_of(networks)
        if wanted and (address is None or not any(is_in(address, each) for each in wanted)):
            raise AdminRefusal(
                409,
                "would_lock_out",
                "networks: this very call, made with the key, comes from none of these.",
                param="networks",
            )
    return AdminAnswer(
        content=_changed(desk, desk.keys.edit(which, fields, version=given(body.version)))
    )


def rotate(desk: Desk, call: Call) -> AdminAnswer:
    """Another key in its place."""
    body: Rotation = call.body
    which = _changeable(desk, call.ids[0])
    grace_s = span_s(body.grace, "grace")
    if grace_s < _OWN_GRACE_S and desk.keys.get(which).id == call.by.id:
        raise InvalidRequest(
            "grace: of the key that this call is made with, 1m or more, lest an answer that is "
            "lost locks out who asked.",
            param="grace",
        )
    row, text = desk.keys.rotate(which, grace_s=grace_s, version=given(body.version))
    return AdminAnswer(content=_changed(desk, row), once={"key": text})


def revoke(desk: Desk, call: Call) -> AdminAnswer:
    """Good no more."""
    query: VersionQuery = call.query
    row = desk.keys.revoke(_changeable(desk, call.ids[0]), version=query.version)
    return AdminAnswer(content=_shown(desk, row))


def _changeable(desk: Desk, written: str) -> int | str:
    """Raises AdminRefusal: it is of the settings' file."""
    which = id_of(written)
    try:
        desk.keys.get(which)
    except NotFound:
        if _is_in_file(desk, written):
            raise AdminRefusal(
                409,
                "read_only",
                f"The key {written!r} is of the settings' file: change it there, then reload.",
            ) from None
        raise
    return which


def _is_in_file(desk: Desk, name: str) -> bool:
    return any(key.name == name for key in desk.state.keys.file)


def _shown(desk: Desk, row: KeyRow) -> dict[str, Any]:
    return msgspec.to_builtins(msgspec.convert(row.shown(desk.now_us), KeyView))


def _changed(desk: Desk, row: KeyRow) -> dict[str, Any]:
    return {**_shown(desk, row), "warnings": desk.unserved(row.models)}


def _of_file(key: Key) -> dict[str, Any]:
    nothing = dict.fromkeys(KeyView.__struct_fields__)
    models = None if key.models is None else sorted(key.models)
    found = {"name": key.name, "models": models, "rpm": key.rpm, "tpm": key.tpm, "role": key.role}
    return {**nothing, **found, "public_id": "", "note": "", "source": "file", "state": "good"}


def _is_wanted(key: Key, query: KeyQuery) -> bool:
    return (
        query.text.lower() in key.name.lower()
        and query.team is None
        and query.role in (None, key.role)
        and query.state in (None, "good")
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/keys",
        summary="Make a key. Its text is in this answer and never again.",
        body=KeyBody,
        answer=MadeKey,
        status=201,
        run=create,
    ),
    Operation(
        method="GET",
        path="/keys",
        summary="Keys, a page at a time.",
        query=KeyQuery,
        answer=KeyList,
        run=listed,
    ),
    Operation(
        method="GET",
        path="/keys/{id}",
        summary="One key, by id, public id or name.",
        answer=KeyView,
        run=one,
    ),
    Operation(
        method="PATCH",
        path="/keys/{id}",
        summary="Change what is given of a key.",
        body=KeyEdit,
        answer=ChangedKey,
        run=edit,
    ),
    Operation(
        method="DELETE",
        path="/keys/{id}",
        summary="Revoke a key, for ever; it stays in the list.",
        query=VersionQuery,
        body=NoBody,
        answer=KeyView,
        run=revoke,
    ),
    Operation(
        method="POST",
        path="/keys/{id}/rotate",
        summary="Another key in its place; the old one is good for `grace` more.",
        body=Rotation,
        answer=MadeKey,
        run=rotate,
    ),
)
