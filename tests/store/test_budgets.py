"""Budgets, top-ups, and what the ledger has spent of them: to the last unit."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from rerankd.accounts.account import Books
from rerankd.accounts.budget import EVERYBODY, UNITS, Amounts, Budget, Budgets, Owner, Ref, Spending
from rerankd.accounts.window import WINDOWS, span
from rerankd.accounts.written import WrittenBudget, budget_of
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import NANO
from rerankd.store.budgets import BudgetRepo, spent
from rerankd.store.database import Database
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.journal import Journal
from rerankd.store.money import Money
from rerankd.store.rows import UsageRow
from rerankd.store.tables import api_key, team
from rerankd.store.transfer import drain

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = 20_789 * DAY + 13 * HOUR + 47 * 60_000_000 + 123
KEY, OTHER, TEAM = Owner("key", 1), Owner("key", 2), Owner("team", 1)
MONTHLY = budget_of("20 USD/month", "USD")


@pytest.fixture
def repo(database: Database) -> BudgetRepo:
    with database.write() as connection:
        connection.execute(sa.insert(team).values(id=1, name="web", created_us=0))
        for n in (1, 2):
            values = {"id": n, "public_id": f"p{n}", "name": f"k{n}", "role": "call"}
            connection.execute(sa.insert(api_key).values(**values, created_us=0))
    return BudgetRepo(database, clock=lambda: NOW)


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal]:
    opened = Journal(tmp_path / "journal", limit_bytes=1 << 30)
    yield opened
    opened.close()


def drain_all(database: Database, journal: Journal) -> None:
    while any(drain(database, file) for file in journal.files):
        pass


def test_a_budget_is_set_changed_and_ended(repo: BudgetRepo, database: Database) -> None:
    first = repo.set(KEY, MONTHLY)
    assert (first.key_id, first.team_id, first.amount, first.version) == (1, None, "20", 1)
    again = repo.set(KEY, budget_of("30.5 USD/month", "USD", tz="Europe/Berlin"))
    assert (again.id, again.amount, again.tz, again.version) == (
        first.id,
        "30.5",
        "Europe/Berlin",
        2,
    )
    assert repo.set(KEY, budget_of("30 USD/day", "USD")).id != first.id
    assert repo.set(EVERYBODY, budget_of("5 requests/day", "USD")).amount == "5"
    assert repo.set(TEAM, MONTHLY).team_id == 1
    assert [row.id for row in repo.list(owner=KEY)] == [1, 2]
    assert repo.edit(first.id, 2, 7).version == 3
    with pytest.raises(Conflict, match="version 3, not 2"):
        repo.edit(first.id, 2, 8)
    assert repo.end(first.id, 3).ended is not None
    with pytest.raises(Conflict, match="has ended"):
        repo.end(first.id)
    assert [row.id for row in repo.list(owner=KEY)] == [2]
    assert [row.id for row in repo.list(owner=KEY, ended=True, after=0, limit=1)] == [1]
    assert repo.set(KEY, MONTHLY).id == 5  # what has ended stays ended
    assert repo.get(1).ended is not None
    with database.read() as connection:
        assert {(b.owner, b.ref.id) for b in repo.active(connection)} == {
            (KEY, 2),
            (EVERYBODY, 3),
            (TEAM, 4),
            (KEY, 5),
        }


def test_who_is_not_there_has_no_budget(repo: BudgetRepo) -> None:
    for owner in (Owner("key", 9), Owner("team", 9)):
        with pytest.raises(NotFound):
            repo.set(owner, MONTHLY)
        with pytest.raises(NotFound):
            repo.top_up(owner, 1)
    with pytest.raises(NotFound):
        repo.get(9)
    with pytest.raises(NotFound):
        repo.end(9)
    with pytest.raises(NotFound):
        repo.edit(9, 1, 1)


def test_money_is_paid_in_once(repo: BudgetRepo, database: Database) -> None:
    first = repo.top_up(KEY, 5 * NANO, by="ann", note="cash", idem="a")
    assert (first.amount, first.by, first.note) == ("5", "ann", "cash")
    assert repo.top_up(KEY, 5 * NANO, idem="a").id == first.id
    for owner, amount in ((KEY, 6 * NANO), (OTHER, 5 * NANO), (TEAM, 5 * NANO)):
        with pytest.raises(Conflict, match="another payment"):
            repo.top_up(owner, amount, idem="a")
    repo.top_up(KEY, 1)
    repo.top_up(KEY, 1)
    repo.top_up(TEAM, 2)
    assert [row.amount for row in repo.top_ups(KEY, after=1, limit=1)] == ["0.000000001"]
    with database.read() as connection:
        assert repo.paid_in(connection, KEY) == 5 * NANO + 2
        prepaid = {b.owner: b for b in repo.active(connection)}
    assert {owner: b.amount for owner, b in prepaid.items()} == {KEY: 5 * NANO + 2, TEAM: 2}
    assert prepaid[KEY].is_prepaid
    for owner, amount in ((KEY, 0), (KEY, -1), (KEY, 10**18), (EVERYBODY, 1)):
        with pytest.raises(InvalidRequest):
            repo.top_up(owner, amount)


def rows(random: Random, count: int) -> list[UsageRow]:
    """Requests of the last 40 days, many of them at the edges of windows."""
    edges = [
        edge
        for window in WINDOWS
        for tz in ("UTC", "Asia/Kathmandu", "Europe/Berlin")
        for edge in span(window, NOW, tz)
        if edge
    ]
    return [
        UsageRow(
            request_id=str(n),
            at_us=random.choice([*edges, NOW - random.randrange(40 * DAY)])
            + random.choice([-1, 0, 1, 0]),
            done_us=NOW,
            status=random.choice([200, 200, 200, 429, 499, 500]),
            key_id=random.choice([1, 2, None]),
            team_id=random.choice([1, None]),
            input_tokens=random.randrange(1000),
            searches=random.randrange(5),
            charge_nano=random.randrange(10**12),
        )
        for n in range(count)
    ]


def everything() -> list[Budget]:
    """A budget for every owner, unit, window and some zones."""
    found: list[Budget] = []
    for owner in (KEY, OTHER, TEAM, EVERYBODY):
        for unit in UNITS:
            for window in WINDOWS:
                for tz in ("UTC", "Asia/Kathmandu", "Europe/Berlin"):
                    ref = Ref(1 + len(found))
                    found.append(
                        Budget(ref=ref, owner=owner, unit=unit, amount=1, window=window, tz=tz)
                    )
    return found


def amounts_of(row: UsageRow) -> Amounts:
    if row.status != 200:
        return Amounts()
    return Amounts(1, row.input_tokens or 0, row.searches, row.charge_nano)


def owners_of(row: UsageRow) -> tuple[Owner, ...]:
    key = () if row.key_id is None else (Owner("key", row.key_id),)
    team = () if row.team_id is None else (Owner("team", row.team_id),)
    return (*key, *team, EVERYBODY)


def test_the_ledger_says_what_is_spent_of_every_budget(
    repo: BudgetRepo, database: Database, journal: Journal
) -> None:
    made = rows(Random(1), 600)
    for row in made:
        journal.append(row)
    drain_all(database, journal)
    budgets = everything()
    with database.read() as connection:
        found = spent(connection, budgets, NOW)
    for each in budgets:
        window = span(each.window, NOW, each.tz)
        wanted = sum(
            amounts_of(row)[UNITS.index(each.unit)]
            for row in made
            if each.owner in owners_of(row) and window.has(row.at_us)
        )
        assert found[each.ref] == (window.start_us, wanted), each


class Server:
    """What a server holds, without a server."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self.journal = journal
        self.books = Books(Budgets(keep_us=HOUR))
        self.money = Money(database, journal, self.books, clock=lambda: NOW)

    def spend(self, row: UsageRow) -> None:
        line = self.journal.append(row)
        self.books.budgets.spend(Spending(line, owners_of(row), row.at_us, amounts_of(row)))

    def poll(self) -> None:
        for apply in self.money.read(0):
            apply()

    def spent(self) -> dict[Ref, int]:
        return {
            budget.ref: state.spent
            for owner in (KEY, OTHER, TEAM, EVERYBODY)
            for budget, state in self.books.budgets.states(owner, NOW)
        }


def test_a_budget_that_is_set_while_the_server_runs_counts_what_was_before(
    repo: BudgetRepo, database: Database, journal: Journal
) -> None:
    server, random = Server(database, journal), Random(2)
    server.money.load()
    made = [r for r in rows(random, 300) if r.at_us <= NOW]
    wanted = [WrittenBudget(unit=u, amount=10**17, window=w) for u in UNITS for w in WINDOWS]
    for n, row in enumerate(made):
        server.spend(row)
        if n % 7 == 0:
            drain(database, journal.files[-1])
        if n % 5 == 0 and wanted:
            repo.set(random.choice([KEY, TEAM, EVERYBODY]), wanted.pop())
            (apply,) = server.money.read(0)  # on another thread, while requests go on
            server.spend(made[0])
            drain_all(database, journal)
            server.spend(made[1])
            apply()
    assert not wanted
    drain_all(database, journal)
    server.poll()
    fresh = Server(database, journal)
    fresh.money.load()
    assert server.spent() == fresh.spent()
    assert any(server.spent().values())


def test_after_kill_9_what_is_left_is_the_budget_less_the_ledger(
    repo: BudgetRepo, database: Database, tmp_path: Path
) -> None:
    paid_in = 10**17
    repo.top_up(KEY, paid_in)
    repo.set(KEY, budget_of("1000000 tokens/month", "USD"))
    repo.set(EVERYBODY, budget_of("100000 requests/hour", "USD"))
    charged, journals = 0, list[Journal]()
    for life in range(4):
        journal = Journal(tmp_path / f"journal-{life}", limit_bytes=1 << 30)
        journals.append(journal)
        for dead in journals:  # as a server does before it opens its port
            drain_all(database, dead)
        server = Server(database, journal)
        server.money.load()
        balances = {b.ref: s.left for b, s in server.books.budgets.states(KEY, NOW)}
        assert balances[Ref(prepaid=KEY)] == paid_in - charged
        held = server.books.budgets.reserve((KEY, EVERYBODY), NOW)
        held.change(Amounts(1, 5, 1, 1000))  # on its way when the process dies: leaks nothing
        for row in rows(Random(life), 50):
            server.spend(row)
            charged += amounts_of(row).money if row.key_id == 1 else 0
            if row.request_id == "20":
                drain_all(database, journal)
    for journal in journals:
        journal.close()


def test_what_the_ledger_has_is_forgotten(
    repo: BudgetRepo, database: Database, journal: Journal
) -> None:
    server = Server(database, journal)
    server.money.load()
    for row in rows(Random(3), 1000):
        server.spend(row)
        drain_all(database, journal)
    assert server.books.budgets.undrained < 100
