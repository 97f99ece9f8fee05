"""Health, readiness, models, OpenAPI, docs: what they say and who may ask."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from typing import Any

import pytest

from rerankd.dialects.registry import Registry
from rerankd.web import openapi
from rerankd.web.assemble import keys_of
from rerankd.web.openapi import document
from tests.kit.support import body, running, settings

KEYS: dict[str, Any] = {"keys": [{"name": "all", "key": "sk-all"}]}
CLOSED: dict[str, Any] = {"server": {"docs_need_key": True}}
GOOD = {"authorization": "Bearer sk-all"}
BASIC = {"authorization": "Basic " + base64.b64encode(b"me:sk-all").decode()}


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_operations_need_no_key(path: str) -> None:
    async with running(KEYS) as (client, _):
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_who_may_read_health_may_read_about_the_api(path: str) -> None:
    for values in (KEYS, {}):
        async with running(values) as (client, _):
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/fake-model", "/openapi.json", "/docs"])
async def test_the_rest_needs_one_when_keys_are_on(path: str) -> None:
    async with running(KEYS | CLOSED) as (client, _):
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=GOOD)).status_code == 200
    async with running(CLOSED) as (client, _):
        assert (await client.get(path)).status_code == 200


async def test_a_browser_may_give_the_key_as_password_for_the_docs() -> None:
    async with running(KEYS | CLOSED) as (client, _):
        asked = await client.get("/docs")
        let_in = await client.get("/docs", headers=BASIC)
        wrong = await client.get("/docs", headers={"authorization": "Basic !!!"})
    assert asked.headers["www-authenticate"].startswith("Basic")
    assert let_in.status_code == 200
    assert wrong.status_code == 401


async def test_models_lists_the_default_first_then_aliases() -> None:
    async with running(aliases={"BAAI/bge": "fake-model"}) as (client, _):
        listed = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/BAAI/bge")).json()
        none = await client.get("/v1/models/nobody")
    assert listed["object"] == "list"
    assert [(m["id"], m["root"], m["default"]) for m in listed["data"]] == [
        ("fake-model", "fake-model", True),
        ("BAAI/bge", "fake-model", False),
    ]
    assert one == listed["data"][1]
    assert (none.status_code, none.json()["code"]) == (400, 20012)


async def test_ready_says_no_while_draining() -> None:
    async with running() as (client, state):
        assert (await client.get("/ready")).json()["status"] == "ready"
        state.drain.begun.set()
        answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_openapi_names_every_path_and_types_every_answer() -> None:
    async with running() as (client, _):
        document = (await client.get("/openapi.json")).json()
        answer = (await client.post("/siliconflow/v1/rerank", json=body())).json()
    assert {"/v1/rerank", "/rerank", "/gateway/v1/rerank", "/v1/models"} <= set(document["paths"])
    operation = document["paths"]["/siliconflow/v1/rerank"]["post"]
    assert {"200", "400", "401", "403", "413", "429", "503", "504"} <= set(operation["responses"])
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(answer) <= set(schema["properties"])
    assert set(schema["required"]) <= set(answer)


async def test_every_reference_of_the_openapi_document_resolves() -> None:
    async with running() as (client, _):
        document = (await client.get("/openapi.json")).json()

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            found = {str(node["$ref"])} if "$ref" in node else set[str]()  # pyright: ignore[reportUnknownArgumentType] - JSON
            return found.union(*(references(child) for child in node.values()))  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType] - JSON
        if isinstance(node, list):
            return set[str]().union(*(references(child) for child in node))  # pyright: ignore[reportUnknownVariableType] - JSON
        return set()

    names = {reference.rpartition("/")[2] for reference in references(document)}
    assert names
    assert names <= set(document["components"]["schemas"])


async def test_the_docs_page_shows_fields_and_fetches_nothing() -> None:
    async with running() as (client, _):
        page = await client.get("/docs")
        moved = await client.get("/")
    assert "max_chunks_per_doc" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert moved.headers["location"] == "/docs"


async def test_the_docs_page_starts_with_v1_rerank_and_its_contents_lead_somewhere() -> None:
    async with running() as (client, _):
        page = (await client.get("/docs")).text
        paths = (await client.get("/openapi.json")).json()["paths"]
    headings = re.findall(
        r"<h3><span id=([\w-]+)><span class=m>POST</span> <code>(.*?)</code>", page
    )
    assert headings[0] == ("post-v1-rerank", "/v1/rerank")
    assert page.index("<nav>") < page.index("post-v1-rerank>") < page.index("<h2 id=superset>")
    ids = re.findall(r" id=([\w-]+)", page)
    assert len(set(ids)) == len(ids)
    links = set(re.findall(r"<a href=#([\w-]+)>", page))
    assert {"post-v1-rerank", "superset", "types", "type-Result"} <= links
    assert links <= set(ids)
    assert set(re.findall(r"</span> <code>(/.*?)</code>", page)) == set(paths)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("rerank.example:18310", "http://rerank.example:18310/v1/rerank"),
        ("[::1]:8000", "http://[::1]:8000/v1/rerank"),
        ("x'; rm -rf ~; '", "http://127.0.0.1:8000/v1/rerank"),
        ("<script>", "http://127.0.0.1:8000/v1/rerank"),
    ],
)
async def test_the_docs_pages_command_is_for_the_readers_address(host: str, shown: str) -> None:
    async with running() as (client, _):
        page = (await client.get("/docs", headers={"host": host})).text
    assert f"curl {shown} -H" in page
    assert "rm -rf" not in page
    assert "address.invalid" not in page


async def test_the_docs_pages_command_has_a_key_where_one_is_needed() -> None:
    async with running(KEYS) as (client, _):
        assert "Authorization: Bearer YOUR_KEY" in (await client.get("/docs")).text
    async with running() as (client, state):
        assert "YOUR_KEY" not in (await client.get("/docs")).text
        state.use_keys(keys_of(settings(**KEYS)))
        assert "YOUR_KEY" in (await client.get("/docs")).text, "after a reload"


async def test_the_pages_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def counted(registry: Registry, version: str, **more: Any) -> dict[str, Any]:
        made.append(threading.current_thread() is threading.main_thread())
        return document(registry, version, **more)

    monkeypatch.setattr(openapi, "document", counted)
    async with running() as (client, _), asyncio.TaskGroup() as tasks:
        for path in ("/docs", "/openapi.json", "/docs", "/openapi.json"):
            tasks.create_task(client.get(path))
    assert made == [False], "once, and not on the event loop's thread"


@pytest.mark.parametrize("start", ["", "/siliconflow"])
async def test_siliconflows_questions_beside_the_endpoint(start: str) -> None:
    async with running(KEYS) as (client, _):
        refused = await client.get(f"{start}/v1/user/info")
        user = (await client.get(f"{start}/v1/user/info", headers=GOOD)).json()
        found: dict[str, list[str]] = {}
        for asked in ("", "?sub_type=reranker", "?type=text", "?sub_type=embedding", "?type=image"):
            listed = (await client.get(f"{start}/v1/models{asked}", headers=GOOD)).json()
            assert listed["object"] == "list"
            found[asked] = [model["id"] for model in listed["data"]]
    assert (refused.status_code, refused.text) == (401, '"Invalid token"')
    assert (user["code"], user["status"], user["message"]) == (20000, True, "OK")
    assert (user["data"]["id"], user["data"]["status"]) == ("all", "normal")
    assert "balance" not in user["data"]  # what is not known is not 0
    assert found == {
        "": ["fake-model"],
        "?sub_type=reranker": ["fake-model"],
        "?type=text": ["fake-model"],
        "?sub_type=embedding": ["fake-model"],
        "?type=image": [],
    }
