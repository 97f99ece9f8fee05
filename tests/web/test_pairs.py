"""Bodies of many pairs: one request each, counted, charged, admitted and named as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from rerankd.core.errors import InvalidRequest
from rerankd.dialects import deepinfra, tei, vllm
from rerankd.dialects.base import AnyEndpoint, ParsedBody
from rerankd.dialects.json_size import count_values
from rerankd.dialects.wire import Options, WireRequest
from rerankd.engines.fake import FakeEngine
from tests.kit.support import BytesModel, running, settings

Json = dict[str, Any]
Pairs = Sequence[tuple[str, str]]


def predict(pairs: Pairs) -> Json:
    return {"inputs": [list(pair) for pair in pairs]}


def score(pairs: Pairs) -> Json:
    return {"text_1": [query for query, _ in pairs], "text_2": [found for _, found in pairs]}


def inference(pairs: Pairs) -> Json:
    return {"queries": [query for query, _ in pairs], "documents": [found for _, found in pairs]}


def of_predict(answer: Any) -> list[float]:
    return [one[0]["score"] for one in answer]


def of_score(answer: Any) -> list[float]:
    return [one["score"] for one in answer["data"]]


def of_inference(answer: Any) -> list[float]:
    return answer["scores"]


FORMS: list[tuple[str, AnyEndpoint, Callable[[Pairs], Json], Callable[[Any], list[float]], str]] = [
    ("/tei/predict", tei.PREDICT, predict, of_predict, "inputs"),
    ("/score", vllm.SCORE, score, of_score, "text_1"),
    ("/deepinfra/v1/rerank", deepinfra.DIALECT, inference, of_inference, "documents"),
]
every = pytest.mark.parametrize(
    ("path", "dialect", "body", "scores", "field"), FORMS, ids=[form[0] for form in FORMS]
)


def mixed(number: int) -> Pairs:
    """Pairs with equal queries far apart, documents of different scores."""
    return [(f"q{i % 7}" if i % 2 else f"own{i}", f"document {i}") for i in range(number)]


@every
async def test_pairs_are_scored_as_each_alone(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    pairs = mixed(40)
    async with running() as (client, _):
        together = scores((await client.post(path, json=body(pairs))).json())
        alone = [scores((await client.post(path, json=body([p]))).json())[0] for p in pairs]
    assert together == alone
    assert len(set(together)) > 10


@every
async def test_more_pairs_than_documents_may_be_are_refused_by_name(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    engine = FakeEngine(max_length=None)
    limits = {"limits": {"documents": 5}}
    async with running(limits, model=BytesModel(engine=engine)) as (client, _):
        engine.batches.clear()
        allowed = await client.post(path, json=body(mixed(5)))
        scored = sum(engine.batches)
        refused = await client.post(path, json=body(mixed(6)))
    assert allowed.status_code == 200
    assert sum(engine.batches) == scored == 5
    assert refused.status_code in (400, 422)
    for part in (field, "6", "5", "limits.documents"):
        assert part in refused.text


@every
async def test_all_pairs_of_a_body_are_admitted_together(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    engine = FakeEngine(max_length=None)
    async with running(model=BytesModel(engine=engine)) as (client, _):
        engine.batches.clear()
        answer = await client.post(
            path, json=body([(f"q{i}", f"document {i}") for i in range(300)])
        )
        text = (await client.get("/metrics")).text
    assert answer.status_code == 200
    assert sum(engine.batches) == 300
    assert len(engine.batches) <= 30  # not one per pair
    assert 'rerankd_documents_total{model="fake-model"} 300.0' in text


@every
async def test_tokens_of_all_pairs_count_against_the_request(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    pairs = [("q" * 9, "d" * 10), ("r" * 9, "e" * 10)]  # 20 tokens each
    for limit, right in ((40, True), (39, False)):
        async with running({"limits": {"request_tokens": limit}}) as (client, _):
            answer = await client.post(path, json=body(pairs))
        assert (answer.status_code == 200) == right
        assert right or "limits.request_tokens" in answer.text


@every
async def test_a_body_is_one_request_of_the_key_and_pays_all_tokens_or_none(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    pairs = [("q" * 9, "d" * 10), ("r" * 9, "e" * 10)]  # 40 tokens
    keys = [{"name": "rpm", "key": "sk-rpm", "rpm": 2}, {"name": "tpm", "key": "sk-tpm", "tpm": 60}]
    by = {name: {"authorization": f"Bearer sk-{name}"} for name in ("rpm", "tpm")}
    async with running({"keys": keys}) as (client, _):
        many = body([(f"q{i}", "d") for i in range(50)])
        counted = [
            (await client.post(path, json=many, headers=by["rpm"])).status_code for _ in range(3)
        ]
        paid = [
            (await client.post(path, json=body(said), headers=by["tpm"])).status_code
            for said in (pairs, pairs, pairs[:1], pairs[:1])
        ]
    assert counted == [200, 200, 429]
    assert paid == [200, 429, 200, 429]  # 40 of 60; 40 more are not there; 20 are; nothing is left


@every
async def test_an_error_names_the_pair_as_the_body_counts(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    pairs = [("a", "x"), ("b", "x"), ("a", "x"), ("b", "x" * 101)]
    async with running({"limits": {"document_bytes": 100}}) as (client, _):
        answer = await client.post(path, json=body(pairs))
    assert answer.status_code in (400, 422)
    assert "documents[3]: 101 bytes" in answer.text


async def test_an_image_among_pairs_is_named_as_the_body_counts() -> None:
    image = {"content": [{"type": "image_url", "image_url": {"url": "https://x.y/z.png"}}]}
    posted = {"text_1": ["a", "b", "a"], "text_2": ["x", "x", image]}
    async with running() as (client, _):
        answer = await client.post("/score", json=posted)
    assert answer.json()["error"]["param"] == "documents[2]"


@pytest.mark.timeout(120)
@every
def test_pairs_are_grouped_in_linear_time(
    path: str, dialect: AnyEndpoint, body: Any, scores: Any, field: str
) -> None:
    """Quadratic, this many take ten minutes and more."""
    number = 100_000
    raw = msgspec.json.encode(body([(f"q{i}", "d") for i in range(number)]))
    plan = dialect.parse_body(WireRequest(path=path, body=raw, params={"model": "m"}), Options())
    assert isinstance(plan, ParsedBody)
    assert len(plan.requests) == len(plan.places) == number


VALUES = [
    (b'{"query":"q","documents":["a","b"]}', 6),
    (b'["a,b:[{", "\\",\\"", "\\\\", ",", "\\\\\\",,"]', 5),
    (b"[[],[],{}]", 6),
    (b'"' + b"," * 50 + b'"', 0),
    (b"," * 50, 50),
]


@pytest.mark.parametrize(("raw", "values"), VALUES)
def test_values_are_counted_outside_strings(raw: bytes, values: int) -> None:
    assert count_values(raw, 1000) == sum(raw.count(mark) for mark in (b",", b":", b"[", b"{"))
    if values:
        with pytest.raises(InvalidRequest, match=rf"more than {values - 1} .*limits.json_values"):
            count_values(raw, values - 1)
    assert count_values(raw, max(values, 1)) >= values


@pytest.mark.parametrize("odd", [0, 1], ids=["even", "odd"])
def test_a_string_may_cross_the_blocks_that_are_counted(odd: int) -> None:
    string = b'"' + b"x" * odd + b'\\\\\\",' * 400_000 + b'"'  # \\ then \" then , : five bytes
    raw = b"[" + string + b"," + string + b"]"
    assert count_values(raw, 2) == 2
    with pytest.raises(InvalidRequest):
        count_values(raw, 1)


@pytest.mark.parametrize("raw", [b'""' * 30, b'"' * 60, b'["' + b'","' * 30 + b'"]'])
def test_strings_without_marks_count_too(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        count_values(raw + b"," * 20, 10)


BODIES: list[tuple[str, bytes]] = [
    ("empty documents", b'{"query":"q","documents":[' + b'"",' * 600 + b'""]}'),
    ("empty objects", b'{"query":"q","documents":[' + b"{}," * 600 + b"{}]}"),
    ("one object", b'{"query":"q","documents":[{"text":"a","k":[' + b"0," * 600 + b"0]}]}"),
    ("nested", b'{"query":"q","documents":[' + (b"[" * 30 + b"]" * 30 + b",") * 30 + b'"a"]}'),
]


@pytest.mark.parametrize(("what", "raw"), BODIES, ids=[what for what, _ in BODIES])
async def test_what_a_body_holds_is_counted_before_it_is_read(what: str, raw: bytes) -> None:
    """A body that is no JSON at its very end: the limit speaks, so nothing was decoded."""
    async with running({"limits": {"json_values": 500, "documents": 5000}}) as (client, state):
        answer = await client.post("/v1/rerank", content=raw + b"!")
        assert answer.status_code == 400
        assert "limits.json_values" in answer.json()["message"]
        broken = await client.post("/v1/rerank", content=b'{"query":"q","documents":["a"]!}')
        assert "not valid JSON" in broken.json()["message"]
        assert state.inflight.used == 0


async def test_what_a_body_becomes_in_memory_counts_as_in_flight() -> None:
    raw = b'{"query":"q","documents":[{"text":"a","k":[' + b"0," * 2000 + b"0]}]}"
    async with running({"limits": {"inflight_bytes": 100_000}}) as (client, state):
        alone = await client.post("/v1/rerank", content=raw)
        state.inflight.take(1000, own=0)  # another request
        beside = await client.post("/v1/rerank", content=raw)
        assert state.inflight.used == 1000
        small = await client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
    assert [alone.status_code, beside.status_code, small.status_code] == [200, 503, 200]
    assert "limits.inflight_bytes" in beside.json()["detail"]


def test_the_limit_is_a_setting() -> None:
    assert settings().limits.json_values == 500_000
    assert settings(limits={"json_values": 7}).limits.json_values == 7
