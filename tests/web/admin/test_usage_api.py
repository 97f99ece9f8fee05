"""Usage over HTTP: rows by cursor, sums in buckets, exports; of everybody, and of one's own key."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest

from rerankd.store.rows import AttemptRow, UsageRow
from rerankd.store.tables import usage
from rerankd.web.admin.asked import cursor_of
from tests.kit.administered import Administered, administered

HOUR_S = 3600
T0 = 1_800_000_000 // 86_400 * 86_400  # a midnight


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


def row(i: int, **values: object) -> UsageRow:
    at = {"at_us": (T0 + i * 60) * 1_000_000, "done_us": (T0 + i * 60) * 1_000_000 + 5}
    base = {"request_id": f"r{i}", "status": 200, "model_answered": "m", "input_tokens": 10}
    return UsageRow(**{**base, **at, "charge_nano": 1_500_000, **values})  # pyright: ignore[reportArgumentType] - any


def of(server: Administered, name: str) -> dict[str, object]:
    return {"key_id": server.keys.get(name).id, "key_name": name}


async def pages(server: Administered, path: str, *, cursor: str = "") -> list[str]:
    """Ids of all pages behind a cursor."""
    found: list[str] = []
    cursor = cursor and f"&cursor={cursor}"
    while True:
        answer = await server.call("GET", f"{path}{cursor}", by="read")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [each["request_id"] for each in page["data"]]
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_rows_come_by_cursor_newest_or_oldest_first(server: Administered) -> None:
    await filled(server, *(row(i, **of(server, "call")) for i in range(7)))
    ids = [f"r{i}" for i in range(7)]
    assert await pages(server, "/usage?limit=3") == ids[::-1]
    assert await pages(server, "/usage?limit=3&order=asc") == ids
    start = T0 + 2 * 60
    assert await pages(server, f"/usage?limit=2&start_time={start}&end_time={start + 60}") == ["r2"]
    first = (await server.call("GET", "/usage?limit=3", by="read")).json()
    await filled(server, *(row(100 + i) for i in range(9)))  # more, meanwhile
    rest = await pages(server, "/usage?limit=3", cursor=first["next_cursor"])
    assert rest == ids[::-1][3:]


async def test_a_request_by_its_id_with_every_target(server: Administered) -> None:
    tries = (AttemptRow(target="u/m", upstream="u", status=500, error="failed", took_us=7),)
    price = await server.good("POST", "/prices", {"model": "m", "per_request": "0.0015"})
    priced = {"price_id": price["id"]}
    await filled(server, row(1, upstream="u", cost_nano=1, tries=tries, **priced), row(2))
    found = await server.good("GET", "/usage/requests/r1")
    assert found["price"] == price
    assert (await server.good("GET", "/usage/requests/r2"))["price"] is None
    assert (found["charge"], found["cost"], found["at"][:4]) == ("0.0015", "0.000000001", "2027")
    assert [(each["n"], each["upstream"], each["status"]) for each in found["tries"]] == [
        (1, "u", 500)
    ]
    assert (await server.call("GET", "/usage/requests/none")).status_code == 404


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
async def test_sums_are_those_of_the_rows(server: Administered, width: str) -> None:
    rows = [row(i * 10, model_answered="ab"[i % 2], **of(server, "call")) for i in range(30)]
    await filled(server, *rows)
    end = T0 + 301 * 60
    total, cursor, buckets = 0, "", 0
    while True:
        path = f"/usage/summary?start_time={T0}&end_time={end}&bucket_width={width}&limit=5"
        page = await server.good("GET", f"{path}&group_by[]=model&group_by[]=api_key_id{cursor}")
        for bucket in page["data"]:
            buckets += 1
            for result in bucket["results"]:
                assert result["model"] in ("a", "b")
                assert (result["api_key_name"], result["route"]) == ("call", None)
                total += result["num_model_requests"]
                tokens = result["num_model_requests"] * 10
                assert result["input_tokens"] == tokens
        if not page["has_more"]:
            break
        cursor = f"&page={page['next_page']}"
    assert total == 30
    assert buckets == {"1m": 301, "1h": 6, "1d": 1}[width]


async def test_an_export_is_every_row_and_runs_nothing(server: Administered) -> None:
    rows = [row(i, model_asked="=1+1", **of(server, "call")) for i in range(600)]
    await filled(server, *rows)
    answer = await server.call("GET", "/usage/export?format=jsonl", by="read")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["request_id"] for line in lines] == [f"r{i}" for i in range(600)]
    answer = await server.call("GET", "/usage/export", by="read")
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(table) == 600
    assert {line["model_asked"] for line in table} == {"'=1+1"}


@pytest.mark.parametrize(
    "query",
    ["start_time=x", "colour=1", "status=7", "group_by[]=colour", "limit=0", "bucket_width=2d"],
)
async def test_what_cannot_be_meant_is_refused(server: Administered, query: str) -> None:
    path = "/usage/summary" if "group" in query or "width" in query else "/usage"
    answer = await server.call("GET", f"{path}?{query}", by="read")
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request"


async def test_a_key_sees_itself_only_also_one_of_the_file_with_an_old_name(
    store_url: str, tmp_path: Path
) -> None:
    async with administered(store_url, tmp_path) as server:
        await filled(
            server,
            row(1, **of(server, "call")),
            row(2, **of(server, "read")),
            row(3, key_name="file"),
            row(4, key_id=server.keys.get("read").id, key_name="file"),  # had that name once
        )
        for by, ids in (("call", ["r1"]), ("file", ["r3"]), ("read", ["r4", "r2"])):
            headers = server.headers(by)
            found = (await server.client.get("/v1/usage", headers=headers)).json()
            assert [each["request_id"] for each in found["data"]] == ids
            path = f"/v1/usage/summary?start_time={T0}&end_time={T0 + 60}"
            summed = (await server.client.get(path, headers=headers)).json()
            (result,) = summed["data"][0]["results"]
            assert result["num_model_requests"] == len(ids)
            assert "cost" not in result
            exported = await server.client.get("/v1/usage/export?format=jsonl", headers=headers)
            assert len(exported.text.splitlines()) == len(ids)


@pytest.mark.parametrize("place", [2**63, -(2**63) - 1, 10**30])
async def test_a_cursor_that_no_database_can_hold_is_refused(
    server: Administered, place: int
) -> None:
    lists = {"/keys": ["store", place], "/usage": [place, "x"]}
    lists |= dict.fromkeys(("/teams", "/prices", "/costs", "/budgets"), place)
    lists["/budgets/keys/call/top-ups"] = place
    for path, cursor in lists.items():
        answer = await server.call("GET", f"{path}?cursor={cursor_of(cursor)}")
        found = answer.status_code, answer.json()["error"]["param"]
        assert found == (400, "cursor"), path
    own = f"/v1/usage?cursor={cursor_of([place, 'x'])}"
    answer = await server.client.get(own, headers=server.headers("call"))
    assert answer.status_code == 400
