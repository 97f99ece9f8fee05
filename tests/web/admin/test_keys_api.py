"""Keys and teams over HTTP: shown once, changed by version, pages that stay, the last one kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.administered import FILE_KEY, Administered


async def status(server: Administered, key: str) -> tuple[int, str | None]:
    """What a rerank with a key gets, and why."""
    answer = await server.client.post(
        "/v1/rerank",
        json={"query": "q", "documents": ["a"]},
        headers={"authorization": f"Bearer {key}"},
    )
    return answer.status_code, answer.headers.get("x-rerankd-reason")


async def test_a_key_is_made_shown_once_used_changed_rotated_and_revoked(
    server: Administered,
) -> None:
    made = await server.good("POST", "/keys", {"name": "search", "rpm": 50, "tags": ["a"]})
    text = made.pop("key")
    assert made["state"] == "good"
    assert await status(server, text) == (200, None)
    shown = await server.good("GET", f"/keys/{made['id']}")
    assert shown == {name: value for name, value in made.items() if name != "warnings"}
    assert shown == await server.good("GET", f"/keys/{made['public_id']}")
    assert shown == await server.good("GET", "/keys/search")

    edited = await server.good(
        "PATCH", f"/keys/{made['id']}", {"rpm": None, "note": "n", "version": made["version"]}
    )
    assert (edited["rpm"], edited["note"], edited["tags"]) == (None, "n", ["a"])

    rotated = await server.good("POST", f"/keys/{made['id']}/rotate", {"grace": "1h"})
    assert await status(server, text) == (200, None)
    assert await status(server, rotated["key"]) == (200, None)
    await server.good("POST", f"/keys/{made['id']}/rotate")
    assert await status(server, rotated["key"]) == (401, "expired")

    revoked = await server.good("DELETE", f"/keys/{made['id']}")
    assert revoked["state"] == "revoked"
    assert await server.good("DELETE", f"/keys/{made['id']}") == revoked
    everything = (await server.call("GET", "/keys")).text
    for secret in (text, rotated["key"], *server.texts.values()):
        assert secret not in everything


async def test_a_version_that_is_old_changes_nothing(server: Administered) -> None:
    made = await server.good("POST", "/keys", {"name": "k"})
    first = await server.good("PATCH", "/keys/k", {"rpm": 1, "version": made["version"]})
    for method, path, body in (
        ("PATCH", "/keys/k", {"rpm": 2, "version": made["version"]}),
        ("POST", "/keys/k/rotate", {"version": made["version"]}),
        ("DELETE", f"/keys/k?version={made['version']}", None),
    ):
        answer = await server.call(method, path, body)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (409, "conflict")
        assert error["version"] == first["version"]
    assert await server.good("GET", "/keys/k") == {
        name: value for name, value in first.items() if name != "warnings"
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "k", "colour": "red"}, "colour"),
        ({"name": "k", "rpm": "5"}, "rpm"),
        ({"name": "k", "rpm": 1.5}, "rpm"),
        ({"name": "k", "rpm": True}, "rpm"),
        ({"name": "k", "rpm": 0}, "rpm"),
        ({"name": "k", "rpm": 2**60}, "rpm"),
        ({"name": "k", "tags": ["a", 5]}, "tags[1]"),
        ({"name": "k", "networks": ["10.0.0.0/99"]}, "networks"),
        ({"name": "k", "expires_at": "soon"}, "expires_at"),
        ({"name": "k", "expires_us": 5}, "expires_us"),
        ({"name": "k", "team": "nobody"}, "team"),
        ({"name": "k", "role": "king"}, "role"),
        ({"name": "k\0"}, "name"),
        ({"name": "k", "note": "a\0b"}, "note"),
        ({"name": "k", "version": 1}, "version"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_its_field(
    server: Administered, body: Any, param: str
) -> None:
    answer = await server.call("POST", "/keys", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request", param)
    assert error["message"].startswith(param)
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "colour=red", "limit=1&limit=2", "cursor=x"]
)
async def test_what_cannot_be_meant_of_a_page_is_refused(server: Administered, query: str) -> None:
    answer = await server.call("GET", f"/keys?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])


async def test_pages_stay_while_keys_come(server: Administered) -> None:
    for i in range(7):
        await server.good("POST", "/keys", {"name": f"k{i}"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = await server.good("GET", f"/keys?limit=3{cursor}")
        seen += [key["name"] for key in page["data"]]
        if not page["has_more"]:
            break
        if len(seen) < 12:
            await server.good("POST", "/keys", {"name": f"new{len(seen)}"})
        cursor = f"&cursor={page['next_cursor']}"
    assert seen[:5] == ["file", "admin", "read", "call", "explain"]
    assert seen[5:12] == [f"k{i}" for i in range(7)]
    assert seen[12:] == ["new3", "new6", "new9"]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("role=read", ["read"]),
        ("text=ea", ["read"]),
        ("source=file", ["file"]),
        ("state=revoked", ["gone"]),
        ("team=web", ["of-web"]),
    ],
)
async def test_keys_are_found(server: Administered, query: str, names: list[str]) -> None:
    await server.good("POST", "/teams", {"name": "web"})
    await server.good("POST", "/keys", {"name": "of-web", "team": "web"})
    await server.good("POST", "/keys", {"name": "gone"})
    await server.good("DELETE", "/keys/gone")
    page = await server.good("GET", f"/keys?{query}")
    assert [key["name"] for key in page["data"]] == names


async def test_keys_of_the_file_are_shown_and_stay(server: Administered) -> None:
    shown = await server.good("GET", "/keys/file")
    assert (shown["source"], shown["id"]) == ("file", None)
    assert FILE_KEY not in str(shown)
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = await server.call(method, f"/keys/file{path}", {} if method != "DELETE" else None)
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "read_only")
    answer = await server.call("POST", "/keys", {"name": "file"})
    assert answer.status_code == 409


async def test_a_model_that_nobody_serves_is_told_and_does_not_stop_it(
    server: Administered,
) -> None:
    made = await server.good("POST", "/keys", {"name": "k", "models": ["fake-*", "bge-*"]})
    assert made["warnings"] == ["models: 'bge-*' is nothing that is served here."]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/keys/admin", None),
        ("PATCH", "/keys/admin", {"role": "call"}),
        ("PATCH", "/keys/admin", {"expires_at": "2020-01-01"}),
        ("DELETE", "/teams/ops", None),
        ("PATCH", "/teams/ops", {"archived": True}),
    ],
)
async def test_the_last_administrator_stays(
    server: Administered, method: str, path: str, body: Any
) -> None:
    await server.good("POST", "/teams", {"name": "ops"})
    await server.good("PATCH", "/keys/admin", {"team": "ops"})
    before = await server.good("GET", "/keys/admin")
    answer = await server.call(method, path, body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "last_administrator")
    assert "role admin" in answer.json()["error"]["message"]
    assert await server.good("GET", "/keys/admin") == before
    await server.good("POST", "/keys", {"name": "second", "role": "admin"})
    assert (await server.call(method, path, body)).status_code == 200


async def test_nobody_locks_himself_out_by_a_network_or_a_lost_answer(
    server: Administered,
) -> None:
    answer = await server.call("PATCH", "/keys/admin", {"networks": ["10.9.8.0/24"]})
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "would_lock_out")
    answer = await server.call("POST", "/keys/admin/rotate")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "grace")
    await server.good("POST", "/keys/admin/rotate", {"grace": "5m"})
    await server.good("GET", "/keys")


async def test_a_team_is_made_changed_archived_and_let_in_again(server: Administered) -> None:
    team = await server.good("POST", "/teams", {"name": "web", "rpm": 9})
    assert (await server.call("POST", "/teams", {"name": "web"})).status_code == 409
    key = (await server.good("POST", "/keys", {"name": "k", "team": "web"}))["key"]
    await server.good("PATCH", f"/teams/{team['id']}", {"rpm": None, "version": team["version"]})
    answer = await server.call("PATCH", "/teams/web", {"rpm": 1, "version": team["version"]})
    assert (answer.status_code, answer.json()["error"]["version"]) == (409, team["version"] + 1)
    assert (await server.good("DELETE", "/teams/web"))["archived_at"] is not None
    assert await status(server, key) == (401, "revoked")
    assert (await server.good("GET", "/teams"))["data"] == []
    assert len((await server.good("GET", "/teams?archived=true"))["data"]) == 1
    assert (await server.good("PATCH", "/teams/web", {"archived": False}))["archived_at"] is None
    assert await status(server, key) == (200, None)
    assert (await server.call("GET", "/teams/nobody")).status_code == 404
