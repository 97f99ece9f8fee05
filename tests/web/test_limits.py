"""What a key's limits do to a request: refused with a reason, told in headers, given back."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
from typing import Any

import pytest

from rerankd.access.keys import Key, Team, digest
from rerankd.dialects.registry import SERVED
from rerankd.engines.fake import FakeEngine
from rerankd.web.state import State
from tests.kit.support import BytesModel, body, running, stop_rates

PER_MINUTE = 20  # limits.wrong_keys by default

SECRET = "sk-stored"


def stored(state: State, **values: Any) -> Key:
    """A key of the store, taken over by a server."""
    key = dataclasses.replace(Key(name="stored", digest=digest(SECRET), id=1), **values)
    state.use_stored([key])
    return key


def bearer(secret: str = SECRET) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def test_a_key_of_the_store_is_let_in_and_then_no_more() -> None:
    async with running() as (client, state):
        assert (await client.post("/v1/rerank", json=body())).status_code == 200  # open
        stored(state)
        assert (await client.post("/v1/rerank", json=body())).status_code == 401
        assert (await client.post("/v1/rerank", json=body(), headers=bearer())).status_code == 200
        for values, reason in (({"revoked": True}, "revoked"), ({"expires": 1.0}, "expired")):
            stored(state, **values)
            refused = await client.post("/v1/rerank", json=body(), headers=bearer())
            assert (refused.status_code, refused.json()) == (401, "Invalid token")
            assert refused.headers["x-rerankd-reason"] == reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"networks": (ipaddress.ip_network("10.0.0.0/8"),)}, "network"),
        ({"role": "read"}, "role"),
        ({"models": frozenset({"bge-*"})}, "model_not_allowed"),
        ({"team": Team(id=1, name="t", models=frozenset({"bge-*"}))}, "model_not_allowed"),
    ],
)
async def test_a_key_that_is_not_for_this_is_a_403_with_the_reason(
    values: dict[str, Any], reason: str
) -> None:
    async with running() as (client, state):
        stored(state, **values)
        refused = await client.post("/v1/rerank", json=body(), headers=bearer())
        assert refused.status_code == 403
        assert refused.headers["x-rerankd-reason"] == reason


async def test_a_network_is_that_of_who_called_the_proxy() -> None:
    values = {"server": {"trusted_proxies": ["127.0.0.1"]}}
    async with running(values) as (client, state):
        stored(state, networks=(ipaddress.ip_network("10.0.0.0/8"),))
        for address, status in (("10.1.1.1", 200), ("192.0.2.1", 403)):
            headers = bearer() | {"x-forwarded-for": address}
            found = await client.post("/v1/rerank", json=body(), headers=headers)
            assert found.status_code == status


async def test_unknown_keys_of_one_network_are_a_429_in_the_end_and_good_ones_pass() -> None:
    async with running() as (client, state):
        stored(state)
        paths = ["/v1/rerank", "/v1/models"]
        for number in range(PER_MINUTE):
            path = paths[number % 2]
            method, json = ("GET", None) if number % 2 else ("POST", body())
            asked = await client.request(method, path, json=json, headers=bearer("no"))
            assert asked.status_code == 401
        refused = await client.post("/v1/rerank", json=body(), headers=bearer("no"))
        assert refused.status_code == 429
        assert refused.headers["x-rerankd-reason"] == "wrong_keys"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await client.get("/v1/models", headers=bearer("no"))).status_code == 429
        assert (await client.post("/v1/rerank", json=body(), headers=bearer())).status_code == 200
        assert (await client.post("/v1/rerank", json=body())).status_code == 401  # none at all


async def test_every_dialect_tells_what_is_left_and_only_where_there_is_a_limit() -> None:
    async with running() as (client, state):
        stop_rates(state)
        paths = [route.path for route in SERVED.routes if "{" not in route.path]
        stored(state)
        for path in paths:
            told = await client.post(path, json={}, headers=bearer())
            assert not [name for name in told.headers if name.startswith("x-ratelimit-")], path
        stored(state, rpm=1000, tpd=50)
        for used, path in enumerate(paths, 1):
            told = await client.post(path, json={}, headers=bearer())
            assert told.headers["x-ratelimit-limit-requests"] == "1000", path
            assert told.headers["x-ratelimit-remaining-requests"] == str(1000 - used), path
            assert told.headers["x-ratelimit-remaining-tokens"] == "50", path


@pytest.mark.parametrize("limit", ["rpd", "tpd"])
async def test_a_day_is_used_up(limit: str) -> None:
    async with running() as (client, state):
        stored(state, **{limit: 1})
        first = await client.post("/v1/rerank", json=body(), headers=bearer())
        assert first.status_code == 200
        refused = await client.post("/v1/rerank", json=body(), headers=bearer())
        assert refused.status_code == 429
        assert refused.headers["x-rerankd-reason"] == limit
        assert refused.headers["x-ratelimit-remaining-" + _unit(limit)] == "0"
        stored(state, **{limit: 10_000})
        again = await client.post("/v1/rerank", json=body(), headers=bearer())
        assert again.status_code == 200


def _unit(limit: str) -> str:
    return "requests" if limit == "rpd" else "tokens"


async def test_so_many_requests_at_once_and_every_way_out_gives_its_place_back() -> None:
    model = BytesModel(engine=FakeEngine(max_length=None, delay_s=0.3))
    async with running(model=model) as (client, state):
        key = stored(state, in_flight=1)
        first = asyncio.create_task(client.post("/v1/rerank", json=body(), headers=bearer()))
        while not state.drain.running:
            await asyncio.sleep(0.001)
        refused = await client.post("/v1/rerank", json=body(), headers=bearer())
        assert (refused.status_code, refused.headers["x-rerankd-reason"]) == (429, "in_flight")
        assert (await first).status_code == 200
        ends: list[tuple[dict[str, Any], int]] = [
            ({"json": body()}, 200),
            ({"json": {"query": 1}}, 400),
            ({"json": body(model="none")}, 400),
            ({"content": b"{", "headers": {"content-type": "text/plain"}}, 400),
        ]
        for fields, status in ends:
            headers = bearer() | fields.pop("headers", {})
            found = await client.post("/v1/rerank", headers=headers, **fields)
            assert found.status_code == status
            assert state.rates.running(key) == 0
        gone = asyncio.create_task(client.post("/v1/rerank", json=body(), headers=bearer()))
        while not state.drain.running:
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert state.rates.running(key) == 0
