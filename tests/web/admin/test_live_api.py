"""What the admin API says of now: the last requests, figures, models, where settings come from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rerankd.telemetry.recent import KEPT, Recent
from rerankd.web.admin.live import WINDOW_S
from tests.kit.administered import Administered, administered

BODY = {"query": "a", "documents": ["b", "c"]}


async def ranked(server: Administered, count: int = 1, **changes: object) -> None:
    for _ in range(count):
        await server.client.post("/v1/rerank", json=BODY | changes, headers=server.headers("call"))


async def test_the_last_requests_and_those_after(server: Administered) -> None:
    await ranked(server, 3)
    first = await server.good("GET", "/requests")
    assert [each["number"] for each in first["data"]] == [1, 2, 3]
    assert first["data"][0]["key_name"] == "call"
    assert first["data"][0]["documents"] == 2
    assert first["data"][0]["status"] == 200
    assert not {"query", "document"} & first["data"][0].keys()
    await ranked(server, 1, documents=[])
    later = await server.good("GET", f"/requests?after={first['last']}")
    assert [(each["number"], each["status"]) for each in later["data"]] == [(4, 400)]
    assert (await server.good("GET", "/requests?after=4"))["data"] == []
    newest = await server.good("GET", "/requests?limit=2")
    assert [each["number"] for each in newest["data"]] == [3, 4]


async def test_the_overview_adds_up(server: Administered) -> None:
    empty = await server.good("GET", "/overview")
    assert (empty["requests"], empty["latency_ms"]) == (0, None)
    await ranked(server, 4)
    await ranked(server, 1, documents=[])
    page = await server.good("GET", "/overview")
    assert (page["requests"], page["answered"]) == (5, 4)
    assert page["refused"] == {"invalid_request": 1}
    assert page["documents_per_s"] == pytest.approx(8 / WINDOW_S, abs=1e-3)
    assert 0 < page["latency_ms"]["p50"] <= page["latency_ms"]["p95"] <= page["latency_ms"]["p99"]
    assert len(page["hours"]) == 24
    assert page["hours"] == sorted(page["hours"], key=lambda hour: hour["start"])
    assert page["models"][0]["state"] == "ready"
    assert page["ledger"]["away_s"] == 0


async def test_todays_sums_are_those_of_the_ledger(server: Administered) -> None:
    await ranked(server, 4)
    server.store.ledger.close()  # brings what waits into the database
    page = await server.good("GET", "/overview")
    assert page["today"]["requests"] == 4
    assert page["today"]["documents"] == 8
    # an hour may have begun meanwhile
    assert sum(hour["requests"] for hour in page["hours"][-2:]) == 4
    assert all(hour["start"].endswith(":00:00+00:00") for hour in page["hours"])


async def test_models_and_their_other_names(server: Administered) -> None:
    found = await server.good("GET", "/models")
    assert found["data"][0]["name"] in (await server.good("GET", "/overview"))["models"][0]["name"]
    assert all(root in {m["name"] for m in found["data"]} for root in found["aliases"].values())
    assert found["data"][0]["floor"] is None


async def test_a_new_key_is_good_at_once_however_seldom_the_store_is_looked_at(
    store_url: str, tmp_path: Path
) -> None:
    seldom = {"store": {"url": store_url, "journal": str(tmp_path / "j"), "poll_s": 60}}
    async with administered(store_url, tmp_path, seldom) as server:
        made = await server.client.post(
            "/admin/v1/keys", json={"name": "new"}, headers=server.headers("admin")
        )
        new = {"authorization": f"Bearer {made.json()['key']}"}
        status = 401
        for _ in range(600):  # the watch is a thread: a moment
            status = (await server.client.post("/v1/rerank", json=BODY, headers=new)).status_code
            if status == 200:
                break
            await asyncio.sleep(0.05)
        assert status == 200


async def test_a_test_of_an_upstream_that_is_not_there(server: Administered) -> None:
    answer = await server.call("POST", "/upstreams/none/test", {})
    assert answer.status_code == 404


def test_only_so_many_requests_are_kept() -> None:
    recent = Recent(clock=lambda: 0.0)
    for _ in range(KEPT + 5):
        recent.add(None)  # pyright: ignore[reportArgumentType] - nothing looks at it
    kept = recent.after(0, KEPT * 2)
    assert [kept[0].number, kept[-1].number, len(kept)] == [6, KEPT + 5, KEPT]
    assert [each.number for each in recent.after(KEPT + 3, 10)] == [KEPT + 4, KEPT + 5]
    assert recent.after(KEPT + 5, 10) == []
    assert recent.after(10**9, 10) == []
