"""Usage, requests, upstreams, models, settings: pages have the numbers of the API."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rerankd.access.fields import KeyFields
from rerankd.store.rows import AttemptRow, UsageRow
from rerankd.store.tables import usage
from rerankd.web.console.visit import Visit
from tests.kit.administered import Administered, administered
from tests.web.console.browsing import Browser, text_of

EVIL = '"><script>alert(1)</script>'
DAY_US = 86_400_000_000


async def filled(server: Administered, *rows: UsageRow) -> None:
    """Rows in the ledger, as requests would have left them."""
    for row in rows:
        server.store.ledger.append(row)
    await server.store.ledger.synced()
    async with asyncio.timeout(60):
        while True:
            with server.store.database.read() as connection:
                if len(connection.execute(usage.select()).all()) >= len(rows):
                    return
            await asyncio.sleep(0.02)


def row(server: Administered, name: str, key: str, **values: object) -> UsageRow:
    at_us = time.time_ns() // 1000
    base = {
        "request_id": name,
        "at_us": at_us,
        "done_us": at_us + 5,
        "status": 200,
        "key_id": server.keys.get(key).id,
        "key_name": key,
        "model_answered": "m",
        "input_tokens": 1_000_000,
        "documents": 3,
        "charge_nano": 2_500_000_000,
        "cost_nano": 1_000_000_000,
    }
    return UsageRow(**{**base, **values})  # pyright: ignore[reportArgumentType] - any


async def rerank(server: Administered, by: str, **body: object) -> str:
    """The id of one request."""
    answer = await server.client.post(
        "/v1/rerank",
        json={"query": "q", "documents": ["a", "b"], **body},
        headers=server.headers(by),
    )
    return answer.headers["x-request-id"]


async def test_spend_is_told_apart_and_margin_is_charge_less_cost(server: Administered) -> None:
    old = {"at_us": time.time_ns() // 1000 - 3 * DAY_US, "model_answered": EVIL}
    await filled(server, row(server, "r1", "call"), row(server, "r2", "explain", **old))
    browser = await Browser.of(server)
    page = await browser.get("/ui/usage?by=key&measure=margin")
    said = text_of(page)
    assert "call 1 3 1 000 000" in said
    assert "2.5000 1.0000 1.5000" in said
    assert "All, USD 2 6" in said
    assert "5.0000 2.0000 3.0000" in said
    assert page.count("<rect") >= 2
    assert "<script>alert" not in await browser.get("/ui/usage?by=model")
    assert "All, USD 1 3" in text_of(await browser.get("/ui/usage?range=24+hours"))
    mine = server.keys.get("call").id
    assert "All, USD 1 3" in text_of(await browser.get(f"/ui/usage?api_key_id={mine}"))
    page = await browser.get("/ui/usage?range=dates&from=x&to=y", 400)
    assert "is no date" in page


async def test_the_export_is_the_same_file_as_the_api_gives(server: Administered) -> None:
    await filled(server, row(server, "r1", "call"), row(server, "r2", "explain"))
    browser = await Browser.of(server)
    page = await browser.get("/ui/usage?by=team")
    assert "curl -H" in page
    path = page.partition('href="/ui/usage/export?')[2].partition('"')[0].replace("&amp;", "&")
    there = await server.call("GET", f"/usage/export?{path}")
    here = await server.client.get(f"/ui/usage/export?{path}")
    assert here.content == there.content
    assert here.content.count(b"\n") == 3
    assert here.headers["content-disposition"] == there.headers["content-disposition"]


async def test_callers_see_what_is_theirs_and_what_is_left(server: Administered) -> None:
    await filled(server, row(server, "mine", "call"), row(server, "other", "explain"))
    form = {"unit": "money", "amount": "10", "window": "month", "tz": "UTC", "key": "call"}
    await server.good("POST", "/budgets", form)
    browser = await Browser.of(server, "call")
    async with asyncio.timeout(60):
        while "Budget of this key per month" not in (said := text_of(await browser.get("/ui"))):
            await asyncio.sleep(0.05)
    assert "7.50 USD 10.00 USD 25 %" in said
    assert "mine" in browser.page
    assert "other" not in browser.page
    assert "Cost" not in browser.page
    file = await server.client.get("/ui/own/export?start_time=0&format=jsonl")
    assert [json.loads(line)["request_id"] for line in file.text.splitlines()] == ["mine"]


async def test_one_request_in_its_parts(server: Administered) -> None:
    await server.good("POST", "/prices", {"model": "*", "per_1m_input_tokens": "2.5"})
    (price,) = (await server.good("GET", "/prices"))["data"]
    tries = (
        AttemptRow(target="u/m", upstream="u", status=503, error=EVIL, took_us=42_000),
        AttemptRow(target="v/m", upstream="v", status=200, took_us=91_000, cost_nano=1),
    )
    times = {"prepare_us": 1_000, "queue_us": 2_000, "upstream_us": 133_000, "total_us": 140_000}
    await filled(server, row(server, "r1", "call", tries=tries, price_id=price["id"], **times))
    browser = await Browser.of(server, "read")
    said = text_of(await browser.get("/ui/requests/r1"))
    assert "queue 2 ms 1.43 %" in said
    assert "upstream 133 ms 95 %" in said
    assert "input tokens 2.50 per 1 M 2.50" in said
    assert "Charged 2.50" in said
    assert "1 u 503" in said
    assert "<script>alert" not in browser.page
    await browser.get("/ui/requests/none", 404)


async def test_the_live_tail_has_what_ended_since(server: Administered) -> None:
    browser = await Browser.of(server)
    first = await rerank(server, "call")
    page = await browser.get("/ui/requests")
    assert first[:16] in page
    last = int(page.partition('data-last="')[2].partition('"')[0])
    await rerank(server, "call", model=EVIL)
    found = json.loads(await browser.get(f"/ui/requests/tail?after={last}"))
    assert found["last"] == last + 1
    assert found["rows"].count("<tr>") == 1
    assert "<script>" not in found["rows"]
    found = json.loads(await browser.get("/ui/requests/tail?after=0&status=answered"))
    assert found["rows"].count("<tr>") == 1
    assert "None yet that fits" in text_of(await browser.get("/ui/requests?text=nobody"))
    await browser.get("/ui/requests/tail?after=x", 400)


async def test_the_overview_names_ten_used_up_budgets_and_counts_the_others(
    server: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        server.keys.create(KeyFields(name=f"key-{n}"))
        form = {
            "unit": "requests",
            "amount": "1",
            "window": "total",
            "tz": "UTC",
            "key": f"key-{n}",
        }
        await server.good("POST", "/budgets", form)

    def by_id(budget: Mapping[str, Any]) -> float:
        return 0.8 + budget["id"] / 100

    monkeypatch.setattr("rerankd.web.console.overview.share", by_id)
    asked: list[str] = []
    ask = Visit.ask

    async def counted(visit: Visit, method: str, path: str, **more: Any) -> Any:
        asked.append(path)
        return await ask(visit, method, path, **more)

    monkeypatch.setattr(Visit, "ask", counted)
    said = text_of(await (await Browser.of(server)).get("/ui"))
    named = [n for n in range(12) if f"Key key-{n}: " in said]
    assert named == list(range(2, 12))
    assert "2 more budgets are nearly used up." in said
    assert len([path for path in asked if path.startswith("/keys/")]) == 10


async def test_overview_and_reliability_have_the_servers_figures(
    server: Administered,
) -> None:
    await rerank(server, "call")
    await rerank(server, "call", documents=[])
    browser = await Browser.of(server)
    said = text_of(await browser.get("/ui"))
    assert "2 in 5 min, 1 answered" in said
    assert "invalid_request 1" in said
    assert "fake-model" in said
    said = text_of(await browser.get("/ui/reliability"))
    assert "50 % of 2 in 5 min" in said
    assert "invalid_request 1 50 %" in said
    assert "overview" not in said
    form = {"unit": "requests", "amount": "1", "window": "total", "tz": "UTC", "key": "call"}
    await server.good("POST", "/budgets", form)
    async with asyncio.timeout(60):
        while "Needs attention" not in (said := text_of(await browser.get("/ui"))):
            await asyncio.sleep(0.05)
    assert "Key call: 100% of 1 requests in total is used." in said


async def test_models_and_routes_are_shown(server: Administered) -> None:
    browser = await Browser.of(server)
    said = text_of(await browser.get("/ui/models"))
    (model,) = (await server.good("GET", "/models"))["data"]
    assert f"{model['name']} ready default" in said
    assert model["space"] in said
    assert "There are none" in text_of(await browser.get("/ui/upstreams"))
    await browser.send("/ui/upstreams/none/test", {}, 404)


async def test_upstreams_are_shown_and_tried(store_url: str, tmp_path: Path) -> None:
    values = {
        "upstream": {"away": {"dialect": "cohere", "url": "http://127.0.0.1:1/v2"}},
        "route": {"smart": {"to": [{"upstream": "away", "name": EVIL}]}},
    }
    async with administered(store_url, tmp_path, values) as server:
        browser = await Browser.of(server)
        said = text_of(await browser.get("/ui/upstreams"))
        assert "away closed" in said
        assert "1 good" in said
        assert f"smart ({EVIL})" in said
        form = {"against": "fake-model"}
        await browser.send("/ui/upstreams/away/test", form, 200)
        said = text_of(browser.page)
        assert f"What came of testing away, model {EVIL}" in said
        assert "No query has scores of both." in said
        await browser.send("/ui/upstreams/away/test", {"against": EVIL}, 400)
        assert 'id="u1-against-said" class="problem"' in browser.page
        assert "<script>alert" not in browser.page
        for path in ("/ui", "/ui/models", "/ui/reliability"):
            assert "away" in await browser.get(path)


async def test_a_server_of_the_library_says_that_it_reads_no_settings(
    server: Administered,
) -> None:
    browser = await Browser.of(server)
    assert "Only `rerankd serve` reads settings" in await browser.get("/ui/config")
    await browser.send("/ui/config/reload", {}, 501)
