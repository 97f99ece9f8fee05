"""A server with a store, prices and budgets: what it charges, refuses and remembers."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rerankd.accounts.budget import EVERYBODY
from rerankd.accounts.price import Price, Terms
from rerankd.accounts.written import budget_of
from rerankd.core.errors import StartError
from rerankd.gateway.webhook import WebhookEvent
from rerankd.store.budgets import BudgetRepo
from rerankd.store.database import open_database
from rerankd.store.migrate import migrate
from rerankd.store.prices import PriceRepo, now_us
from rerankd.store.tables import usage
from rerankd.web.alerts import teller
from rerankd.web.prices import written_prices
from tests.kit.processes import PATIENCE_S
from tests.kit.support import body, running, settings
from tests.store import recompute

KEY = "a-key-of-the-tests"
GOOD = {"authorization": f"Bearer {KEY}"}
MODEL = "fake-model"
# 2 tokens a pair and one for each byte: ["a", "bbb"] is 8 tokens; 8 * 10 nano
PRICES = [{"model": MODEL, "per_1m_input_tokens": "0.01", "minimum": "0.00000003"}]
PAID = 80


def stored(url: str, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {
        "store": {"url": url, "journal": str(tmp_path / "journal")},
        "keys": [{"name": "search", "key": KEY}],
        "price": PRICES,
    } | more


def prepared(url: str, *budgets: str) -> None:
    """Make a store with budgets of all."""
    database = open_database(url)
    migrate(database)
    for each in budgets:
        BudgetRepo(database).set(EVERYBODY, budget_of(each, "USD"))
    database.close()


def charges(url: str) -> list[tuple[int, int, int | None]]:
    database = open_database(url)
    with database.read() as connection:
        asked = sa.select(usage.c.status, usage.c.charge_nano, usage.c.price_id)
        found = connection.execute(asked.order_by(usage.c.at_us)).all()
    database.close()
    return [(row.status, row.charge_nano, row.price_id) for row in found]


async def test_a_request_is_charged_by_the_settings_and_remembered(
    store_url: str, tmp_path: Path
) -> None:
    prepared(store_url, "0.0000002 USD")
    for left in ([200, 200, 402], [402]):  # the second is another server on the same store
        async with running(stored(store_url, tmp_path)) as (client, state):
            for status in left:
                answer = await client.post("/v1/rerank", json=body("q", ["a", "bbb"]), headers=GOOD)
                assert answer.status_code == status, answer.text
                assert (answer.headers.get("x-rerankd-reason") == "quota") == (status == 402)
                # of all: nobody's business
                assert "x-rerankd-budget-remaining" not in answer.headers
            assert state.accounts is not None
            ((_, budget),) = state.accounts.books.budgets.states(EVERYBODY, now_us())
            assert (budget.spent, budget.reserved) == (2 * PAID, 0)
    assert charges(store_url) == [(200, PAID, 1), (200, PAID, 1), (402, 0, None), (402, 0, None)]


async def test_who_leaves_while_the_disk_is_waited_for_is_charged_in_memory_too(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(store_url, "0.0000002 USD")
    values = stored(store_url, tmp_path)
    values["store"] |= {"durability": "power"}
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        begun.set()
        go_on.wait(PATIENCE_S)

    monkeypatch.setattr("rerankd.store.journal.Journal.sync", slow)
    async with running(values) as (client, state):
        assert state.accounts is not None
        asked = client.post("/v1/rerank", json=body("q", ["a", "bbb"]), headers=GOOD)
        asking = asyncio.create_task(asked)
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        asking.cancel()
        await asyncio.wait([asking])
        go_on.set()
        ((_, budget),) = state.accounts.books.budgets.states(EVERYBODY, now_us())
        assert (budget.spent, budget.reserved) == (PAID, 0)
    assert charges(store_url) == [(200, PAID, 1)]


async def test_what_a_disk_does_not_sync_is_spent_as_its_row_says(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    prepared(store_url, "0.0000002 USD")
    values = stored(store_url, tmp_path)
    values["store"] |= {"durability": "power"}
    async with running(values) as (client, state):
        monkeypatch.setattr("rerankd.store.journal.os.fdatasync", broken)
        said = body("q", ["a", "bbb"])
        assert (await client.post("/v1/rerank", json=said, headers=GOOD)).status_code == 503
        monkeypatch.undo()
        assert state.accounts is not None
        ((_, budget),) = state.accounts.books.budgets.states(EVERYBODY, now_us())
        assert (budget.spent, budget.reserved) == (PAID, 0)
    assert charges(store_url) == [(200, PAID, 1)]


async def test_a_running_server_follows_prices_budgets_and_payments(
    store_url: str, tmp_path: Path
) -> None:
    values = stored(store_url, tmp_path)
    values["store"] |= {"poll_s": 0.05}
    async with running(values) as (client, state):
        assert state.accounts is not None

        async def ask() -> int:
            said = body("q", ["a", "bbb"])
            return (await client.post("/v1/rerank", json=said, headers=GOOD)).status_code

        assert await ask() == 200
        database = open_database(store_url)  # as another process
        repo = BudgetRepo(database)
        made = repo.set(EVERYBODY, budget_of("0.00000016 USD", "USD"))
        async with asyncio.timeout(PATIENCE_S):
            while not state.accounts.books.budgets.states(EVERYBODY, now_us()):
                await asyncio.sleep(0.01)
        assert [await ask(), await ask()] == [200, 402]  # what it spent before counts
        repo.edit(made.id, made.version, 3 * PAID)
        async with asyncio.timeout(PATIENCE_S):
            while (status := await ask()) == 402:
                await asyncio.sleep(0.01)
        assert [status, await ask()] == [200, 402]
        repo.end(made.id)
        async with asyncio.timeout(PATIENCE_S):
            while (status := await ask()) == 402:
                await asyncio.sleep(0.01)
        assert status == 200
        database.close()


async def test_the_operator_is_told_when_a_budget_is_nearly_spent(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(store_url, "5 requests")
    monkeypatch.setenv("SECRET", "whsec_" + "A" * 44)
    values = stored(store_url, tmp_path)
    values["alerts"] = {"url": "https://ops.example.org/hook", "secret_env": "SECRET"}
    async with running(values) as (client, state):
        assert state.webhook is not None
        sent: list[WebhookEvent] = []
        monkeypatch.setattr(state.webhook, "send", sent.append)
        assert state.accounts is not None
        state.accounts.books.budgets.tell = teller("USD", sent.append)
        for _ in range(6):
            await client.post("/v1/rerank", json=body("q", ["a"]), headers=GOOD)
    assert [(event.data["percent"], event.data["spent"]) for event in sent] == [
        (80, "4"),
        (100, "5"),
    ]
    assert sent[0].data["amount"] == "5"
    assert len({event.id for event in sent}) == 2


async def test_what_was_told_is_not_told_again_after_a_restart(
    store_url: str, tmp_path: Path
) -> None:
    prepared(store_url, "5 requests")
    sent: list[WebhookEvent] = []
    told: list[int] = []
    for requests in (3, 1, 0, 1, 1):  # each by another server on the same store; 6: one is refused
        async with running(stored(store_url, tmp_path)) as (client, state):
            assert state.accounts is not None
            state.accounts.books.budgets.tell = teller("USD", sent.append)
            for _ in range(requests):
                await client.post("/v1/rerank", json=body("q", ["a"]), headers=GOOD)
        told.append(len(sent))
    assert told == [0, 1, 1, 2, 2]
    assert [event.data["percent"] for event in sent] == [80, 100]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/rerank", 402), ("/siliconflow/v1/rerank", 403), ("/jina/v1/rerank", 403)],
)
async def test_a_refusal_speaks_the_callers_dialect(
    store_url: str, tmp_path: Path, path: str, status: int
) -> None:
    prepared(store_url, "0 requests")
    async with running(stored(store_url, tmp_path)) as (client, _):
        said = body("q", ["a"]) | {"model": MODEL}
        answer = await client.post(path, json=said, headers=GOOD)
    assert answer.status_code == status
    assert answer.headers["x-rerankd-reason"] == "quota"
    assert "retry-after" not in answer.headers
    assert re.search(r"no room for this request", answer.text)


async def test_64_callers_at_the_edge_of_a_budget_of_a_server(
    store_url: str, tmp_path: Path
) -> None:
    prepared(store_url, "0.0000010 USD", "1000 requests")
    async with running(stored(store_url, tmp_path)) as (client, state):

        async def ask() -> int:
            said = body("q", ["a", "bbb"])
            return (await client.post("/v1/rerank", json=said, headers=GOOD)).status_code

        statuses = await asyncio.gather(*(ask() for _ in range(64)))
        assert (statuses.count(200), statuses.count(402)) == (12, 52)  # 12 * 80 of 1000
        assert state.accounts is not None
        found = dict(state.accounts.books.budgets.states(EVERYBODY, now_us()))
        assert {b.unit: (s.spent, s.reserved) for b, s in found.items()} == {
            "money": (12 * PAID, 0),
            "requests": (12, 0),
        }
    assert sum(charge for _, charge, _ in charges(store_url)) == 12 * PAID


async def test_what_fails_and_what_is_wrong_costs_nothing(store_url: str, tmp_path: Path) -> None:
    prepared(store_url, "1 requests")
    async with running(stored(store_url, tmp_path)) as (client, _):
        wrong: list[dict[str, object]] = [{"query": "q", "documents": []}, {"query": 5}]
        for said in wrong:
            assert (await client.post("/v1/rerank", json=said, headers=GOOD)).status_code == 400
        answer = await client.post("/v1/rerank", json=body("q", ["a"]), headers=GOOD)
        assert answer.status_code == 200
    assert [charge for _, charge, _ in charges(store_url)] == [0, 0, 30]


async def test_a_name_that_nobody_serves_is_paid_as_who_stood_in_and_recomputes(
    store_url: str, tmp_path: Path
) -> None:
    prices = [*PRICES, {"model": "retired", "per_request": "0"}]  # how a price is ended
    values = stored(store_url, tmp_path, price=prices)
    async with running(values, aliases={"*": MODEL}) as (client, _):
        for name in ("retired", MODEL):
            asked = body("q", ["a", "bbb"]) | {"model": name}
            assert (await client.post("/v1/rerank", json=asked, headers=GOOD)).status_code == 200
    assert charges(store_url) == [(200, PAID, 1), (200, PAID, 1)]
    database = open_database(store_url)
    with database.read() as connection:
        rows = connection.execute(sa.text(recompute.ROWS)).all()
        found = recompute.bill(connection.execute(sa.text(recompute.PRICES)).all(), rows)
        stood_in = connection.execute(sa.select(usage.c.stood_in).order_by(usage.c.at_us))
        assert stood_in.scalars().all() == [1, 0]
    database.close()
    assert (found.charged, found.differing) == (2 * PAID, [])


async def test_a_price_that_was_changed_in_the_file_stops_the_start(
    store_url: str, tmp_path: Path
) -> None:
    async with running(stored(store_url, tmp_path)):
        pass
    changed = [PRICES[0] | {"minimum": "1"}]
    with pytest.raises(StartError, match=r"price\[0\]: fake-model has another price from"):
        async with running(stored(store_url, tmp_path, price=changed)):
            pass
    later = [*PRICES, changed[0] | {"from": "2100-01-01"}]
    async with running(stored(store_url, tmp_path, price=later)):
        pass
    database = open_database(store_url)
    assert len(PriceRepo(database, "USD").all()) == 2
    database.close()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"store": {}}, r"price\[0\]: .*\[store\] url"),
        ({"price": [*PRICES, *PRICES]}, r"price\[1\]: fake-model has the same start in price\[0\]"),
        ({"price": [PRICES[0] | {"currency": "EUR"}]}, r"price\[0\]\.currency: EUR is not USD"),
        ({"price": [PRICES[0] | {"minimum": "-1"}]}, r"price\[0\]\.minimum: '-1'"),
        ({"price": [{"model": MODEL}]}, r"price\[0\]\.per_1m_input_tokens: nothing is paid"),
        ({"price": [PRICES[0] | {"from": "soon"}]}, r"price\[0\]\.from: 'soon'"),
        ({"cost": [{"upstream": "u", "minimum": "1"}]}, r"cost\[0\]\.upstream: none is named 'u'"),
        ({"store": {"url": "sqlite:////x", "currency": "EU"}}, r"store\.currency: 'EU'"),
    ],
)
def test_what_is_wrong_with_prices_names_the_setting(values: dict[str, Any], said: str) -> None:
    good = {"store": {"url": "sqlite:////x"}, "price": PRICES}
    with pytest.raises(StartError, match=said):
        written_prices(settings(**(good | values)))


def test_what_upstreams_take_needs_no_store() -> None:
    upstream = {"dialect": "jina", "url": "http://127.0.0.1:9"}
    found = written_prices(
        settings(
            upstream={"u": upstream},
            cost=[{"upstream": "u", "per_1k_searches": "2", "search_documents": 50}],
        )
    )
    terms = Terms(per_1k_search=2_000_000_000, search_documents=50)
    assert found == (("cost[0]", Price(kind="cost", model="*", upstream="u", terms=terms)),)
