"""Budgets that servers share: never above the amount, never refused while anything is left."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from rerankd.accounts.account import Account
from rerankd.accounts.budget import EVERYBODY, NONE, Amounts, Budget, BudgetMeter, Ref, WindowCount
from rerankd.accounts.shared_budgets import (
    Adjust,
    BudgetStep,
    HeldPart,
    Hold,
    Holding,
    Spend,
    spot_of,
)
from rerankd.accounts.window import span
from rerankd.accounts.written import WrittenBudget
from rerankd.core.errors import Overloaded, QuotaExceeded
from rerankd.settings.schema_accounts import StoreSettings
from rerankd.store.accounts import AccountStore, open_store
from rerankd.store.budget_counts import BudgetCounts
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import Database, HeldConnection
from rerankd.store.journal import Journal
from rerankd.store.prices import now_us
from rerankd.store.rows import UsageRow
from rerankd.store.servers import GONE_US, said_gone, said_there
from rerankd.store.tables import budget_count, budget_part, server, usage
from rerankd.store.transfer import drain

OWNERS = (EVERYBODY,)


def budgeted(database: Database, amount: int, unit: str = "tokens") -> None:
    """Everybody together has so much in all."""
    wanted = WrittenBudget(unit=unit, amount=amount, window="total", tz="UTC")  # pyright: ignore[reportArgumentType]
    BudgetRepo(database).set(EVERYBODY, wanted)


@contextlib.asynccontextmanager
async def stores(url: str, folder: Path, count: int = 2) -> AsyncGenerator[Sequence[AccountStore]]:
    """What so many servers hold of one store."""
    found: list[AccountStore] = []
    deliver = asyncio.get_running_loop().call_soon_threadsafe
    for n in range(count):
        store = open_store(StoreSettings(url=url, journal=str(folder / str(n)), shared=True))
        assert store.shared is not None
        store.shared._wait_s = 60  # pyright: ignore[reportPrivateUsage] - slow machines
        found.append(store)
        await asyncio.to_thread(store.start)
        store.follow(deliver)
    try:
        yield found
    finally:
        for store in found:
            await asyncio.to_thread(store.close)


async def held(store: AccountStore, tokens: int) -> Account:
    """A request that has counted its tokens."""
    account = store.books.open(OWNERS, now_us())
    try:
        await account.begin("m", "m", [1])
        await account.hold("m", tokens)
    except BaseException:
        account.give_back()
        raise
    return account


def answered(store: AccountStore, account: Account, tokens: int) -> None:
    """It was answered: its line is in the journal."""
    account.settle("m", tokens)
    row = UsageRow(
        request_id="r",
        at_us=account.at_us,
        done_us=account.at_us,
        status=200,
        input_tokens=tokens,
        held=account.held_parts(),
    )
    account.spend(store.ledger.append(row))


async def request(store: AccountStore, tokens: int) -> None:
    """A request from beginning to end."""
    account = await held(store, tokens)
    await asyncio.sleep(0)
    answered(store, account, tokens)


async def test_all_servers_together_spend_exactly_the_budget(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    budgeted(database, 570)
    async with stores(store_url, tmp_path, 3) as all_stores:
        requests = [request(store, 10) for _ in range(30) for store in all_stores]
        found = await asyncio.gather(*requests, return_exceptions=True)
        assert {type(each) for each in found} == {type(None), QuotaExceeded}
        # One that held its room while another was refused may have been answered for all of it.
        assert found.count(None) <= 57
        while found.count(None) < 57:  # what is left is for whoever comes
            await request(all_stores[0], 10)
            found.append(None)
        for store in all_stores:
            with pytest.raises(QuotaExceeded):
                await request(store, 1)
    with database.read() as connection:
        asked = sa.select(sa.func.count(), sa.func.sum(usage.c.input_tokens))
        assert connection.execute(asked).one() == (57, 570)
        assert connection.execute(sa.select(budget_count.c.spent)).scalars().all() == [570]
        assert not connection.execute(
            sa.select(budget_part).where(budget_part.c.spent != budget_part.c.drained)
        ).all()


async def test_what_one_server_holds_another_cannot_and_what_is_given_back_it_can(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    budgeted(database, 100)
    async with stores(store_url, tmp_path) as (a, b):
        account = await held(a, 90)
        with pytest.raises(QuotaExceeded, match="no room"):
            await held(b, 11)
        cancelled = asyncio.create_task(held(a, 10))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        answered(a, account, 60)  # less than was held
        await until_held(b, 40)
        ((_, state),) = b.books.budgets.states(EVERYBODY, now_us())
        assert (state.spent, state.reserved) == (60, 40)


async def until_held(store: AccountStore, tokens: int) -> Account:
    """A request, as soon as there is room: what was given back is told a moment later."""
    end = time.monotonic() + 60
    while True:
        try:
            return await held(store, tokens)
        except QuotaExceeded:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


async def test_a_server_that_starts_knows_what_others_spent_and_hold(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    budgeted(database, 100)
    async with stores(store_url, tmp_path, 1) as (a,):
        await request(a, 30)
        account = await held(a, 50)
        async with stores(store_url, tmp_path / "later", 1) as (b,):
            with pytest.raises(QuotaExceeded):
                await held(b, 21)
            (await held(b, 20)).give_back()
            account.give_back()
            await until_held(b, 70)


async def test_while_the_store_is_away_nobody_spends(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    budgeted(database, 100)
    async with stores(store_url, tmp_path, 1) as (a,):
        account = await held(a, 60)
        assert a.shared is not None
        a.shared._wait_s = 1  # pyright: ignore[reportPrivateUsage]
        with database.write() as connection:
            if database.dialect == "postgresql":
                connection.execute(sa.text("lock table budget_count in access exclusive mode"))
            with pytest.raises(Overloaded):
                await held(a, 1)
            answered(a, account, 50)  # it was held before
        a.shared._wait_s = 60  # pyright: ignore[reportPrivateUsage]
        while a.shared.is_away:
            await asyncio.sleep(0.01)
        with pytest.raises(QuotaExceeded):
            await held(a, 51)
        await until_held(a, 50)


class Process:
    """A server as far as its budgets go: steps, a journal, and its drain, each when it is told."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.journal = Journal(folder, limit_bytes=1 << 30)
        self.database = database
        self.connection = HeldConnection(database)
        self.counts = BudgetCounts(database, self.connection, self.journal.run)
        self.holdings: list[Holding] = []
        self.lines: list[int] = []  # amounts that are in the journal, and no rows yet
        with database.write() as connection:
            said_there(database, connection, self.journal.run)

    def do(self, steps: Sequence[BudgetStep], *, fails: bool = False) -> list[bool]:
        """Do steps; whether each was refused."""
        while True:
            self.counts.prepare(steps)
            done = None
            with contextlib.suppress(ZeroDivisionError), self.connection.write() as connection:
                done = self.counts.settle(connection, steps)
                if fails:
                    raise ZeroDivisionError
            if fails:
                self.counts.not_settled(steps)
                return [True for _ in steps]
            if done is not None:
                self.counts.settled(done)
                return [each is not None for each in done.taken.refused]

    def append(self, holding: Holding) -> int:
        """The line of a request that was answered."""
        meter, count = holding.held[0]
        amount = holding.amounts[meter.place]
        spot = spot_of(meter.budget.ref, count.span.start_us)
        row = UsageRow(
            request_id="r",
            at_us=now_us(),
            done_us=0,
            status=200,
            input_tokens=amount,
            held=(HeldPart(*spot, amount),),
        )
        self.journal.append(row)
        self.lines.append(amount)
        return amount

    def drain(self) -> None:
        """Its lines become rows; by whoever does it."""
        for file in self.journal.files:
            while drain(self.database, file):
                pass
        self.lines.clear()


class Walk:
    """Things that happen to three servers, in any order; and what is left by then."""

    def __init__(self, database: Database, folder: Path, seed: int) -> None:
        self.database = database
        self.folder = folder
        self.chance = random.Random(seed)
        budget = Budget(ref=Ref(1), owner=EVERYBODY, unit="tokens", amount=1000, window="total")
        self.pair = (BudgetMeter(budget, 1), WindowCount(span("total", 0)))
        self.processes = [Process(database, folder / str(n)) for n in range(3)]
        self.dead: list[Process] = []
        self.spent = 0

    @property
    def left(self) -> int:
        held = sum(h.amounts.tokens for p in self.processes for h in p.holdings)
        return 1000 - self.spent - held

    def hold(self, process: Process) -> None:
        room, amount = self.left, self.chance.randrange(1, 60)
        wanted = self.chance.choice([amount, room, room + 1]) if 0 < room < 200 else amount
        holding = Holding((self.pair,))
        step = Hold(holding, Amounts(1, wanted))
        if self.chance.random() < 0.2:
            process.do([step], fails=True)
        elif process.do([step]) == [wanted > room]:
            if wanted <= room:
                process.holdings.append(holding)
        else:
            raise AssertionError((wanted, room))

    def spend(self, process: Process) -> None:
        if process.holdings:
            holding = process.holdings.pop()
            self.spent += process.append(holding)
            if self.chance.random() < 0.5:
                process.drain()
            process.do([Spend(holding)], fails=self.chance.random() < 0.3)

    def adjust(self, process: Process) -> None:
        if process.holdings:
            amount = self.chance.choice([0, self.chance.randrange(30)])
            amounts = Amounts(1, amount) if amount else NONE
            fails = self.chance.random() < 0.3
            process.do([Adjust(process.holdings[-1], amounts)], fails=fails)

    def drain(self, process: Process) -> None:
        process.drain()

    def kill(self, process: Process) -> None:
        process.do([Adjust(Holding((self.pair,)), NONE)])  # it had time to tell what it spent
        process.connection.close()
        self.processes.remove(process)
        self.dead.append(process)
        with self.database.write() as connection:
            if self.chance.random() < 0.5:
                said_gone(connection, process.journal.run)
            else:
                gone = {"seen_us": server.c.seen_us - 2 * GONE_US}
                ours = server.c.id == process.journal.run
                connection.execute(sa.update(server).where(ours).values(gone))
        self.processes.append(Process(self.database, self.folder / str(len(self.dead) + 3)))

    def adopt(self, _: Process) -> None:
        for each in self.dead:
            each.drain()

    def recount(self, process: Process) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(budget_count).values(counted_us=0))
        process.counts.keep_up(BudgetRepo(self.database))

    def step(self) -> None:
        often = [self.hold, self.hold, self.hold, self.spend, self.spend, self.adjust, self.drain]
        what = self.chance.choice([*often, self.drain, self.kill, self.adopt, self.recount])
        what(self.chance.choice(self.processes))

    def end(self) -> None:
        for each in (*self.processes, *self.dead):
            each.drain()
            each.connection.close()
            each.journal.close()


@pytest.mark.parametrize("seed", range(4))
def test_left_is_the_amount_less_what_is_spent_and_held_at_any_time(
    database: Database, tmp_path: Path, seed: int
) -> None:
    """Whatever is told late, drained early, done in vain, killed or summed again."""
    budgeted(database, 1000)
    walk = Walk(database, tmp_path, seed)
    for _ in range(150):
        walk.step()
    walk.end()
    with database.read() as connection:
        asked = sa.select(sa.func.sum(usage.c.input_tokens))
        assert (connection.execute(asked).scalar() or 0) == walk.spent
        counted = connection.execute(sa.select(budget_count.c.spent)).scalars().all()
        assert counted == [walk.spent]


def test_a_sum_that_is_wrong_is_made_again_and_a_window_that_is_over_goes(
    database: Database, tmp_path: Path
) -> None:
    budgeted(database, 1000)
    BudgetRepo(database).set(EVERYBODY, WrittenBudget(unit="requests", amount=5, window="day"))
    process = Process(database, tmp_path)
    with database.write() as connection:
        rows = [
            {"ref": "b1", "start_us": 0, "spent": 77, "counted_us": 0},
            {"ref": "b2", "start_us": 0, "spent": 3, "counted_us": 0},
            {"ref": "b9", "start_us": 0, "spent": 3, "counted_us": 0},
        ]
        connection.execute(sa.insert(budget_count), rows)
    process.counts.keep_up(BudgetRepo(database))
    with database.read() as connection:
        found = connection.execute(sa.select(budget_count.c.ref, budget_count.c.spent)).all()
    assert found == [("b1", 0)]
    process.connection.close()
    process.journal.close()
