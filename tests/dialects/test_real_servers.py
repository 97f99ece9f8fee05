"""What real Infinity, llama.cpp and Xinference do, as tests/servers measured it, is done here."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import decoder, modernbert
from tests.checkpoints.bert import GOLDEN_SHAPES, write
from tests.kit.support import body, real_client, running
from tests.servers import table
from tests.servers.cases import CASES, DOCUMENTS, KEY, MODEL, OTHER_ORDER, QUERY, WITHOUT_KEYS
from tests.servers.reasons import REASONS
from tests.servers.shape import alike, shape_of

REAL = ("infinity", "llamacpp", "xinference")
FOLDERS: dict[str, Callable[[Path], Path]] = {
    **{
        name: partial(write, shape=GOLDEN_SHAPES[name])
        for name in ("tiny-bert", "tiny-xlmr", "tiny-roberta")
    },
    "tiny-modernbert": partial(modernbert.write, shape=modernbert.TINY),
    "tiny-qwen3": partial(decoder.write, shape=decoder.TINY_QWEN3),
}
PYDANTIC_FAULTS: tuple[tuple[dict[str, Any], list[str | int], str], ...] = (
    ({"query": 1}, ["query"], "string_type"),
    ({"query": ...}, ["query"], "missing"),
    ({"documents": []}, ["documents"], "too_short"),
    ({"documents": "a"}, ["documents"], "list_type"),
    ({"documents": ["a"] * 1001}, ["documents"], "too_long"),
    ({"documents": ["a", 1]}, ["documents", 1], "string_type"),
    ({"top_n": 0}, ["top_n"], "greater_than"),
    ({"top_n": "x"}, ["top_n"], "int_parsing"),
    ({"top_n": 1.5}, ["top_n"], "int_from_float"),
    ({"top_n": [1]}, ["top_n"], "int_type"),
    ({"return_documents": "x"}, ["return_documents"], "bool_parsing"),
    ({"return_documents": 2}, ["return_documents"], "bool_parsing"),
    ({"return_documents": []}, ["return_documents"], "bool_type"),
)


@pytest.mark.parametrize("name", REASONS)
async def test_the_recorded_answers_are_those_of_today(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / MODEL, GOLDEN_SHAPES["tiny-bert"])
    keys = [] if name in WITHOUT_KEYS else [{"name": "tests", "key": KEY}]
    recorded = table.recorded(name)["answers"]
    assert list(recorded) == [case.name for case in CASES]
    async with real_client({}, models=[str(folder)], values={"keys": keys}) as client:
        for case in CASES:
            answer = await client.request(
                case.method,
                f"/{name}{case.path_at(name)}",
                content=case.body,
                headers=case.sent_headers(),
            )
            kind = answer.headers.get("content-type", "")
            found = shape_of(
                answer.status_code, kind, answer.content, ordered=name not in OTHER_ORDER
            )
            assert found == recorded[case.name]["rerankd"], case.name


@pytest.mark.parametrize("name", REASONS)
def test_every_difference_has_a_reason_and_the_page_shows_it(name: str) -> None:
    answers = table.recorded(name)["answers"]
    differ = [case for case, sides in answers.items() if not alike(name, sides)]
    explained = [case for cases in REASONS[name].values() for case in cases]
    assert sorted(explained) == sorted(differ)
    assert (table.PAGES / f"{name}.md").read_text(encoding="utf-8") == table.page(name)


@pytest.mark.parametrize(("changes", "loc", "kind"), PYDANTIC_FAULTS, ids=str)
async def test_infinity_says_where_and_what_as_fastapi_does(
    changes: dict[str, Any], loc: list[str | int], kind: str
) -> None:
    sent = {key: value for key, value in (body() | changes).items() if value is not ...}
    async with running() as (client, _):
        answer = await client.post("/infinity/rerank", json=sent)
    (detail,) = answer.json()["detail"]
    assert (answer.status_code, detail["loc"], detail["type"]) == (422, ["body", *loc], kind)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"{", "json_invalid"),
        (b"", "missing"),
        (b" \n", "missing"),
        (b"[]", "model_attributes_type"),
    ],
)
async def test_infinity_says_what_is_wrong_with_a_body(raw: bytes, kind: str) -> None:
    async with running() as (client, _):
        answer = await client.post("/infinity/rerank", content=raw)
    (detail,) = answer.json()["detail"]
    assert (answer.status_code, detail["loc"], detail["type"]) == (422, ["body"], kind)


@pytest.mark.parametrize(("method", "path"), [("GET", "/infinity/rerank"), ("GET", "/infinity/x")])
async def test_infinity_says_wrong_paths_and_methods_as_fastapi_does(
    method: str, path: str
) -> None:
    async with running() as (client, _):
        answer = await client.request(method, path)
    assert answer.status_code in (404, 405)
    assert list(answer.json()) == ["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/llamacpp/v1/rerank", 200),
        ("/xinference/v1/rerank", 200),
        ("/infinity/rerank", 422),
        ("/v1/rerank", 400),
        ("/reranking", 422),
    ],
)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
async def test_json_under_another_name_is_read_where_the_server_reads_it(
    path: str, status: int, kind: str
) -> None:
    async with running() as (client, _):
        answer = await client.post(path, content=json.dumps(body()), headers={"content-type": kind})
    assert answer.status_code == status, answer.text


async def test_llamacpp_takes_a_key_in_x_api_key_and_others_do_not() -> None:
    values = {"keys": [{"name": "k", "key": KEY}]}
    async with running(values) as (client, _):
        for path, status in (("/llamacpp/rerank", 200), ("/infinity/rerank", 401)):
            answer = await client.post(path, json=body(), headers={"x-api-key": KEY})
            assert answer.status_code == status
            answer = await client.post(path, json=body(), headers={"x-api-key": KEY + "x"})
            assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/llamacpp/health", "/llamacpp/v1/health"])
async def test_llamacpp_health(path: str) -> None:
    async with running({"keys": [{"name": "k", "key": KEY}]}) as (client, _):
        answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/llamacpp/v1/rerank", "/v1/reranking"])
async def test_texts_decide_the_form_and_documents_what_is_ranked(path: str) -> None:
    sent = {"query": "q", "documents": ["a", "b"], "texts": ["c"], "return_text": True}
    async with running() as (client, _):
        answer = (await client.post(path, json=sent)).json()
    assert sorted(hit["text"] for hit in answer) == ["a", "b"]


@pytest.mark.parametrize("model", ["rerankd-mini", "rerankd-lexical", *FOLDERS])
@pytest.mark.parametrize("name", REAL)
async def test_an_empty_query_and_one_that_is_too_long_are_ranked(
    name: str, model: str, tmp_path: Path
) -> None:
    served = str(FOLDERS[model](tmp_path / model)) if model in FOLDERS else model
    async with real_client({}, models=[served]) as client:
        for query in ("", "word " * 9000):
            sent = {"query": query, "documents": DOCUMENTS}
            answer = await client.post(f"/{name}/rerank", json=sent)
            if query and name == "llamacpp":  # a 500 there
                assert answer.status_code == 400
                continue
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["results"]) == len(DOCUMENTS)
            warned = "query: cut" in answer.headers.get("x-rerankd-warnings", "")
            assert warned == bool(query)


async def test_the_alias_for_any_name_answers_says_so_and_is_no_name() -> None:
    sent = {"model": "no-such", "query": QUERY, "documents": DOCUMENTS}
    async with running() as (client, _):
        assert (await client.post("/llamacpp/v1/rerank", json=sent)).status_code == 400
    async with running(aliases={"*": "fake-model", "a": "fake-model"}) as (client, _):
        for name in REAL:
            answer = await client.post(f"/{name}/rerank", json=sent)
            assert answer.status_code == 200, answer.text
            assert "fake-model answered" in answer.headers["x-rerankd-warnings"]
            for named in ("a", "fake-model", "", None):
                answer = await client.post(f"/{name}/rerank", json=sent | {"model": named})
                assert "x-rerankd-warnings" not in answer.headers
        assert (await client.post("/v1/rerank", json=sent)).json()["model"] == "fake-model"
        listed = (await client.get("/v1/models")).json()["data"]
        assert [one["id"] for one in listed] == ["fake-model", "a"]


async def test_the_alias_for_any_name_opens_no_model_to_a_key() -> None:
    keys = [{"name": "k", "key": KEY, "models": ["other"]}]
    sent = {"model": "other", "query": QUERY, "documents": DOCUMENTS}
    async with running({"keys": keys}, aliases={"*": "fake-model"}) as (client, _):
        answer = await client.post("/v1/rerank", json=sent, headers={"authorization": KEY})
    assert answer.status_code == 403
