"""POST /v1/rerank, end to end in one process, on a fake model."""

from __future__ import annotations

import asyncio
import gzip
import math
from typing import Any

import msgspec
import pytest

from rerankd.engines.fake import FakeEngine
from tests.kit.support import BytesModel, body, running

PATHS = ["/v1/rerank", "/rerank", "/v1/rerank/", "//v1/rerank", "/gateway/v1/rerank"]


def fake_logit(query: str, document: str) -> float:
    """What the fake engine makes of a pair, by hand."""
    return (1 + sum(document.encode())) % 97 / 12.0 - 4.0


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_is_ranked_best_first(path: str) -> None:
    documents = ["a", "bb", "ccc", "a"]
    async with running() as (client, _):
        answer = (await client.post(path, json=body("q", documents))).json()
    logits = [fake_logit("q", d) for d in documents]
    order = sorted(range(4), key=lambda i: (-logits[i], i))
    assert [r["index"] for r in answer["results"]] == order
    assert [r["document"]["text"] for r in answer["results"]] == [documents[i] for i in order]
    for result in answer["results"]:
        index = int(result["index"])
        expected = 1 / (1 + math.exp(-logits[index]))
        assert result["relevance_score"] == pytest.approx(expected, abs=1e-6)
    assert answer["model"] == "fake-model"
    assert answer["usage"]["total_tokens"] == sum(2 + len(d) for d in documents)
    assert ("choices" in answer) == path.startswith("/gateway")


async def test_raw_scores_are_logits() -> None:
    async with running() as (client, _):
        answer = (await client.post("/v1/rerank", json=body(raw_scores=True))).json()
    for result in answer["results"]:
        text = result["document"]["text"]
        assert result["relevance_score"] == pytest.approx(fake_logit("q", text), abs=1e-6)


async def test_top_n_cuts_and_may_be_over_the_count() -> None:
    async with running() as (client, _):
        one = (await client.post("/v1/rerank", json=body(top_n=1))).json()
        all_ = (await client.post("/v1/rerank", json=body(top_n=10**30))).json()
    assert (len(one["results"]), len(all_["results"])) == (1, 2)


async def test_equal_documents_score_exactly_equal_and_are_scored_once() -> None:
    engine = FakeEngine(max_length=None)
    async with running(model=BytesModel(engine=engine)) as (client, _):
        answer = (await client.post("/v1/rerank", json=body(documents=["x"] * 50))).json()
    assert [r["index"] for r in answer["results"]] == list(range(50))
    assert len({r["relevance_score"] for r in answer["results"]}) == 1
    assert engine.batches == [1]
    assert answer["usage"]["total_tokens"] == 50 * 3


async def test_an_alias_answers_under_its_own_name() -> None:
    aliases = {"BAAI/bge-reranker-v2-m3": "fake-model"}
    async with running(aliases=aliases) as (client, _):
        posted = body(model="BAAI/bge-reranker-v2-m3")
        answer = (await client.post("/v1/rerank", json=posted)).json()
    assert answer["model"] == "fake-model"
    assert "document" not in answer["results"][0]


async def test_every_answer_has_its_own_trace_id() -> None:
    async with running() as (client, _):
        answers = [
            await client.post("/v1/rerank", json=body()),
            await client.post("/v1/rerank", json=body(top_n=0)),
            await client.get("/nowhere"),
            await client.get("/v1/rerank"),
            await client.get("/health"),
            await client.get("/metrics"),
        ]
    ids = [a.headers["x-siliconcloud-trace-id"] for a in answers]
    assert len(set(ids)) == len(ids)
    assert ids == [a.headers["x-request-id"] for a in answers]
    assert answers[0].json()["id"] == ids[0]
    assert answers[1].json()["request_id"] == ids[1]


async def test_a_gzip_body_is_read_and_counted_unpacked() -> None:
    packed = gzip.compress(msgspec.json.encode(body(documents=["x" * 5000])))
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    async with running({"limits": {"body_bytes": 6000}}) as (client, _):
        good = await client.post("/v1/rerank", content=packed, headers=headers)
        bomb = gzip.compress(b" " * 10_000_000)
        refused = await client.post("/v1/rerank", content=bomb, headers=headers)
        torn = await client.post("/v1/rerank", content=packed[:-9], headers=headers)
        fake = await client.post("/v1/rerank", content=b"{}", headers=headers)
    assert (good.status_code, refused.status_code) == (200, 413)
    assert (torn.status_code, fake.status_code) == (400, 400)
    assert "gzip" in torn.json()["message"]
    assert "gzip" in fake.json()["message"]


async def test_answers_do_not_depend_on_company() -> None:
    documents = [f"document {i}" for i in range(40)]
    async with running() as (client, _):
        together = (await client.post("/v1/rerank", json=body(documents=documents))).json()
        alone = await asyncio.gather(
            *(client.post("/v1/rerank", json=body(documents=[d])) for d in documents)
        )
    scores = {r["index"]: r["relevance_score"] for r in together["results"]}
    for i, answer in enumerate(alone):
        assert answer.json()["results"][0]["relevance_score"] == scores[i]


async def test_metrics_count_what_happened() -> None:
    async with running() as (client, _):
        await client.post("/v1/rerank", json=body())
        await client.post("/v1/rerank", json=body(top_n=0))
        text = (await client.get("/metrics")).text
    assert 'rerankd_requests_total{dialect="superset",model="fake-model",status="200"} 1.0' in text
    assert 'rerankd_requests_total{dialect="superset",model="",status="400"} 1.0' in text
    assert 'rerankd_documents_total{model="fake-model"} 2.0' in text
    assert 'rerankd_input_tokens_total{model="fake-model"} 7.0' in text


async def test_one_event_per_request_without_text_or_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys: list[dict[str, Any]] = [{"name": "team", "key": "sk-secret"}]
    async with running({"keys": keys}) as (client, _):
        headers = {"authorization": "Bearer sk-secret"}
        posted = body("the query", ["the document"])
        await client.post("/v1/rerank", json=posted, headers=headers)
        await client.post("/v1/rerank", json=posted, headers={"authorization": "Bearer sk-wrong"})
    logged = capsys.readouterr()
    text = logged.out + logged.err
    assert text.count("request_id") == 2
    assert "team" in text
    for secret in ("sk-secret", "sk-wrong", "the query", "the document"):
        assert secret not in text


async def test_a_gzip_body_of_several_members_is_read_whole() -> None:
    raw = msgspec.json.encode(body())
    packed = gzip.compress(raw[:9]) + gzip.compress(raw[9:])
    headers = {"content-encoding": "gzip"}
    async with running() as (client, _):
        good = await client.post("/v1/rerank", content=packed, headers=headers)
        bad = await client.post("/v1/rerank", content=packed + b"garbage", headers=headers)
    assert (good.status_code, bad.status_code) == (200, 400)


async def test_a_lone_request_always_has_room_for_its_body() -> None:
    async with running({"limits": {"inflight_bytes": 10}}) as (client, state):
        answer = await client.post("/v1/rerank", json=body())
        assert answer.status_code == 200
        assert state.inflight.used == 0
