"""Embeddings over HTTP: the same vectors in every form, and the rules of every other request."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from rerankd.core.embedding import EmbedRequest
from rerankd.core.meter import Meter
from rerankd.core.rows import PreparedTexts
from rerankd.engines.fake import FAKE_DIMENSIONS, FakeEngine
from rerankd.models.base import ModelCard
from rerankd.models.families import Family
from tests.kit.support import TEXT_TOKENS, BytesModel, local, real_client, running

TEXTS = ["What is the capital of France?", "Paris", "量子计算"]
KEY = "sk-embeddings-0123456789"


class Unit(BytesModel):
    """Vectors that are published with length 1, and no raw ones."""

    gives_raw = False


class EmbedsOnly(BytesModel):
    """Served to embed alone."""

    def __init__(self) -> None:
        super().__init__()
        self.card = ModelCard(
            name="fake-model",
            family=Family(name="fake"),
            window_tokens=None,
            score="test",
            ranks=False,
        )


class RanksOnly:
    """A BytesModel's half that ranks."""

    def __init__(self) -> None:
        whole = BytesModel()
        self.card, self.engine = whole.card, whole.engine
        self.prepare, self.logit, self.relevance = whole.prepare, whole.logit, whole.relevance


def floats(answer: httpx2.Response) -> Any:
    """The vectors of an answer, in whichever form, (N, d)."""
    found = answer.json()
    if isinstance(found, list):
        return np.array(found, np.float32)
    if "data" in found:
        vectors = [one["embedding"] for one in found["data"]]
        assert [one["index"] for one in found["data"]] == list(range(len(vectors)))
    elif isinstance(found["embeddings"], dict):
        (vectors,) = found["embeddings"].values()
    else:
        vectors = found["embeddings"]
    if isinstance(vectors[0], str):
        vectors = [np.frombuffer(base64.b64decode(one), "<f4") for one in vectors]
    return np.array(vectors, np.float32)


FORMS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/embeddings", {"input": TEXTS}),
    ("/embeddings/", {"input": TEXTS}),
    ("/openai/v1/embeddings", {"input": TEXTS, "encoding_format": "base64", "user": "u"}),
    ("/v1/embeddings", {"input": TEXTS, "truncation": True, "encoding_format": "base64"}),
    ("/voyage/v1/embeddings", {"input": TEXTS}),
    ("/jina/v1/embeddings", {"input": [{"text": text} for text in TEXTS]}),
    ("/v1/embeddings", {"input": TEXTS, "embedding_type": "base64"}),
    ("/v2/embed", {"texts": TEXTS}),
    ("/v2/embed", {"texts": TEXTS, "embedding_types": ["base64"]}),
    ("/v1/embed", {"texts": TEXTS}),
    ("/embed", {"inputs": TEXTS}),
    ("/tei/v1/embeddings", {"input": TEXTS}),
]


async def test_every_form_gives_the_same_vectors_bit_by_bit() -> None:
    async with running() as (client, _):
        found = [floats(await client.post(path, json=body)) for path, body in FORMS]
    assert found[0].shape == (len(TEXTS), FAKE_DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=1), 1.0, atol=1e-6)
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


@pytest.mark.parametrize(
    ("path", "body", "prompt"),
    [
        ("/v1/embeddings", {"input": "a", "input_type": "query"}, "q:"),
        ("/v1/embeddings", {"input": "a", "input_type": "passage"}, "d:"),
        ("/v1/embeddings", {"input": "a", "input_type": "document"}, "d:"),
        ("/voyage/v1/embeddings", {"input": "a", "input_type": "document"}, "d:"),
        ("/jina/v1/embeddings", {"input": "a", "task": "retrieval.query"}, "q:"),
        ("/jina/v1/embeddings", {"input": "a", "task": "retrieval.passage"}, "d:"),
        ("/jina/v1/embeddings", {"input": "a", "task": "text-matching"}, ""),
        ("/v2/embed", {"texts": ["a"], "input_type": "search_query"}, "q:"),
        ("/v1/embed", {"texts": ["a"], "input_type": "search_document"}, "d:"),
        ("/v2/embed", {"texts": ["a"], "input_type": "clustering"}, ""),
        ("/embed", {"inputs": "a", "prompt_name": "query"}, "q:"),
    ],
    ids=str,
)
async def test_what_a_text_is_for_chooses_the_prompt(
    path: str, body: dict[str, Any], prompt: str
) -> None:
    async with running() as (client, _):
        said = await client.post(path, json=body)
        plain = await client.post("/v1/embeddings", json={"input": f"{prompt}a"})
    np.testing.assert_array_equal(floats(said), floats(plain))


async def test_fewer_dimensions_have_length_1_again_and_more_are_refused() -> None:
    async with running() as (client, _):
        whole = floats(await client.post("/v1/embeddings", json={"input": TEXTS}))
        sent = {"input": TEXTS, "dimensions": 2}
        cut = floats(await client.post("/v1/embeddings", json=sent))
        raw = await client.post("/embed", json={"inputs": TEXTS, "normalize": False})
        more = await client.post("/v1/embeddings", json=sent | {"dimensions": 5})
    head = whole[:, :2]
    np.testing.assert_allclose(cut, head / np.linalg.norm(head, axis=1, keepdims=True), atol=1e-6)
    assert np.abs(np.linalg.norm(floats(raw), axis=1) - 1.0).max() > 0.1
    assert more.status_code == 400
    assert more.json()["error"]["param"] == "dimensions"


async def test_raw_vectors_are_refused_where_there_are_none() -> None:
    async with running(model=Unit()) as (client, _):
        raw = await client.post("/embed", json={"inputs": "a", "normalize": False})
    assert (raw.status_code, raw.json()["error"][:10]) == (422, "normalize:")


async def test_equal_texts_run_once_and_each_is_counted() -> None:
    model = BytesModel()
    async with running(model=model) as (client, _):
        answer = await client.post("/v1/embeddings", json={"input": ["ab"] * 5 + ["c"]})
    assert isinstance(model.engine, FakeEngine)
    assert model.engine.batches[-1] == 2
    assert answer.json()["usage"] == {"prompt_tokens": 11, "total_tokens": 11}


async def test_a_long_text_is_cut_with_a_warning_or_refused() -> None:
    long = "a" * (TEXT_TOKENS + 1)
    async with running() as (client, _):
        cut = await client.post("/v1/embeddings", json={"input": [long, "b"]})
        same = await client.post("/v1/embeddings", json={"input": long[:-1]})
        refused = await client.post("/v1/embeddings", json={"input": long, "truncate": "NONE"})
        at_most = await client.post(
            "/v2/embed", json={"texts": ["abcd"], "max_tokens": 2, "input_type": "search_query"}
        )
    np.testing.assert_array_equal(floats(cut)[0], floats(same)[0])
    assert json.loads(cut.headers["x-rerankd-warnings"]) == [
        "1 of 2 texts were cut to 4096 tokens."
    ]
    assert "x-rerankd-warnings" not in same.headers
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
    assert at_most.json()["meta"]["tokens"] == {"input_tokens": 3}  # the prompt, and one more
    assert at_most.json()["meta"]["warnings"] == ["1 of 1 texts were cut to 3 tokens."]


async def test_a_model_is_asked_only_for_what_it_does() -> None:
    async with running(model=EmbedsOnly()) as (client, _):
        ranked = await client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
        embedded = await client.post("/v1/embeddings", json={"input": "a"})
        (listed,) = (await client.get("/v1/models")).json()["data"]
        chosen = (await client.get("/v1/models?sub_type=embedding")).json()["data"]
        others = (await client.get("/v1/models?sub_type=reranker")).json()["data"]
    assert embedded.status_code == 200
    assert ranked.status_code == 400
    assert "fake-model embeds and does not rank" in ranked.json()["message"]
    assert (listed["tasks"], listed["dimensions"], listed["model_type"]) == (
        ["embed"],
        FAKE_DIMENSIONS,
        "embedding",
    )
    assert ([one["id"] for one in chosen], others) == (["fake-model"], [])
    model: Any = RanksOnly()
    async with running(model=model) as (client, _):
        embedded = await client.post("/v1/embeddings", json={"input": "a"})
        (listed,) = (await client.get("/v1/models")).json()["data"]
    assert embedded.status_code == 400
    assert "fake-model scores documents and does not embed" in embedded.text
    assert (listed["tasks"], listed["dimensions"]) == (["rerank"], None)


async def test_without_a_model_the_first_that_embeds_answers() -> None:
    models = ["rerankd-lexical", "rerankd-mini"]
    async with real_client({}, models=models) as client:
        for path, body in (("/embed", {"inputs": "a"}), ("/v1/embeddings", {"input": "a"})):
            answer = await client.post(path, json=body)
            assert floats(answer).shape == (1, 384)
        assert answer.json()["model"] == "rerankd-mini"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"documents": 2}, "limits.documents"),
        ({"document_bytes": 8}, "limits.document_bytes"),
        ({"request_tokens": 10}, "limits.request_tokens"),
        ({"inflight_bytes": 200}, "limits.inflight_bytes"),
    ],
)
async def test_what_is_over_a_limit_is_refused_before_any_work(
    limits: dict[str, int], says: str
) -> None:
    model = BytesModel()
    async with running({"limits": limits}, model=model) as (client, _):
        for path, body in (("/v1/embeddings", {"input": TEXTS}), ("/embed", {"inputs": TEXTS})):
            answer = await client.post(path, json=body)
            assert answer.status_code in (400, 422), answer.text
            assert says in answer.text
    assert isinstance(model.engine, FakeEngine)
    assert model.engine.batches == []


@pytest.mark.parametrize(
    ("path", "body", "way_out"),
    [
        ("/openai/v1/embeddings", {"input": "a", "encoding_format": "x"}, 'Send "float" or'),
        ("/openai/v1/embeddings", {"input": "a", "truncate": "junk"}, "Send END or NONE"),
        ("/openai/v1/embeddings", {"input": "a", "input_type": "x"}, "default prompt"),
        ("/openai/v1/embeddings", {"input": "a", "user": 1}, "Send a string"),
        ("/openai/v1/embeddings", {"input": []}, "Send texts"),
        ("/openai/v1/embeddings", {"input": ["a", ""]}, "Leave the text out"),
        ("/cohere/v2/embed", {"texts": ["a"], "truncate": "junk"}, "Send END or NONE"),
        ("/cohere/v2/embed", {"texts": ["a"], "embedding_types": ["x"]}, 'Send ["float"]'),
        ("/jina/v1/embeddings", {"input": ["a"] * 1001}, "Send fewer, in several requests"),
        ("/jina/v1/embeddings", {"input": ["a"], "truncate": "junk"}, "Send true or false"),
        ("/jina/v1/embeddings", {"input": [{"image": "https://x/y"}]}, "Send strings"),
        ("/voyage/v1/embeddings", {"input": "a", "input_type": "x"}, "default prompt"),
        ("/tei/embed", {"inputs": "a", "prompt_name": 1}, "default prompt"),
        ("/tei/embed", {"inputs": "a", "normalize": "x"}, "Send true or false"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
async def test_a_wrong_field_is_told_the_way_out(
    path: str, body: dict[str, Any], way_out: str
) -> None:
    async with running() as (client, _):
        answer = await client.post(path, json=body)
    assert answer.status_code in (400, 422)
    assert way_out in json.dumps(answer.json()).replace('\\"', '"'), answer.text


async def test_answers_count_in_what_requests_in_flight_may_hold() -> None:
    """20 vectors of 4 numbers: 20 * 4 * (24 + 8) bytes and the body."""
    engine = FakeEngine(max_length=None, delay_s=0.2)
    body = {"input": [f"text {i}" for i in range(20)]}
    async with running(model=BytesModel(engine=engine)) as (client, state):
        asked = asyncio.create_task(client.post("/v1/embeddings", json=body))
        most = 0
        while not asked.done():
            most = max(most, state.inflight.used)
            await asyncio.sleep(0.005)
        assert (await asked).status_code == 200
        assert most >= 20 * 4 * (24 + 8)
        assert state.inflight.used == 0


async def test_keys_limits_and_models_of_keys_hold_for_embeddings() -> None:
    keys = [
        {"name": "one", "key": KEY, "models": ["fake-model"], "rpm": 2},
        {"name": "two", "key": KEY + "2", "models": ["other"]},
        {"name": "few", "key": KEY + "3", "tpm": 10},
    ]
    head = {"authorization": f"Bearer {KEY}"}
    async with running({"keys": keys}) as (client, _):
        none = await client.post("/v1/embeddings", json={"input": "a"})
        right = await client.post("/v1/embeddings", json={"input": "a"}, headers=head)
        other = await client.post(
            "/embed", json={"inputs": "a"}, headers={"authorization": KEY + "2"}
        )
        await client.post("/v1/embeddings", json={"input": "a"}, headers=head)
        third = await client.post("/v1/embeddings", json={"input": "a"}, headers=head)
        sent, few = {"input": ["aaaaaa", "bbbbbb"]}, {"authorization": KEY + "3"}
        await client.post("/v1/embeddings", json=sent, headers=few)
        tokens = await client.post("/v1/embeddings", json=sent, headers=few)
    assert none.status_code == 401
    assert none.json()["error"]["code"] == "invalid_api_key"
    assert right.status_code == 200
    assert other.status_code == 403
    assert (third.status_code, third.json()["error"]["type"]) == (429, "requests")
    assert (tokens.status_code, tokens.json()["error"]["type"]) == (429, "tokens")
    assert right.headers["x-request-id"]


async def test_pairs_and_texts_share_one_queue_and_one_batch() -> None:
    """What waits while a batch runs goes together, whatever it is for."""
    engine = FakeEngine(max_length=None, delay_s=0.1)
    async with running(model=BytesModel(engine=engine)) as (client, _):
        alone = floats(await client.post("/v1/embeddings", json={"input": TEXTS}))
        body = {"query": "q", "documents": ["a", "b"]}
        scored = (await client.post("/v1/rerank", json=body)).json()["results"]
        asked = [client.post("/v1/rerank", json={"query": "first", "documents": ["x"]})]
        asked += [client.post("/v1/embeddings", json={"input": TEXTS}) for _ in range(3)]
        asked += [client.post("/v1/rerank", json=body) for _ in range(3)]
        _, *answers = await asyncio.gather(*asked)
    for answer in answers[:3]:
        np.testing.assert_array_equal(floats(answer), alone)
    for answer in answers[3:]:
        assert answer.json()["results"] == scored


async def test_with_a_score_cache_vectors_are_not_kept_and_scores_are() -> None:
    model = BytesModel()
    async with running({"limits": {"score_cache_bytes": 1 << 20}}, model=model) as (client, state):
        for _ in range(2):
            await client.post("/v1/embeddings", json={"input": "qa"})
            await client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
        (loaded,) = local(state).pool.loaded.values()
        assert loaded.scheduler.cache is not None
        assert len(loaded.scheduler.cache) == 1
    assert isinstance(model.engine, FakeEngine)
    assert model.engine.batches == [1, 1, 1]


async def test_a_client_that_leaves_ends_the_tokenising() -> None:
    class Slow(BytesModel):
        stopped = False

        def prepare_texts(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
            try:
                while True:
                    meter.check()
            except BaseException:
                Slow.stopped = True
                raise

    async with running({"limits": {"deadline_s": 0.2}}, model=Slow()) as (client, _):
        answer = await client.post("/v1/embeddings", json={"input": "a"})
        assert answer.status_code == 504
        for _ in range(1000):
            if Slow.stopped:
                break
            await asyncio.sleep(0.01)
    assert Slow.stopped


async def test_a_routed_name_ranks_only() -> None:
    values = {"route": {"far": {"to": [{"model": "fake-model"}]}}}
    async with running(values) as (client, _):
        ranked = await client.post(
            "/v1/rerank", json={"query": "q", "documents": ["a"], "model": "far"}
        )
        answer = await client.post("/v1/embeddings", json={"input": "a", "model": "far"})
    assert (ranked.status_code, answer.status_code) == (200, 400)
    assert "far is a routed name" in answer.text


async def test_the_log_and_the_metrics_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    async with running() as (client, _):
        await client.post("/v1/embeddings", json={"input": ["a", "b"], "model": "fake-model"})
        metrics = (await client.get("/metrics")).text
    logged = capsys.readouterr().out
    assert "dialect=openai-embeddings" in logged
    assert "documents=2" in logged
    assert 'dialect="openai-embeddings"' in metrics


async def test_the_alias_for_any_name_answers_and_says_so() -> None:
    async with running(aliases={"*": "fake-model"}) as (client, _):
        answer = await client.post("/v1/embeddings", json={"input": "a", "model": "ada"})
    assert answer.json()["model"] == "fake-model"
    assert "fake-model answered" in answer.headers["x-rerankd-warnings"]


def test_the_recorded_bodies_are_of_every_format() -> None:
    wire = Path(__file__).parents[1] / "wire"
    paths = {json.loads(path.read_text()).get("path") for path in wire.glob("*/*.json")}
    assert {"/v1/embeddings", "/v2/embed", "/v1/embed", "/embed", "/tei/v1/embeddings"} <= paths
