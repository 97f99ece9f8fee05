"""`rerankd keys`: the keys of the store. A key is printed once, when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter

from rerankd.access.fields import KeyFields
from rerankd.access.keys import Role
from rerankd.accounts.budget import Owner
from rerankd.accounts.written import budget_of
from rerankd.cli.stored import (
    NONE,
    Config,
    Json,
    LimitFlags,
    Store,
    opened,
    print_json,
    role_of,
    say,
    shown_limits,
    table,
    until_us,
    words,
)
from rerankd.cli.terminal import console
from rerankd.core.errors import StartError
from rerankd.settings.schema import KeySettings, Settings
from rerankd.store.budgets import BudgetRepo
from rerankd.store.key_rows import KeyRow, State
from rerankd.store.keys import PAGE, KeyRepo, Wanted
from rerankd.store.times import shown_time, span_s

Models = Annotated[
    list[str] | None,
    Parameter(negative=(), help="Models it may use, '*' for any part of a name; none = all."),
]
Limit = Annotated[str | None, Parameter(help="At most so many; none = no limit.")]
Networks = Annotated[
    list[str] | None,
    Parameter(negative=(), help="Addresses and networks it may come from; none = all."),
]
Budgets = Annotated[
    list[str] | None,
    Parameter(negative=(), help="How much it may use: '20 USD/month', '1000 requests/day'."),
]
Tags = Annotated[list[str] | None, Parameter(negative=(), help="For your own order.")]
Expires = Annotated[
    str | None, Parameter(help="When it ends: 90d, 24h, 2027-01-31, or none = never.")
]
Admin = Annotated[bool, Parameter(negative=(), help="As --role admin.")]


def create(  # noqa: PLR0913 - one for each flag
    name: str,
    /,
    *,
    team: str | None = None,
    models: Models = None,
    rpm: Limit = None,
    tpm: Limit = None,
    rpd: Limit = None,
    tpd: Limit = None,
    in_flight: Limit = None,
    networks: Networks = None,
    role: Role | None = None,
    admin: Admin = False,
    expires: Expires = None,
    budget: Budgets = None,
    note: str | None = None,
    tags: Tags = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Make a key and print it, this once: only its SHA-256 is kept."""
    limits = LimitFlags(models=models, rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, in_flight=in_flight)
    given = _given(limits, team, networks, role_of(role, admin=admin), expires, note, tags)
    with opened(store, config) as found:
        if name in {key.name for key in found.settings.keys}:
            raise StartError(f"The settings have a key {name!r} already: choose another name.")
        currency = found.settings.store.currency
        wanted = [budget_of(each, currency) for each in budget or ()]
        repo = KeyRepo(found.database)
        with found.database.together():  # no key without its budgets
            row, text = repo.create(KeyFields(name=name, **given))
            for each in wanted:
                BudgetRepo(found.database).set(Owner("key", row.id), each)
        _print_new(repo, row, text, json=json)


def edit(  # noqa: PLR0913 - one for each flag
    name: str,
    /,
    *,
    rename: str | None = None,
    team: str | None = None,
    models: Models = None,
    rpm: Limit = None,
    tpm: Limit = None,
    rpd: Limit = None,
    tpd: Limit = None,
    in_flight: Limit = None,
    networks: Networks = None,
    role: Role | None = None,
    expires: Expires = None,
    note: str | None = None,
    tags: Tags = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Change what is given; the rest stays. "none" takes a limit away."""
    limits = LimitFlags(models=models, rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, in_flight=in_flight)
    given = _given(limits, team, networks, role, expires, note, tags)
    given |= {"name": rename} if rename is not None else {}
    if not given:
        raise StartError("Nothing to change was given; `rerankd keys edit --help` lists it.")
    with opened(store, config) as found:
        repo = KeyRepo(found.database)
        _show(repo, repo.edit(name, KeyFields(**given)), json=json)


def listed(  # noqa: PLR0913 - one for each flag
    *,
    text: str = "",
    team: str | None = None,
    role: Role | None = None,
    state: State | None = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """List keys of the store, and those of the settings, which only their file changes.

    Parameters
    ----------
    text
        In the name, or the public id.
    team
        Of this team only.
    role
        Of this role only.
    state
        Good, expired or revoked ones only.
    """
    wanted = Wanted(text=text, team=team, role=role, state=state)
    with opened(store, config) as found:
        repo = KeyRepo(found.database)
        now_us, rows = repo.now_us, list(_all(repo, wanted))
        if json:
            ours = [row.shown(now_us) for row in rows]
            print_json([*ours, *(_of_settings(key) for key in _meant(found.settings, wanted))])
            return
        shown = table("name", "id", "team", "role", "state", "ends", "limits", "models")
        for row in rows:
            shown.add_row(
                row.name,
                row.public_id,
                row.team or "",
                row.role,
                row.state(now_us),
                shown_time(row.expires_us) or "",
                shown_limits(row),
                ", ".join(row.models or ["all"]),
            )
        for key in _meant(found.settings, wanted):
            limits = " ".join(f"{n}={getattr(key, n)}" for n in ("rpm", "tpm") if getattr(key, n))
            models = ", ".join(key.models or ["all"])
            shown.add_row(key.name, "settings", "", "call", "good", "", limits, models)
        console().print(shown)


def show(name: str, /, *, json: Json = False, store: Store = None, config: Config = None) -> None:
    """Show a key by name or public id."""
    with opened(store, config) as found:
        repo = KeyRepo(found.database)
        _show(repo, repo.get(name), json=json)


def rotate(
    name: str,
    /,
    *,
    grace: str = "24h",
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Make another key in its place and print it, this once.

    Parameters
    ----------
    name
        Of the key, or its public id.
    grace
        How long the old one stays good: 24h, 30m, 0.
    """
    grace_s = span_s(grace, "grace")
    with opened(store, config) as found:
        repo = KeyRepo(found.database)
        row, text = repo.rotate(name, grace_s=grace_s)
        _print_new(repo, row, text, json=json)
        say(f"The old key is good for {grace} more." if grace_s else "The old key is good no more.")


def revoke(name: str, /, *, json: Json = False, store: Store = None, config: Config = None) -> None:
    """Refuse a key from now on, for ever; running servers see it within two seconds."""
    with opened(store, config) as found:
        repo = KeyRepo(found.database)
        row = repo.revoke(name)
        if json:
            print_json(row.shown(repo.now_us))
        else:
            print(f"{row.name} ({row.public_id}) is revoked.")


def _given(  # noqa: PLR0913, PLR0917 - one for each flag
    limits: LimitFlags,
    team: str | None,
    networks: list[str] | None,
    role: Role | None,
    expires: str | None,
    note: str | None,
    tags: list[str] | None,
) -> dict[str, Any]:
    """What was given, as it is stored. Raises InvalidRequest."""
    found = limits.given()
    found |= {"role": role} if role is not None else {}
    found |= {"note": note} if note is not None else {}
    if team is not None:
        found["team"] = None if team == NONE else team
    if networks is not None:
        found["networks"] = words(networks)
    if tags is not None:
        found["tags"] = words(tags)
    if expires is not None:
        found["expires_us"] = until_us(expires)
    return found


def _print_new(repo: KeyRepo, row: KeyRow, text: str, *, json: bool) -> None:
    if json:
        print_json({"key": text, **row.shown(repo.now_us)})
    else:
        print(text)
        say(f"The key {row.name} ({row.public_id}): keep it now, it is shown this once.")


def _show(repo: KeyRepo, row: KeyRow, *, json: bool) -> None:
    found = row.shown(repo.now_us)
    if json:
        print_json(found)
        return
    shown = table("", "")
    for name, value in found.items():
        if value not in (None, ""):
            said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - of strings
            shown.add_row(name, said)
    console().print(shown)


def _all(repo: KeyRepo, wanted: Wanted) -> Iterator[KeyRow]:
    """Every page."""
    page = repo.list(wanted)
    while page:
        yield from page
        page = repo.list(wanted, after=page[-1].id) if len(page) == PAGE else []


def _meant(settings: Settings, wanted: Wanted) -> Iterator[KeySettings]:
    """The keys of the settings that a filter means."""
    if wanted.team is None and wanted.role in (None, "call") and wanted.state in (None, "good"):
        yield from (key for key in settings.keys if wanted.text.lower() in key.name.lower())


def _of_settings(key: KeySettings) -> dict[str, object]:
    return {
        "name": key.name,
        "models": key.models,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "role": "call",
        "state": "good",
        "source": "file",
    }
