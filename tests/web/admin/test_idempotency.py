"""A call that comes twice acts once, and tells a secret once."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.administered import Administered

IDEM = {"idempotency_key": "5f0f0d5e-1"}


async def test_a_replay_is_the_same_answer_without_the_secret(server: Administered) -> None:
    first = await server.call("POST", "/keys", {"name": "k"}, **IDEM)
    again = await server.call("POST", "/keys", {"name": "k"}, **IDEM)
    assert first.json()["key"].startswith("sk-rk-")
    assert again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json() | {"key": None}
    names = [key["name"] for key in (await server.good("GET", "/keys"))["data"]]
    assert names.count("k") == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/keys", {"name": "other"}),
        ("POST", "/teams", {"name": "k"}),
        ("PATCH", "/keys/call", {"note": "n"}),
    ],
)
async def test_its_name_is_of_one_call_only(
    server: Administered, method: str, path: str, body: dict[str, str]
) -> None:
    await server.good("POST", "/keys", {"name": "k"}, **IDEM)
    answer = await server.call(method, path, body, **IDEM)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (422, "idempotency_key_reused")
    assert error["param"] == "Idempotency-Key"


async def test_of_another_administrator_it_is_another(server: Administered) -> None:
    second = (await server.good("POST", "/keys", {"name": "second", "role": "admin"}))["key"]
    await server.good("POST", "/teams", {"name": "a"}, **IDEM)
    assert (
        await server.call("POST", "/teams", {"name": "b"}, by=second, **IDEM)
    ).status_code == 201


async def test_a_call_that_failed_may_come_again_corrected(server: Administered) -> None:
    assert (await server.call("POST", "/keys", {"name": "admin"}, **IDEM)).status_code == 409
    assert (await server.call("POST", "/keys", {"name": "k"}, **IDEM)).status_code == 201


async def test_money_that_is_paid_in_ten_times_at_once_is_paid_in_once(
    server: Administered,
) -> None:
    calls = [
        server.call("POST", "/budgets/keys/call/top-ups", {"amount": "5"}, **IDEM)
        for _ in range(10)
    ]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {201}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9
    assert len((await server.good("GET", "/budgets/keys/call/top-ups"))["data"]) == 1


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 256])
async def test_a_name_that_is_none_is_refused(server: Administered, name: str) -> None:
    answer = await server.call("POST", "/keys", {"name": "k"}, idempotency_key=name)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
