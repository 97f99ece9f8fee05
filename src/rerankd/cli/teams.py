"""`rerankd teams`: keys that share limits."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from rerankd.access.fields import TeamFields
from rerankd.cli.keys import Limit, Models
from rerankd.cli.stored import (
    Config,
    Json,
    LimitFlags,
    Store,
    opened,
    print_json,
    shown_limits,
    table,
)
from rerankd.cli.terminal import console
from rerankd.core.errors import StartError
from rerankd.store.teams import TeamRepo, TeamRow

_PAGE = 100


def create(  # noqa: PLR0913 - one for each flag
    name: str,
    /,
    *,
    models: Models = None,
    rpm: Limit = None,
    tpm: Limit = None,
    rpd: Limit = None,
    tpd: Limit = None,
    in_flight: Limit = None,
    note: str = "",
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Make a team. Its limits hold for its keys together, beside their own."""
    limits = LimitFlags(models=models, rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, in_flight=in_flight)
    fields = TeamFields(name=name, note=note, **limits.given())
    with opened(store, config) as found:
        repo = TeamRepo(found.database)
        _show(repo, repo.create(fields), json=json)


def edit(  # noqa: PLR0913 - one for each flag
    name: str,
    /,
    *,
    rename: str | None = None,
    models: Models = None,
    rpm: Limit = None,
    tpm: Limit = None,
    rpd: Limit = None,
    tpd: Limit = None,
    in_flight: Limit = None,
    note: str | None = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Change what is given; the rest stays. "none" takes a limit away."""
    limits = LimitFlags(models=models, rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, in_flight=in_flight)
    given: dict[str, Any] = limits.given()
    given |= {"note": note} if note is not None else {}
    given |= {"name": rename} if rename is not None else {}
    if not given:
        raise StartError("Nothing to change was given; `rerankd teams edit --help` lists it.")
    with opened(store, config) as found:
        repo = TeamRepo(found.database)
        _show(repo, repo.edit(name, TeamFields(**given)), json=json)


def listed(
    *,
    archived: Annotated[bool, Parameter(negative=(), help="Archived ones as well.")] = False,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """List the teams of the store."""
    with opened(store, config) as found:
        repo, rows = TeamRepo(found.database), list[TeamRow]()
        while page := repo.list(after=rows[-1].id if rows else 0, limit=_PAGE, archived=archived):
            rows += page
        if json:
            print_json([row.shown() for row in rows])
            return
        shown = table("team", "limits", "models", "")
        for row in rows:
            gone = "archived" if row.archived_us is not None else ""
            shown.add_row(row.name, shown_limits(row), ", ".join(row.models or ["all"]), gone)
        console().print(shown)


def show(name: str, /, *, json: Json = False, store: Store = None, config: Config = None) -> None:
    """Show a team, and how many keys it has."""
    with opened(store, config) as found:
        repo = TeamRepo(found.database)
        _show(repo, repo.get(name), json=json)


def archive(
    name: str,
    /,
    *,
    undo: Annotated[bool, Parameter(negative=(), help="Let its keys in again.")] = False,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Refuse all keys of a team from now on; what they used stays in the ledger."""
    with opened(store, config) as found:
        repo = TeamRepo(found.database)
        _show(repo, repo.archive(name, undo=undo), json=json)


def _show(repo: TeamRepo, row: TeamRow, *, json: bool) -> None:
    found = {**row.shown(), "keys": repo.keys(row.id)}
    if json:
        print_json(found)
        return
    shown = table("", "")
    for name, value in found.items():
        if value not in (None, ""):
            said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - of strings
            shown.add_row(name, said)
    console().print(shown)
