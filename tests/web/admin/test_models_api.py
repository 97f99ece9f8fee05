"""Models loaded and unloaded over the admin API: who may, what is refused, what callers get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.kit.administered import Administered, administered
from tests.kit.shelf import Shelf, until
from tests.kit.support import Json, local

BODY = {"query": "a", "documents": ["b", "c"]}
ROUTES = {
    "upstream": {"away": {"dialect": "jina", "url": "http://127.0.0.1:1", "key_env": "HOME"}},
    "route": {"smart": {"to": [{"model": "fake-model"}]}},
}


class Desk:
    """A server with a route to its one model, and where models are opened."""

    def __init__(self, server: Administered, shelf: Shelf) -> None:
        self.server = server
        self.shelf = shelf

    async def change(self, verb: str, model: str, status: int = 200, **fields: Any) -> Json:
        """The answer of a call."""
        body = {"model": model, **fields}
        answer = await self.server.call("POST", f"/models/{verb}", body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, verb: str, model: str, status: int, **fields: Any) -> Json:
        """What a call is refused with."""
        return (await self.change(verb, model, status, **fields))["error"]

    async def states(self) -> dict[str, str]:
        """Of every model."""
        found = await self.server.good("GET", "/models")
        return {each["name"]: each["state"] for each in found["data"]}

    async def rank(self, path: str = "/v1/rerank", **fields: Any) -> Any:
        """A caller's request."""
        headers = self.server.headers("call")
        return await self.server.client.post(path, json=BODY | fields, headers=headers)


@pytest.fixture
async def desk(store_url: str, tmp_path: Path) -> AsyncGenerator[Desk]:
    shelf = Shelf()
    aliases = {"other": "fake-model"}
    async with administered(
        store_url, tmp_path, ROUTES, load=shelf.load, aliases=aliases
    ) as server:
        yield Desk(server, shelf)
        for gate in shelf.held.values():
            gate.set()


async def test_only_an_administrator_changes_models(desk: Desk) -> None:
    for verb in ("load", "unload"):
        for by, status in (("nobody", 401), ("call", 403), ("read", 403), ("file", 403)):
            answer = await desk.server.call(
                "POST", f"/models/{verb}", {"model": "fake-model", "force": True}, by=by
            )
            assert answer.status_code == status, by
        for body in ({}, {"model": 1}, {"model": "m", "now": True}, {"model": "m", "wait_s": 601}):
            answer = await desk.server.call("POST", f"/models/{verb}", body)
            assert answer.status_code == 400, body
    assert await desk.states() == {"fake-model": "ready"}


async def test_what_is_in_use_goes_only_by_force_and_the_answer_names_the_uses(desk: Desk) -> None:
    uses = ["requests that name no model", 'route "smart"']
    assert (await desk.server.good("GET", "/models"))["used_by"] == {"fake-model": uses}
    for name in ("fake-model", "other"):
        error = await desk.refused("unload", name, 409)
        assert (error["type"], error["param"]) == ("in_use", "model")
        assert all(use in error["message"] for use in uses)
    assert (await desk.rank()).status_code == 200
    done = await desk.change("unload", "other", force=True)
    assert (done["name"], done["state"], done["is_awaited"]) == ("fake-model", "unloaded", False)
    assert done["memory"]["before_bytes"] > 0
    again = await desk.change("unload", "fake-model")  # it is: nothing is asked of anybody
    assert again["state"] == "unloaded"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/rerank", 503),
        ("/jina/v1/rerank", 503),
        ("/cohere/v2/rerank", 503),
        ("/voyage/v1/rerank", 503),
        ("/xinference/v1/rerank", 429),
        ("/tei/rerank", 429),
    ],
    ids=str,
)
async def test_callers_are_told_in_their_own_form(path: str, status: int, desk: Desk) -> None:
    await desk.change("unload", "fake-model", force=True)
    body = {"query": "a", "texts": ["b"]} if "tei" in path else {"model": "other", **BODY}
    answer = await desk.server.client.post(path, json=body, headers=desk.server.headers("call"))
    assert answer.status_code == status, answer.text
    assert "fake-model is not loaded now" in answer.text
    assert answer.headers["retry-after"] == "30"
    assert answer.headers["x-rerankd-reason"] == "model_not_loaded"


async def test_lists_leave_it_out_and_nothing_is_charged(desk: Desk) -> None:
    await desk.change("unload", "fake-model", force=True)
    client, headers = desk.server.client, desk.server.headers("call")
    listed = (await client.get("/v1/models", headers=headers)).json()
    assert [each["id"] for each in listed["data"]] == ["smart"]
    assert (await client.get("/v1/models/other", headers=headers)).status_code == 503
    assert (await client.get("/v1/models/none", headers=headers)).status_code == 400
    assert (await client.get("/ready")).status_code == 200  # the route may have other targets
    assert (await client.get("/health")).json() == {
        "status": "ok",
        "models": {"fake-model": "not loaded"},
    }
    metrics = (await client.get("/metrics")).text
    assert 'model="fake-model"' not in metrics
    await desk.rank(model="smart")
    (row,) = (await desk.server.good("GET", "/requests"))["data"]
    assert (row["status"], row["error"], row["input_tokens"]) == (503, "model_not_loaded", 0)


async def test_with_no_model_and_no_route_the_server_is_not_ready(
    store_url: str, tmp_path: Path
) -> None:
    async with administered(store_url, tmp_path) as server:
        await Desk(server, Shelf()).change("unload", "fake-model", force=True)
        ready = await server.client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unloaded")
        assert (await server.client.get("/health")).status_code == 200


async def test_a_load_that_takes_long_goes_on_and_is_asked_for_again(desk: Desk) -> None:
    await desk.change("unload", "fake-model", force=True)
    gate = desk.shelf.hold("fake-model")
    begun = await desk.change("load", "fake-model", 202, wait_s=0)
    assert begun["state"] == "loading"
    assert (await desk.server.client.get("/ready")).status_code == 200
    error = await desk.refused("load", "rerankd-lexical", 409)
    assert error["type"] == "busy"
    assert "fake-model is loaded" in error["message"]
    waiting = asyncio.create_task(desk.change("load", "other", wait_s=600))
    gate.set()
    assert (await waiting)["state"] == "ready"
    assert (await desk.rank()).status_code == 200
    assert (await desk.change("load", "fake-model"))["state"] == "ready"
    assert desk.shelf.begun.count("fake-model") == 2


async def test_one_of_the_catalog_is_served_beside_the_rest_until_a_reload(desk: Desk) -> None:
    before = await desk.server.good("GET", "/models")
    assert "rerankd-lexical" in before["loadable"]
    assert (await desk.change("load", "rerankd-lexical"))["state"] == "ready"
    after = await desk.server.good("GET", "/models")
    assert "rerankd-lexical" not in after["loadable"]
    assert (await desk.rank(model="rerankd-lexical")).status_code == 200
    backend = local(desk.server.state)
    await backend.swap(backend.pool._plan)  # pyright: ignore[reportPrivateUsage]
    await desk.change("unload", "rerankd-lexical")
    assert (await desk.states())["rerankd-lexical"] == "unloaded"


async def test_what_cannot_be_loaded_is_refused_and_says_why(desk: Desk) -> None:
    desk.shelf.broken.add("rerankd-lexical")
    error = await desk.refused("load", "rerankd-lexical", 422)
    assert (error["type"], error["message"]) == ("model_failed", "rerankd-lexical is damaged")
    found = (await desk.server.good("GET", "/models"))["data"]
    assert [(each["state"], each["problem"]) for each in found] == [
        ("ready", ""),
        ("failed", "rerankd-lexical is damaged"),
    ]
    for name in ("/etc/passwd", "../x", "nobody/nothing"):
        error = await desk.refused("load", name, 404)
        assert (error["type"], error["param"]) == ("not_found", "model")
    assert (await desk.refused("load", "", 400))["param"] == "model"
    assert (await desk.refused("unload", "nothing", 404))["type"] == "not_found"


async def test_a_stop_does_not_wait_for_a_load(desk: Desk) -> None:
    await desk.change("unload", "fake-model", force=True)
    gate = desk.shelf.hold("fake-model")
    waiting = asyncio.create_task(desk.change("load", "fake-model", 202, wait_s=600))
    await until(lambda: desk.shelf.begun.count("fake-model") == 2)
    await desk.server.state.drain.wait(60)
    assert (await waiting)["state"] == "loading"
    answer = await desk.server.call("POST", "/models/load", {"model": "fake-model"})
    assert answer.status_code == 503
    gate.set()


async def test_the_log_says_who_and_what(desk: Desk) -> None:
    desk.shelf.broken.add("rerankd-lexical")
    with capture_logs() as lines:
        await desk.change("unload", "fake-model", force=True)
        await desk.change("load", "fake-model")
        await desk.refused("load", "rerankd-lexical", 422)
    told = {line["event"]: line for line in lines}
    assert (told["model unloaded"]["model"], told["model loaded"]["model"]) == ("fake-model",) * 2
    assert told["model loaded"]["after_bytes"] > 0
    assert told["model not loaded"]["reason"] == "rerankd-lexical is damaged"
    calls = [line for line in lines if line["event"] == "admin"]
    assert [(each["operation"], each["status"], each["name"]) for each in calls] == [
        ("POST /models/unload", 200, "fake-model"),
        ("POST /models/load", 200, "fake-model"),
        ("POST /models/load", 422, None),
    ]
    assert {each["key"] for each in calls} == {"admin"}
