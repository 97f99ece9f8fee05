"""Counts that several servers share: as exact as in one, whoever comes, goes or is away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from rerankd.access.keys import Key, Team
from rerankd.access.rates import Charge, InFlight
from rerankd.access.shared_rates import SharedRates, WhenAway
from rerankd.core.errors import Overloaded, RateLimited, StartError
from rerankd.store import servers
from rerankd.store.database import Database, open_database
from rerankd.store.shared import SharedCounts
from rerankd.store.tables import limit_inside, limit_used, server
from tests.kit.live import not_at_midnight

DAY_S = 86_400


@dataclass
class Node:
    """One server of several."""

    counts: SharedCounts
    rates: SharedRates

    async def begin(self, key: Key) -> InFlight:
        place = self.rates.in_flight(key)
        try:
            await place.enter()
        except BaseException:
            place.leave()
            raise
        return place


@contextlib.asynccontextmanager
async def nodes(
    url: str, count: int = 2, *, when_away: WhenAway = "refuse", wait_s: float = 60
) -> AsyncGenerator[Sequence[Node]]:
    """So many servers on one store."""
    not_at_midnight()
    found: list[Node] = []
    databases = [open_database(url) for _ in range(count)]
    try:
        for n, database in enumerate(databases):
            counts = SharedCounts(database, f"server-{n}", wait_s=wait_s)
            found.append(Node(counts, SharedRates(counts, when_away=when_away)))
            counts.start(asyncio.get_running_loop().call_soon_threadsafe)
        yield found
    finally:
        for node in found:
            await asyncio.to_thread(node.counts.close)
        for database in databases:
            database.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for it, however slow the machine."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def stored(
    number: int = 1,
    *,
    team: Team | None = None,
    rpm: int | None = None,
    rpd: int | None = None,
    tpd: int | None = None,
    in_flight: int | None = None,
) -> Key:
    """A key of the store."""
    return Key(
        name=f"k{number}",
        digest=bytes([number]) * 32,
        id=number,
        team=team,
        rpm=rpm,
        rpd=rpd,
        tpd=tpd,
        in_flight=in_flight,
    )


async def outcomes(takings: Sequence[Awaitable[object]]) -> list[str]:
    """What became of takings that are all under way at once."""
    found = await asyncio.gather(*takings, return_exceptions=True)
    return [f.limit if isinstance(f, RateLimited) else type(f).__name__ for f in found]


@pytest.mark.parametrize("limit", ["rpm", "rpd"])
async def test_all_servers_together_let_exactly_the_limit_through(
    database: Database, store_url: str, limit: str
) -> None:
    key = stored(rpm=57) if limit == "rpm" else stored(rpd=57)
    begun = time.monotonic()
    async with nodes(store_url, 3) as all_nodes:
        found = await outcomes([node.begin(key) for _ in range(40) for node in all_nodes])
        refilled = (time.monotonic() - begun) * 57 / 60 if limit == "rpm" else 0
        assert 57 <= found.count("InFlight") <= 57 + refilled
        assert found.count(limit.upper()) == 120 - found.count("InFlight")
        assert sum(node.counts.transactions for node in all_nodes) < 60  # together, not each
        left = [n.rates.headers(key)["x-ratelimit-remaining-requests"] for n in all_nodes]
        assert min(map(int, left)) <= refilled
    with database.read() as connection:
        assert connection.execute(sa.select(server)).all() == []  # they said that they ended


async def test_limits_of_a_team_hold_for_its_keys_on_all_servers(
    database: Database, store_url: str
) -> None:
    del database
    team = Team(id=9, name="t", rpd=20)
    first, second = stored(1, team=team, rpd=15), stored(2, team=team)
    async with nodes(store_url) as (a, b):
        found = await outcomes(
            [n.begin(k) for _ in range(15) for n in (a, b) for k in (first, second)]
        )
        assert found.count("InFlight") == 20
        left = [n.rates.headers(second)["x-ratelimit-remaining-requests"] for n in (a, b)]
        assert "0" in left


async def test_tokens_are_taken_swapped_settled_and_given_back_together(
    database: Database, store_url: str
) -> None:
    del database
    key = stored(tpd=1000)
    async with nodes(store_url) as (a, b):
        one, other = a.rates.charge(key), b.rates.charge(key)
        await one.add(600)
        with pytest.raises(RateLimited, match="TPD"):
            await other.add(600)
        one.settle(300)
        await until_taken(other, 600)
        await one.add(100)  # 400 in place of 300
        with pytest.raises(RateLimited, match="TPD"):
            await one.add(1)
        assert one.tokens == 0  # nothing is charged any more
        await until_taken(one, 400)
        other.give_back()
        await until_taken(one, 600)
        assert b.rates.headers(key)["x-ratelimit-remaining-tokens"] in {"0", "600", "1000"}


async def until_taken(charge: Charge, tokens: int) -> None:
    """Charge it as soon as there is room: what was given back is told a moment later."""
    end = time.monotonic() + 60
    while True:
        try:
            await charge.add(tokens)
        except RateLimited:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        else:
            return


async def test_so_many_at_once_over_all_servers_and_those_of_a_killed_one_are_free_again(
    database: Database, store_url: str
) -> None:
    key = stored(in_flight=3)
    async with nodes(store_url) as (a, b):
        places = [await a.begin(key), await b.begin(key), await b.begin(key)]
        for node in (a, b):
            assert await outcomes([node.begin(key)]) == ["in_flight"]
        places[0].leave()
        places[0].leave()  # without effect
        await until(lambda: a.counts.steps >= 3)
        places[0] = await a.begin(key)
        killed = b.counts.id
        with database.write() as connection:  # as if it had said nothing for long
            gone = {"seen_us": server.c.seen_us - 2 * servers.GONE_US}
            connection.execute(sa.update(server).where(server.c.id == killed).values(gone))
        assert await outcomes([a.begin(key)]) == ["InFlight"]
        await until(lambda: seen_again(database, killed))  # it was only slow
        assert await outcomes([a.begin(key)]) == ["in_flight"]


def seen_again(database: Database, server_id: str) -> bool:
    with database.read() as connection:
        there = servers.is_there(servers.clock_us(connection))
        found = connection.execute(sa.select(server.c.id).where(server.c.id == server_id, there))
        return found.first() is not None


async def test_a_refused_or_cancelled_request_holds_nothing(
    database: Database, store_url: str
) -> None:
    key = stored(in_flight=2, rpd=3, tpd=10)
    async with nodes(store_url) as (a, b):
        for _ in range(3):
            (await a.begin(key)).leave()
        assert await outcomes([b.begin(key)] * 1) == ["RPD"]
        waiting = asyncio.create_task(b.rates.charge(key).add(10))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until_taken(a.rates.charge(key), 10)

    with database.read() as connection:
        held = connection.execute(sa.select(sa.func.sum(limit_inside.c.running))).scalar()
    assert not held


async def test_what_is_used_outlives_the_servers_and_an_edit(
    database: Database, store_url: str
) -> None:
    del database
    async with nodes(store_url, 1) as (a,):
        await outcomes([a.begin(stored(rpd=5)) for _ in range(4)])
    async with nodes(store_url, 1) as (a,):
        assert await outcomes([a.begin(stored(rpd=6)) for _ in range(3)]) == ["InFlight"] * 2 + [
            "RPD"
        ]
        with pytest.raises(RateLimited) as refused:
            await a.begin(stored(rpd=3))
        assert 0 < refused.value.retry_after_s <= DAY_S


async def test_clocks_of_servers_may_differ(
    database: Database, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minute and the day are the database's."""
    if database.dialect == "sqlite":  # a file is of one machine, whose clock all have
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now)
    key = stored(rpd=10)
    async with nodes(store_url) as (a, b):
        await a.begin(key)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 40 * DAY_S)
        found = await outcomes([node.begin(key) for _ in range(10) for node in (a, b)])
        assert found.count("InFlight") == 9
        assert b.rates.headers(key)["x-ratelimit-remaining-requests"] == "0"


def test_servers_that_count_otherwise_are_not_run_beside_those_that_share(
    database: Database,
) -> None:
    assert not servers.check_others(database, "a", shared=True)
    with database.write() as connection:
        servers.said_there(database, connection, "b")
    assert not servers.check_others(database, "b", shared=False)  # itself
    assert servers.check_others(database, "a", shared=True)
    with pytest.raises(StartError, match="Set it to true here as well"):
        servers.check_others(database, "a", shared=False)
    with database.write() as connection:
        connection.execute(sa.update(server).values(protocol=servers.PROTOCOL + 1))
    with pytest.raises(StartError, match="of another version of rerankd"):
        servers.check_others(database, "a", shared=True)
    with database.write() as connection:
        servers.said_gone(connection, "b")
    assert not servers.check_others(database, "a", shared=False)


def test_what_is_old_is_removed(database: Database) -> None:
    with database.write() as connection:
        for name in ("there", "gone"):
            servers.said_there(database, connection, name)
            held = {"holder": b"k", "server": name, "running": 1}
            connection.execute(sa.insert(limit_inside).values(held))
            used = {"holder": name.encode(), "name": "RPD", "used": 1.0}
            ago_us = 3 * DAY_S * 1_000_000 if name == "gone" else 0
            at_us = servers.clock_us(connection) - ago_us
            connection.execute(sa.insert(limit_used).values(used | {"at_us": at_us}))
            seen = sa.update(server).where(server.c.id == name)
            connection.execute(seen.values(seen_us=server.c.seen_us - ago_us))
        servers.removed_old(connection)
        for column in (server.c.id, limit_inside.c.server):
            assert connection.execute(sa.select(column)).scalars().all() == ["there"]
        assert connection.execute(sa.select(limit_used.c.holder)).scalars().all() == [b"there"]


async def test_a_clock_that_is_set_back_stops_no_key_for_long(
    database: Database, store_url: str
) -> None:
    key = stored(rpm=6000, rpd=10)
    async with nodes(store_url, 1) as (a,):
        await a.begin(key)
        with database.write() as connection:
            later = {"at_us": limit_used.c.at_us + 30 * 1_000_000 * DAY_S}
            connection.execute(sa.update(limit_used).values(later))
        assert await outcomes([a.begin(key)]) == ["InFlight"]
        found = connection_at(database)
        assert all(abs(at_us / 1_000_000 - time.time()) < DAY_S for at_us in found)


def connection_at(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(sa.select(limit_used.c.at_us)).scalars())


@contextlib.contextmanager
def away(database: Database) -> Generator[None]:
    """The tables cannot be used: another one has locked them."""
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.text("lock table limit_used in access exclusive mode"))
        yield


async def test_while_the_store_is_away_limits_refuse_and_others_are_served(
    database: Database, store_url: str
) -> None:
    async with nodes(store_url, 1, wait_s=1) as (a,):
        await a.begin(stored(rpd=5, in_flight=2))
        with away(database):
            found = await asyncio.gather(
                *(a.begin(stored(rpd=5, in_flight=2)) for _ in range(3)), return_exceptions=True
            )
            assert [type(f) for f in found] == [Overloaded] * 3
            assert a.counts.is_away
            begun = time.monotonic()
            with pytest.raises(Overloaded):  # nobody waits for it again
                await a.rates.charge(stored(tpd=5)).add(1)
            assert time.monotonic() - begun < 1
            await a.begin(stored(2))  # has no limit
        await until(lambda: not a.counts.is_away)
        assert await outcomes([a.begin(stored(rpd=5, in_flight=2))]) == ["InFlight"]


async def test_while_the_store_is_away_each_server_may_count_its_part(
    database: Database, store_url: str
) -> None:
    key = stored(rpd=20, in_flight=100, tpd=40)
    async with nodes(store_url, 2, when_away="alone") as (a, b):
        await until(lambda: a.counts.servers == 2)
        await outcomes([b.begin(key) for _ in range(2)])
        await a.begin(key)  # 3 of 20 are used: 8 of its 10 are left here, and a half
        with away(database):
            found = await outcomes([a.begin(key) for _ in range(12)])
            assert found == ["InFlight"] * 8 + ["RPD"] * 4
            charge = a.rates.charge(key)
            await charge.add(20)
            with pytest.raises(RateLimited, match="TPD"):
                await a.rates.charge(key).add(1)
            charge.give_back()
            assert a.counts.alone == 14
        await until(lambda: not a.counts.is_away)
        await until_taken(a.rates.charge(key), 40)  # nothing of it was counted for all
