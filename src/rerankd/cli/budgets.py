"""`rerankd budgets`: how much keys, teams and all together may use, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from rerankd.accounts.budget import EVERYBODY, Budget, Owner
from rerankd.accounts.refusal import amount_of
from rerankd.accounts.written import amount_nano, budget_of
from rerankd.cli.stored import Config, Json, Opened, Store, opened, print_json, say, table
from rerankd.cli.terminal import console
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import shown
from rerankd.store.budgets import BudgetRepo, spent
from rerankd.store.keys import KeyRepo
from rerankd.store.prices import now_us
from rerankd.store.teams import TeamRepo

Key = Annotated[str | None, Parameter(help="Of this key, by name or public id.")]
Team = Annotated[str | None, Parameter(help="Of this team.")]
All = Annotated[
    bool, Parameter(name="--all", negative=(), help="Of the server: all keys together.")
]
_NAMES: Final = {"key": "key_id", "team": "team_id"}


def listed(
    *,
    key: Key = None,
    team: Team = None,
    everybody: All = False,
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """List budgets and prepaid balances, with what the ledger has spent of them in this window.

    Requests that a running server has not brought into the store yet, a second's worth, are not in
    it.
    """
    with opened(store, config) as found:
        owner = _owner(found, key, team, everybody=everybody) if key or team or everybody else None
        with found.database.read() as connection:
            budgets = [
                each
                for each in BudgetRepo(found.database).active(connection)
                if owner in (None, each.owner)
            ]
            sums = spent(connection, budgets, now_us())
        names = _names(found, budgets)
        currency = found.settings.store.currency
    if json:
        print_json([_plain(each, sums[each.ref][1], currency) for each in budgets])
        return
    out = table("id", "of", "budget", "spent", "left", "window")
    for each in budgets:
        used = sums[each.ref][1]
        out.add_row(
            "" if each.is_prepaid else str(each.ref.id),
            names[each.owner],
            amount_of(each, each.amount, currency),
            amount_of(each, used, currency),
            amount_of(each, each.amount - used, currency),
            "prepaid" if each.is_prepaid else f"{each.window}, {each.tz}",
        )
    console().print(out)


def assigned(  # noqa: PLR0913 - one for each flag
    budget: str,
    /,
    *,
    key: Key = None,
    team: Team = None,
    everybody: All = False,
    tz: str = "UTC",
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Give a key, a team or all together a budget; one in its unit and window gets this amount.

    Parameters
    ----------
    budget
        As "20 USD/month", "1000 requests/day", "5000000 tokens/hour", "100 searches"; windows are
        minute, hour, day, month and total.
    tz
        Time zone in which days and months begin, as Europe/Berlin.
    """
    with opened(store, config) as found:
        wanted = budget_of(budget, found.settings.store.currency, tz=tz)
        owner = _owner(found, key, team, everybody=everybody)
        row = BudgetRepo(found.database).set(owner, wanted)
    if json:
        print_json(row)
    else:
        say(f"Budget {row.id}: {budget}, {tz}. Running servers know it within 2 s.")


def end(id: int, /, *, json: Json = False, store: Store = None, config: Config = None) -> None:
    """End a budget: nobody is refused by it any more.

    Parameters
    ----------
    id
        As `rerankd budgets list` shows it.
    """
    with opened(store, config) as found:
        row = BudgetRepo(found.database).end(id)
    if json:
        print_json(row)
    else:
        say(f"Budget {row.id} has ended.")


def top_up(  # noqa: PLR0913 - one for each flag
    amount: str,
    /,
    *,
    key: Key = None,
    team: Team = None,
    id: str | None = None,
    note: str = "",
    json: Json = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Pay money in: with the first payment the key or team has a balance and can spend no more.

    Parameters
    ----------
    amount
        As 20 or 0.50, in the currency of the store.
    id
        Of the payment: the same again is paid in once.

    Note:
        For your own books.
    """
    with opened(store, config) as found:
        owner = _owner(found, key, team, everybody=False)
        nano = amount_nano(amount, "amount")
        repo = BudgetRepo(found.database)
        row = repo.top_up(owner, nano, by="rerankd budgets top-up", note=note, idem=id)
        with found.database.read() as connection:
            paid_in = repo.paid_in(connection, owner)
            (balance,) = [each for each in repo.active(connection) if each.ref.prepaid == owner]
            used = spent(connection, [balance], now_us())[balance.ref][1]
        currency = found.settings.store.currency
    if json:
        values: dict[str, Any] = msgspec.structs.asdict(row)
        print_json(values | {"paid_in": shown(paid_in), "balance": shown(paid_in - used)})
    else:
        say(f"Payment {row.id}; the balance is {shown(paid_in - used)} {currency}.")


def _owner(found: Opened, key: str | None, team: str | None, *, everybody: bool) -> Owner:
    """Raises InvalidRequest, NotFound."""
    if (key is not None) + (team is not None) + everybody != 1:
        raise InvalidRequest("Say whose: one of --key, --team and --all.", param="key")
    if key is not None:
        return Owner("key", KeyRepo(found.database).get(key).id)
    if team is not None:
        return Owner("team", TeamRepo(found.database).get(team).id)
    return EVERYBODY


def _names(found: Opened, budgets: Sequence[Budget]) -> dict[Owner, str]:
    """How owners are called."""
    keys, teams = KeyRepo(found.database), TeamRepo(found.database)
    names: dict[Owner, str] = {EVERYBODY: "all"}
    for owner in {each.owner for each in budgets} - {EVERYBODY}:
        repo = keys if owner.kind == "key" else teams
        names[owner] = f"{owner.kind} {repo.get(owner.id).name}"
    return names


def _plain(budget: Budget, used: int, currency: str) -> dict[str, object]:
    """As JSON: amounts of money are decimal texts."""
    is_money = budget.unit == "money"
    amounts = {"amount": budget.amount, "spent": used, "left": budget.amount - used}
    return {
        "id": None if budget.is_prepaid else budget.ref.id,
        **{
            name: budget.owner.id if budget.owner.kind == kind else None
            for kind, name in _NAMES.items()
        },
        "unit": budget.unit,
        **{name: shown(value) if is_money else str(value) for name, value in amounts.items()},
        "currency": currency if is_money else None,
        "window": "prepaid" if budget.is_prepaid else budget.window,
        "tz": budget.tz,
    }
