"""`rerankd keys import` and `rerankd upstream import`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from rerankd.access.fields import TeamFields
from rerankd.accounts.budget import Owner
from rerankd.accounts.written import budget_of
from rerankd.cli.stored import Config, Json, Opened, Store, opened, print_json
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.imports import hashes, litellm, new_api
from rerankd.imports.keys import Found
from rerankd.imports.rows import Row, rows
from rerankd.imports.upstreams import of_litellm, of_new_api, toml
from rerankd.store.budgets import BudgetRepo
from rerankd.store.errors import NotFound
from rerankd.store.keys import KeyRepo, MadeElsewhere
from rerankd.store.teams import TeamRepo

_MOST_BYTES: Final = 268_435_456
_AT_ONCE: Final = 500  # keys in a transaction: running servers write as well

Sha256 = Annotated[bool, Parameter(name="--sha256", negative=(), help="Columns name, sha256, …")]
NewApi = Annotated[bool, Parameter(name="--new-api", negative=(), help="An export of new-api.")]
LiteLlm = Annotated[bool, Parameter(name="--litellm", negative=(), help="One of LiteLLM.")]


class ImportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row."""

    label: str
    name: str | None  # in the store; None = not taken over
    why: str | None  # it was not
    not_taken: tuple[str, ...]


def keys(  # noqa: PLR0913 - one for each flag
    file: Path,
    /,
    *,
    sha256: Sha256 = False,
    new_api: NewApi = False,
    litellm: LiteLlm = False,
    team: str | None = None,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Take over keys that exist already, so that callers keep theirs. Only hashes are kept.

    JSON, JSON by line, or CSV. What is there already is left as it is, so it can be repeated.

    Parameters
    ----------
    file
        The export.
    team
        Put all of them into this team.
    """
    reads = _one_of(sha256=sha256, new_api=new_api, litellm=litellm)
    found = [reads(row) for row in rows(_text(file), str(file))]
    with opened(store, config) as where:
        taken = {key.name for key in where.settings.keys}
        takes = _Takes(where, taken)
        outcomes = list(takes.all([_checked(each, team) for each in found]))
    if json:
        print_json(outcomes)
    else:
        _print(outcomes)


def upstreams(file: Path, /, *, new_api: NewApi = False, litellm: LiteLlm = False) -> None:
    """Print [upstream] and [route] tables for what new-api or LiteLLM sends requests on to.

    Parameters
    ----------
    file
        Channels of new-api; model_list of LiteLLM, as JSON.
    """
    if new_api == litellm:
        raise StartError("Say of what it is an export: --new-api or --litellm.")
    read = (of_new_api if new_api else of_litellm)(rows(_text(file), str(file)))
    print(toml(read))


def _one_of(*, sha256: bool, new_api: bool, litellm: bool) -> Callable[[Row], Found]:
    formats = ((sha256, hashes.found_in), (new_api, _NEW_API), (litellm, _LITELLM))
    chosen = [reads for is_chosen, reads in formats if is_chosen]
    if len(chosen) != 1:
        raise StartError("Say what the file is: --sha256, --new-api or --litellm.")
    return chosen[0]


_NEW_API: Final = new_api.found_in
_LITELLM: Final = litellm.found_in


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise StartError(f"{file} has more than {_MOST_BYTES} bytes: import it in parts.")
        return file.read_text("utf-8")
    except OSError as error:
        raise StartError(f"Cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise StartError(f"{file} is not UTF-8.") from None


class _Takes:
    """Puts keys into a store."""

    def __init__(self, where: Opened, taken: set[str]) -> None:
        """Nothing is taken over yet.

        Args:
            where: the store.
            taken: names of other keys.
        """
        self._keys = KeyRepo(where.database)
        self._teams = TeamRepo(where.database)
        self._budgets = BudgetRepo(where.database)
        self._currency = where.settings.store.currency
        self._taken = taken

    def all(self, found: Sequence[Found]) -> Iterator[ImportOutcome]:
        """Some at a time; what became of each."""
        for first in range(0, len(found), _AT_ONCE):
            some = found[first : first + _AT_ONCE]
            made = [MadeElsewhere(e.fields, e.digests) for e in some if e.fields is not None]
            for name in sorted({e.fields.team for e in made if isinstance(e.fields.team, str)}):
                self._make_team(name)
            names = iter(self._keys.take_over(made, self._taken))
            for each in some:
                name = None if each.fields is None else next(names)
                why = each.refused or "this very key is in the store already"
                lost = () if name is None else (*each.lost, *self._set_budget(each.budget, name))
                yield ImportOutcome(
                    label=each.label, name=name, why=None if name else why, not_taken=lost
                )

    def _make_team(self, name: str) -> None:
        """A team that keys are in, if it is not there yet."""
        try:
            self._teams.get(name)
        except NotFound:
            self._teams.create(TeamFields(name=name))

    def _set_budget(self, written: str, name: str) -> Iterator[str]:
        """A key's budget; says so if it cannot be set."""
        if not written:
            return
        try:
            budget = budget_of(written, self._currency)
        except InvalidRequest as error:
            yield f"its budget of {written}: {error}"
        else:
            self._budgets.set(Owner("key", self._keys.get(name).id), budget)


def _checked(found: Found, team: str | None) -> Found:
    """As it will be taken over, or refused."""
    if found.fields is None:
        return found
    fields = found.fields if team is None else msgspec.structs.replace(found.fields, team=team)
    try:
        fields.check()
        if isinstance(fields.team, str):
            TeamFields(name=fields.team).check()
    except InvalidRequest as error:
        return replace(found, fields=None, refused=str(error).removesuffix("."))
    return replace(found, fields=fields)


def _print(outcomes: Iterable[ImportOutcome]) -> None:
    """What was taken over, what was not, and what of it has no place here."""
    outcomes = list(outcomes)
    good = [each for each in outcomes if each.name is not None]
    print(f"{len(good)} of {len(outcomes)} keys were taken over.")
    for each in outcomes:
        if each.name is None:
            print(f"not taken over: {each.label}: {each.why}")
        elif each.name != each.label:
            print(f"renamed: {each.label} is {each.name}")
    for each in good:
        for sentence in each.not_taken:
            print(f"without: {each.name}: {sentence}")
