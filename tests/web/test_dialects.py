"""Dialects behind the app: a new file is served, probes, keys, errors by path, pairs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rerankd import dialects
from rerankd.core.errors import StartError
from rerankd.dialects.registry import SERVED, Registry, discover
from tests.kit.support import body, real_client, running

KEYS: dict[str, Any] = {"keys": [{"name": "all", "key": "sk-all"}]}
GOOD = {"authorization": "Bearer sk-all"}

NEW_FILE = '''
"""A dialect that exists in this test only: one file."""
import dataclasses
from rerankd.dialects import voyage

DIALECT = dataclasses.replace(
    voyage.DIALECT,
    name="acme",
    prefix="acme",
    paths=("/rank/{model}",),
    root=("/acme-rank",),
    marks=(),
    key_headers=("x-acme-key",),
)
'''


@pytest.fixture
def with_acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    (tmp_path / "acme.py").write_text(NEW_FILE)
    monkeypatch.setattr(dialects, "__path__", [*dialects.__path__, str(tmp_path)])
    yield discover()
    del sys.modules["rerankd.dialects.acme"]
    del dialects.acme  # type: ignore[attr-defined] - the import put it there


async def test_a_new_file_is_a_served_dialect(with_acme: Registry) -> None:
    async with running(KEYS, registry=with_acme) as (client, _):
        key = {"x-acme-key": "sk-all"}
        served = await client.post("/acme/rank/org/name", json=body(model=None), headers=key)
        at_root = await client.post("/acme-rank/", json=body(), headers=key)
        no_key = await client.post("/acme/rank/x", json=body(), headers=GOOD)
        nowhere = await client.get("/acme/nowhere", headers=key)
        document = (await client.get("/openapi.json", headers=GOOD)).json()
        listed = await client.get("/acme/v1/models", headers=key)
    assert [hit["index"] for hit in served.json()["data"]] == [1, 0]
    assert at_root.status_code == 200
    assert (no_key.status_code, no_key.json()) == (401, {"detail": "Invalid token"})
    assert (nowhere.status_code, nowhere.json()) == (404, {"detail": "404 page not found"})
    assert document["paths"]["/acme/rank/{model}"]["post"]["parameters"][0]["name"] == "model"
    assert listed.json()["data"][0]["id"] == "fake-model"


def test_two_dialects_cannot_have_one_path_or_name() -> None:
    with pytest.raises(StartError, match="same name"):
        Registry((*SERVED.served, SERVED.root))

    twin = dataclasses.replace(SERVED.root, name="twin", prefix="x", root=("/rerank",))
    with pytest.raises(StartError, match="/rerank is claimed by"):
        Registry((*SERVED.served, twin))


@pytest.mark.parametrize(
    ("path", "status", "answer"),
    [
        ("/jina/v1/rerank", 401, "Invalid API key."),
        ("/voyage/v1/rerank", 401, "Invalid token"),
        ("/v2/rerank", 401, "invalid api token"),
        ("/compatible-api/v1/reranks", 401, "InvalidApiKey"),
        ("/tei/rerank", 401, ""),
        ("/infinity/rerank", 401, "Unauthorized"),
    ],
)
async def test_a_wrong_key_is_refused_in_the_paths_dialect(
    path: str, status: int, answer: str
) -> None:
    async with running(KEYS) as (client, _):
        refused = await client.post(path, content=b"no body yet")
    assert (refused.status_code, answer in refused.text) == (status, True)
    assert bool(refused.text) == bool(answer)


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
async def test_the_root_takes_a_key_in_other_headers_too(header: str) -> None:
    async with running(KEYS) as (client, _):
        answer = await client.post("/v1/rerank", json=body(), headers={header: "sk-all"})
    assert answer.status_code == 200


async def test_tei_probes() -> None:
    async with running(KEYS) as (client, _):
        info = await client.get("/info", headers=GOOD)
        refused = await client.get("/tei/info")
        health = await client.get("/tei/health")
    assert info.json()["model_id"] == "fake-model"
    assert info.json()["max_client_batch_size"] == 1000
    assert set(info.json()["model_type"]) == {"reranker"}
    assert refused.status_code == 401
    assert (health.status_code, health.content) == (200, b"")


async def test_infinity_probes() -> None:
    async with running() as (client, _):
        models = (await client.get("/infinity/models")).json()
        health = (await client.get("/infinity/health")).json()
    assert models["data"][0]["capabilities"] == ["rerank"]
    assert health["unix"] > 1.7e9


@pytest.mark.parametrize("prefix", ["", "/xinference"])
async def test_xinference_asks_whether_to_send_its_key_and_for_the_model(prefix: str) -> None:
    async with running(KEYS) as (client, _):
        auth = await client.get(f"{prefix}/v1/cluster/auth")
        model = await client.get(f"{prefix}/v1/models/fake-model", headers=GOOD)
        refused = await client.get("/xinference/v1/models/fake-model")
        unknown = await client.get("/xinference/v1/models/no-such", headers=GOOD)
    assert (auth.status_code, auth.json()) == (200, {"auth": True})
    assert model.json()["model_type"] == "rerank"
    assert (refused.status_code, list(refused.json())) == (401, ["detail"])
    assert (unknown.status_code, list(unknown.json())) == (400, ["detail"])


async def test_pinecone_lists_models_in_its_own_form() -> None:
    key = {"api-key": "sk-all"}
    async with running(KEYS) as (client, _):
        listed = await client.get("/pinecone/models?type=rerank", headers=key)
        one = await client.get("/pinecone/models/fake-model", headers=key)
        unknown = await client.get("/pinecone/models/no-such", headers=key)
    assert [model["model"] for model in listed.json()["models"]] == ["fake-model"]
    assert one.json() == listed.json()["models"][0]
    assert one.json()["type"] == "rerank"
    assert unknown.status_code == 404


async def test_tei_counts_are_in_headers() -> None:
    async with running() as (client, _):
        answer = await client.post("/tei/rerank", json={"query": "q", "texts": ["a", "bb"]})
    assert [rank["index"] for rank in answer.json()] == [1, 0]
    assert answer.headers["x-compute-tokens"] == "7"
    assert answer.headers["x-compute-characters"] == "4"
    assert answer.headers["x-compute-type"] == "fake"
    assert int(answer.headers["x-total-time"]) >= int(answer.headers["x-inference-time"])


@pytest.mark.parametrize("path", ["/predict", "/tei/predict"])
async def test_tei_predict_scores_pairs_in_their_order(path: str) -> None:
    pairs = [["q", "bb"], ["q", "a"], ["other", "bb"]]
    async with running() as (client, _):
        several = await client.post(path, json={"inputs": pairs})
        single = await client.post(path, json={"inputs": pairs[0]})
        ranked = await client.post("/rerank", json={"query": "q", "texts": ["bb", "a"]})
        half = await client.post(path, json={"inputs": "q"})
    scores = [found[0]["score"] for found in several.json()]
    assert [rank["score"] for rank in ranked.json()] == scores[:2]
    assert single.json() == several.json()[0]
    assert single.json()[0]["label"] == "LABEL_0"
    assert (half.status_code, half.json()["error_type"]) == (422, "Validation")


async def test_one_bad_pair_fails_the_whole_answer() -> None:
    async with running({"limits": {"document_bytes": 4}}) as (client, state):
        answer = await client.post("/predict", json={"inputs": [["q", "a"], ["q", "too long"]]})
    assert answer.status_code == 422
    assert "limits.document_bytes" in answer.json()["error"]
    assert state.drain.running == 0


async def test_detection_is_by_body_at_the_root_and_off_under_a_prefix() -> None:
    async with running() as (client, _):
        voyage = (await client.post("/v1/rerank", json=body(top_k=1))).json()
        jina = (await client.post("/jina/v1/rerank", json=body(top_k=1))).json()
    assert len(voyage["data"]) == 1
    assert len(jina["results"]) == 2


async def test_what_a_format_has_no_place_for_is_said_in_a_header() -> None:
    asked = body(instruct="Rank by date.")
    async with real_client({}, models=["rerankd-lexical"]) as client:
        warned = await client.post("/compatible-api/v1/reranks", json=asked)
        silent = await client.post("/compatible-api/v1/reranks", json=body())
    assert "instruction" in json.loads(warned.headers["x-rerankd-warnings"])[0]
    assert "x-rerankd-warnings" not in silent.headers


async def test_operation_ids_are_unique() -> None:
    async with running() as (client, _):
        document = (await client.get("/openapi.json")).json()
    ids = [get["operationId"] for item in document["paths"].values() for get in item.values()]
    assert len(set(ids)) == len(ids)
