"""Prices, budgets and top-ups over HTTP; and what a caller sees of its own money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.kit.administered import Administered
from tests.kit.support import Json, body

SOON_S = 60.0


async def follow(server: Administered) -> None:
    """The books have what the store has."""
    for apply in await asyncio.to_thread(lambda: list(server.store.money.read(0))):
        apply()


async def drained(server: Administered) -> None:
    """The ledger has every line."""
    async with asyncio.timeout(SOON_S):
        while server.store.ledger.facts().backlog_bytes:
            await asyncio.sleep(0.02)


async def own(server: Administered, path: str, *, by: str = "call") -> Json:
    answer = await server.client.get(path, headers=server.headers(by))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rerank(server: Administered, by: str = "call") -> int:
    answer = await server.client.post("/v1/rerank", json=body(), headers=server.headers(by))
    return answer.status_code


async def test_prices_and_costs_are_added_and_listed(server: Administered) -> None:
    price = await server.good("POST", "/prices", {"model": "m", "per_1m_input_tokens": "0.10"})
    assert (price["kind"], price["per_1m_input_tokens"]) == ("price", "0.1")
    cost = {"upstream": "u", "model": "m", "per_1k_searches": "2", "from": "2030-01-01"}
    assert (await server.good("POST", "/costs", cost))["starts"] == "2030-01-01T00:00:00Z"
    assert [p["id"] for p in (await server.good("GET", "/prices?model=m"))["data"]] == [price["id"]]
    assert (await server.good("GET", "/prices?model=other"))["data"] == []
    assert len((await server.good("GET", "/costs?upstream=u"))["data"]) == 1


@pytest.mark.parametrize(
    ("path", "sent", "param"),
    [
        ("/prices", {"model": "m", "per_request": 0.1}, "per_request"),
        ("/prices", {"model": "m", "per_request": "1e3"}, "per_request"),
        ("/prices", {"model": "m"}, "per_1m_input_tokens"),
        ("/prices", {"model": "m", "per_request": "1", "currency": "EUR"}, "currency"),
        ("/prices", {"model": "m", "per_request": "1", "upstream": "u"}, "upstream"),
        ("/costs", {"model": "m", "per_request": "1"}, "upstream"),
        ("/budgets", {"unit": "money", "amount": 5, "window": "day"}, "amount"),
        ("/budgets", {"unit": "apples", "amount": "5"}, "unit"),
        ("/budgets", {"unit": "money", "amount": "5", "tz": "Moon/Base"}, "tz"),
        ("/budgets", {"unit": "money", "amount": "5", "key": "call", "team": "x"}, "team"),
        ("/budgets", {"unit": "money", "amount": "5", "key": 2**63}, "key"),
        ("/budgets", {"unit": "money", "amount": "5", "team": 0}, "team"),
        ("/prices", {"model": "m", "per_request": "1", "from": "9999-12-31T23:00-14:00"}, "from"),
        ("/budgets/keys/call/top-ups", {"amount": "0"}, "amount"),
        ("/budgets/keys/call/top-ups", {"amount": "-5"}, "amount"),
    ],
)
async def test_what_cannot_be_meant_of_money_is_refused(
    server: Administered, path: str, sent: Any, param: str
) -> None:
    answer = await server.call("POST", path, sent)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_budget_is_set_edited_spent_and_ended(server: Administered) -> None:
    made = await server.good("POST", "/budgets", {"key": "call", "unit": "requests", "amount": "2"})
    await follow(server)
    assert [await rerank(server) for _ in range(3)] == [200, 200, 402]
    shown = await server.good("GET", f"/budgets/{made['id']}")
    assert (shown["spent"], shown["reserved"], shown["left"]) == ("2", "0", "0")
    edit = {"amount": "5", "version": made["version"]}
    edited = await server.good("PATCH", f"/budgets/{made['id']}", edit)
    assert edited["amount"] == "5"
    again = await server.call("PATCH", f"/budgets/{made['id']}", edit)
    assert (again.status_code, again.json()["error"]["version"]) == (409, edited["version"])
    await follow(server)
    assert await rerank(server) == 200
    assert len((await server.good("GET", "/budgets?key=call"))["data"]) == 1
    assert (await server.good("GET", "/budgets?key=admin"))["data"] == []
    await server.good("DELETE", f"/budgets/{made['id']}")
    assert (await server.good("GET", "/budgets"))["data"] == []
    assert len((await server.good("GET", "/budgets?ended=true"))["data"]) == 1


async def test_an_id_that_is_too_long_is_nobodys(server: Administered) -> None:
    made = await server.good("POST", "/budgets", {"key": "call", "unit": "requests", "amount": "2"})
    long = f"{made['id']:016}0"
    for path in (f"/budgets/{long}", f"/budgets/keys/{long}/top-ups", f"/budgets?key={long}"):
        assert (await server.call("GET", path)).status_code == 404, path


async def test_a_balance_is_what_every_page_says(server: Administered) -> None:
    assert "balance" not in (await own(server, "/v1/user/info"))["data"]
    unlimited = await own(server, "/v1/dashboard/billing/subscription")
    assert unlimited["hard_limit_usd"] == 100_000_000
    assert (await own(server, "/api/usage/token/"))["data"]["unlimited_quota"] is True

    await server.good("POST", "/prices", {"model": "*", "per_request": "0.25"})
    await server.good("POST", "/budgets/keys/call/top-ups", {"amount": "1"}, idempotency_key="1")
    await server.good("POST", "/budgets/keys/call/top-ups", {"amount": "0.1"})
    paid = await server.good("GET", "/budgets/keys/call/top-ups")
    assert [(each["amount"], each["by"]) for each in paid["data"]] == [
        ("1", "admin"),
        ("0.1", "admin"),
    ]
    await follow(server)
    await asyncio.sleep(5.2)  # a price begins 5 s after it is added, here as anywhere
    assert [await rerank(server) for _ in range(5)] == [200, 200, 200, 200, 402]
    paid = await server.good("GET", "/budgets/keys/call/top-ups")
    assert paid["balance"] == {"amount": "1.1", "spent": "1", "reserved": "0", "left": "0.1"}
    assert (await server.good("GET", "/budgets/keys/admin/top-ups"))["balance"] is None

    for start in ("", "/siliconflow"):
        data = (await own(server, f"{start}/v1/user/info"))["data"]
        assert (data["balance"], data["chargeBalance"], data["totalBalance"]) == ("0", "0.1", "0.1")
    for start in ("/v1", ""):
        limit = await own(server, f"{start}/dashboard/billing/subscription")
        used = await own(server, f"{start}/dashboard/billing/usage?start_date=2026-01-01")
        assert limit["object"] == "billing_subscription"
        assert limit["hard_limit_usd"] == limit["soft_limit_usd"] == 1.1
        assert used == {"object": "list", "total_usage": 100}
    token = (await own(server, "/api/usage/token/"))["data"]
    assert (token["total_granted"], token["total_used"]) == (550_000, 500_000)
    assert (token["total_available"], token["unlimited_quota"]) == (50_000, False)
    other = await own(server, "/api/usage/token", by="read")
    assert other["data"]["unlimited_quota"] is True

    await drained(server)
    rows = (await own(server, "/v1/usage"))["data"]
    assert [row["status"] for row in rows] == [402, 200, 200, 200, 200]
    assert {row["charge"] for row in rows} == {"0", "0.25"}
    assert not {"cost", "upstream", "client_net", "key_id"} & set(rows[0])
    assert (await own(server, "/v1/usage", by="read"))["data"] == []
    summed = await own(server, "/v1/usage/summary?start_time=0")
    assert summed["object"] == "page"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/usage",
        "/v1/usage/summary?start_time=0",
        "/v1/usage/export",
        "/v1/dashboard/billing/subscription",
        "/dashboard/billing/usage",
        "/api/usage/token/",
        "/v1/user/info",
    ],
)
async def test_own_pages_need_a_good_key(server: Administered, path: str) -> None:
    for by, status in (("nobody", 401), ("wrong", 401), ("call", 200), ("file", 200)):
        answer = await server.client.get(path, headers=server.headers(by))
        assert answer.status_code == status
