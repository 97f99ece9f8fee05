"""Who gets into the admin API, and by which name: every call, every role."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.access.fields import KeyFields
from rerankd.access.wrong_keys import WrongKeys
from rerankd.web.admin.mount import OPERATIONS
from rerankd.web.admin.operation import Operation
from tests.kit.administered import Administered, administered
from tests.kit.support import running

PER_MINUTE = 20  # limits.wrong_keys by default


def path_of(operation: Operation) -> str:
    return operation.path.replace("{id}", "987654")


@pytest.mark.parametrize("caller", ["admin", "read", "call", "explain", "file", "nobody", "wrong"])
async def test_every_call_by_every_role(server: Administered, caller: str) -> None:
    for operation in OPERATIONS:
        by = f"wrong-{operation.name}" if caller == "wrong" else caller
        server.state.wrong_keys = WrongKeys(PER_MINUTE)
        answer = await server.call(operation.method, path_of(operation), by=by)
        if caller in ("nobody", "wrong"):
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorized")
        elif caller == "admin" or (caller == "read" and operation.role == "read"):
            assert answer.status_code not in (401, 403, 405), operation.name
            if answer.status_code == 404:
                assert answer.json()["error"]["type"] == "not_found"
        else:
            assert (answer.status_code, answer.headers["x-rerankd-reason"]) == (403, "role")


def test_readers_may_read_usage_only() -> None:
    readable = {each.name for each in OPERATIONS if each.role == "read"}
    assert readable == {
        "GET /usage",
        "GET /usage/summary",
        "GET /usage/export",
        "GET /usage/requests/{id}",
        "GET /openapi.json",
    }


@pytest.mark.parametrize(
    "host", ["evil.example", "test.evil.example", "10.1.2.3", "", "localhost.evil.example:80"]
)
async def test_no_call_under_another_name(server: Administered, host: str) -> None:
    for operation in OPERATIONS:
        answer = await server.call(operation.method, path_of(operation), host=host)
        assert (answer.status_code, answer.headers["x-rerankd-reason"]) == (403, "host")
        assert "[admin] hosts" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "host", ["test", "TEST:8000", "localhost:8000", "127.0.0.1", "[::1]:8000", "localhost."]
)
async def test_the_names_of_the_server_are_good(server: Administered, host: str) -> None:
    assert (await server.call("GET", "/keys", host=host)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"sec_fetch_site": "same-origin", "origin": "http://test"}, 201),
        ({"sec_fetch_site": "none"}, 201),
        ({"sec_fetch_site": "cross-site", "origin": "https://evil.example"}, 403),
        ({"sec_fetch_site": "same-site", "origin": "http://test:3000"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
    ],
)
async def test_no_page_of_another_site_changes_anything(
    server: Administered, headers: dict[str, str], status: int
) -> None:
    answer = await server.call("POST", "/teams", {"name": "t"}, **headers)
    assert answer.status_code == status
    assert (await server.call("GET", "/teams", **headers)).status_code == 200


async def test_a_page_of_a_named_host_may(store_url: str, tmp_path: Path) -> None:
    values = {"admin": {"hosts": ["test", "console.example"]}}
    async with administered(store_url, tmp_path, values) as server:
        headers = {"origin": "https://console.example", "host": "console.example:8443"}
        assert (await server.call("POST", "/teams", {"name": "t"}, **headers)).status_code == 201


async def test_no_leave_for_other_sites_to_read(store_url: str, tmp_path: Path) -> None:
    values = {"server": {"cors_origins": ["*"]}}
    async with administered(store_url, tmp_path, values) as server:
        answer = await server.call("GET", "/keys", origin="https://evil.example")
        assert "access-control-allow-origin" not in answer.headers
        other = await server.client.get("/health", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" in other.headers


async def test_an_open_server_has_no_admin_api_without_a_key(
    store_url: str, tmp_path: Path
) -> None:
    values = {
        "store": {"url": store_url, "journal": str(tmp_path / "journal")},
        "admin": {"hosts": ["test"]},
    }
    async with running(values) as (client, state):
        assert state.keys.is_open
        for headers in ({}, {"authorization": "Bearer anything"}):
            answer = await client.get("/admin/v1/keys", headers=headers)
            assert answer.status_code == 401
            assert "rerankd keys create" in answer.json()["error"]["message"]


async def test_without_a_store_there_is_none() -> None:
    async with running() as (client, _):
        for path in ("/admin/v1", "/admin/v1/keys", "/admin/v1/reload"):
            assert (await client.get(path)).status_code == 404


async def test_what_is_not_there_is_told_to_who_may_know(server: Administered) -> None:
    for path in ("/nothing", "", "/keys/1/2/3"):
        assert (await server.call("GET", path, by="nobody")).status_code == 401
        assert (await server.call("GET", path, by="call")).status_code == 403
        answer = await server.call("GET", path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "unknown_path")
    answer = await server.call("PUT", "/keys")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, GET")
    assert (await server.call("GET", "/keys/")).status_code == 200


async def test_wrong_keys_are_counted_with_all_others(server: Administered) -> None:
    for i in range(PER_MINUTE):
        assert (await server.call("GET", "/keys", by=f"wrong-{i}")).status_code == 401
    answer = await server.call("GET", "/keys", by="one more")
    assert (answer.status_code, answer.headers["x-rerankd-reason"]) == (429, "wrong_keys")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await server.call("GET", "/keys")).status_code == 200


async def test_a_key_that_is_good_no_more_says_why(server: Administered) -> None:
    _, text = server.keys.create(KeyFields(name="old", role="admin", expires_us=1))
    server.see()
    answer = await server.call("GET", "/keys", by=text)
    assert (answer.status_code, answer.headers["x-rerankd-reason"]) == (401, "expired")


async def test_a_body_that_is_too_large_or_no_json_is_refused(server: Administered) -> None:
    answer = await server.call("POST", "/keys", {"name": "k", "note": "x" * 1_100_000})
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "body_too_large")
    for content, kind in (
        (b"{", "application/json"),
        (b"{}", "text/plain"),
        (b"[]", "application/json"),
    ):
        refused = await server.client.post(
            "/admin/v1/keys",
            content=content,
            headers=server.headers("admin") | {"content-type": kind},
        )
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request")
    assert server.state.inflight.used == 0


async def test_a_server_that_stops_takes_no_more_calls(server: Administered) -> None:
    server.state.drain.begun.set()
    answer = await server.call("GET", "/keys")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded")
