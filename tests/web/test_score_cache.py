"""The score cache as a client, an operator and a key's limit see it."""

from __future__ import annotations

import httpx2
import pytest

from rerankd.engines.fake import FakeEngine
from tests.kit.support import BytesModel, Json, body, real_client, running

ON = {"limits": {"score_cache_bytes": 100_000}}


async def test_cached_pairs_are_named_counted_and_score_the_same() -> None:
    engine = FakeEngine(max_length=None)
    async with running(ON, model=BytesModel(engine=engine)) as (client, _):
        first = (await client.post("/v1/rerank", json=body("q", ["a", "bb"]))).json()
        asked = body("q", ["cccc", "bb", "a", "bb"])
        second = (await client.post("/v1/rerank", json=asked)).json()
        metrics = (await client.get("/metrics")).text
    assert engine.batches == [2, 1]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    # a pair is "q", a one, and the document's bytes: 6 + 4 + 3 + 4 tokens
    assert second["usage"]["input_tokens"] == second["usage"]["prompt_tokens"] == 17
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == 11
    scores = {r["index"]: r["relevance_score"] for r in second["results"]}
    before = {r["index"]: r["relevance_score"] for r in first["results"]}
    assert (scores[2], scores[1], scores[3]) == (before[0], before[1], before[1])
    assert 'rerankd_cached_tokens_total{model="fake-model"} 11.0' in metrics
    assert 'rerankd_input_tokens_total{model="fake-model"} 24.0' in metrics
    assert 'rerankd_score_cache_bytes{model="fake-model"}' in metrics


async def test_it_is_off_unless_the_operator_wants_it() -> None:
    engine = FakeEngine(max_length=None)
    async with running(model=BytesModel(engine=engine)) as (client, _):
        await client.post("/v1/rerank", json=body("q", ["a", "a"]))
        answer = (await client.post("/v1/rerank", json=body("q", ["a", "a"]))).json()
        metrics = (await client.get("/metrics")).text
    assert engine.batches == [1, 1]
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert "rerankd_score_cache_bytes{" not in metrics


async def test_pairs_of_several_queries_are_counted_together() -> None:
    async with running(ON) as (client, _):
        pairs = {"inputs": [["q", "a"], ["p", "bb"]]}  # 3 and 4 tokens
        await client.post("/tei/predict", json=pairs)
        await client.post("/tei/predict", json=pairs)
        metrics = (await client.get("/metrics")).text
    assert 'rerankd_cached_tokens_total{model="fake-model"} 7.0' in metrics


async def test_the_default_counts_documents_whose_vectors_it_kept() -> None:
    async with real_client({}) as client:
        first = (await client.post("/v1/rerank", json=body("one two", ["three", "four"]))).json()
        asked = body("another", ["four", "five six", "three"])
        second = (await client.post("/v1/rerank", json=asked)).json()
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["input_tokens"] == 3 + 4
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == 2


async def test_without_bytes_for_vectors_the_default_remembers_nothing() -> None:
    async with real_client({}, values={"limits": {"vector_cache_bytes": 0}}) as client:
        first = (await client.post("/v1/rerank", json=body("one two", ["three", "four"]))).json()
        second = (await client.post("/v1/rerank", json=body("one two", ["three", "four"]))).json()
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["results"] == first["results"]


async def test_the_tokens_of_a_cached_pair_count_for_the_keys_limit() -> None:
    keys = [{"name": "team", "key": "sk-team", "tpm": 10}]  # body() has 7 tokens
    headers = {"authorization": "Bearer sk-team"}
    async with running({**ON, "keys": keys}) as (client, _):
        first = await client.post("/v1/rerank", json=body(), headers=headers)
        second = await client.post("/v1/rerank", json=body(), headers=headers)
    assert (first.status_code, second.status_code) == (200, 429)


TWO_KEYS = [{"name": "a", "key": "key-of-the-first-team"}, {"name": "b", "key": "key-of-the-other"}]


async def cached(client: httpx2.AsyncClient, key: str, asked: Json) -> int:
    """The cached_tokens that a key is told of."""
    answer = await client.post("/v1/rerank", json=asked, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize("share", [False, True])
async def test_one_key_is_not_told_what_another_sent_unless_they_share(share: bool) -> None:  # noqa: FBT001 - a case
    limits = {"score_cache_bytes": 100_000, "share_caches": share}
    first, other = (key["key"] for key in TWO_KEYS)
    async with running({"limits": limits, "keys": TWO_KEYS}) as (client, _):
        assert await cached(client, first, body()) == 0
        assert (await cached(client, other, body()) > 0) == share
        assert await cached(client, first, body()) > 0
        assert await cached(client, other, body()) > 0


@pytest.mark.parametrize("share", [False, True])
async def test_neither_do_remembered_documents_tell(share: bool) -> None:  # noqa: FBT001 - a case
    values = {"limits": {"share_caches": share}, "keys": TWO_KEYS}
    asked = body("capital of France", ["Paris is the capital.", "Berlin is a city in Germany."])
    first, other = (key["key"] for key in TWO_KEYS)
    async with real_client({}, values=values) as client:
        assert await cached(client, first, asked) == 0
        assert (await cached(client, other, asked) > 0) == share
        assert await cached(client, first, asked) > 0


async def test_a_single_key_shares_with_nobody() -> None:
    values = {"limits": {"score_cache_bytes": 100_000}, "keys": TWO_KEYS[:1]}
    async with running(values) as (client, state):
        assert state.router.is_shared
        assert await cached(client, TWO_KEYS[0]["key"], body()) == 0
