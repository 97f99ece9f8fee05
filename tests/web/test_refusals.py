"""Every way that a request is refused, with the body, the status and the headers."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.load import Spec
from rerankd.service.plan import ServingPlan
from tests.kit.support import BytesModel, body, local, running, stop_rates

KEYS: dict[str, Any] = {
    "keys": [
        {"name": "all", "key": "sk-all"},
        {"name": "hashed", "sha256": hashlib.sha256(b"sk-hashed").hexdigest()},
        {"name": "one", "key": "sk-one", "models": ["other-model"]},
        {"name": "rpm", "key": "sk-rpm", "rpm": 2},
        {"name": "tpm", "key": "sk-tpm", "tpm": 10},
    ]
}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", ""])
@pytest.mark.parametrize("key", ["sk-all", "sk-hashed"])
async def test_a_good_key_is_let_in(key: str, scheme: str) -> None:
    headers = {"authorization": scheme + key}
    async with running(KEYS) as (client, _):
        answer = await client.post("/v1/rerank", json=body(), headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("sk-wrong"),
        bearer(""),
        {"authorization": "sk-wrong"},
        {"authorization": "Basic sk-all"},
        {"authorization": "Bearer"},
    ],
    ids=str,
)
@pytest.mark.parametrize("content", [b"not json", b'{"query":"q","documents":["a"]}'])
async def test_a_bad_key_is_a_401_before_the_body_is_parsed(
    headers: dict[str, str], content: bytes
) -> None:
    async with running(KEYS) as (client, _):
        answer = await client.post("/v1/rerank", content=content, headers=headers)
    assert (answer.status_code, answer.text) == (401, '"Invalid token"')
    assert answer.headers["content-type"] == "application/json"


async def test_a_key_of_another_model_is_a_403() -> None:
    async with running(KEYS, aliases={"other-model": "fake-model"}) as (client, _):
        refused = await client.post("/v1/rerank", json=body(), headers=bearer("sk-one"))
        allowed = await client.post(
            "/v1/rerank", json=body(model="other-model"), headers=bearer("sk-one")
        )
        listed = (await client.get("/v1/models", headers=bearer("sk-one"))).json()
    assert (refused.status_code, refused.text) == (403, '"Forbidden"')
    assert allowed.status_code == 200
    assert [model["id"] for model in listed["data"]] == ["other-model"]


async def test_a_name_by_another_publisher_is_allowed_by_the_name_that_answers() -> None:
    keys = {
        "keys": [
            {"name": "own", "key": "sk-own", "models": ["fake-model"]},
            {"name": "other", "key": "sk-other", "models": ["evil/fake-model"]},
        ]
    }
    async with running(keys) as (client, state):
        folder = Spec(name="fake-model", folder=Path("/models/fake-model"))
        local(state).pool.names = ServingPlan(specs=(folder,), aliases={}).names()
        asked = body(model="evil/fake-model")
        allowed = await client.post("/v1/rerank", json=asked, headers=bearer("sk-own"))
        refused = await client.post("/v1/rerank", json=asked, headers=bearer("sk-other"))
    assert (allowed.status_code, allowed.json()["model"]) == (200, "fake-model")
    assert refused.status_code == 403


async def test_rpm_over_is_a_429() -> None:
    async with running({**KEYS, "server": {"contact": "x@y.z"}}) as (client, state):
        stop_rates(state)
        statuses: list[int] = []
        for _ in range(2):
            answer = await client.post("/v1/rerank", json=body(), headers=bearer("sk-rpm"))
            statuses.append(answer.status_code)
        answer = await client.post("/v1/rerank", json=body(), headers=bearer("sk-rpm"))
    assert statuses == [200, 200]
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    refused = answer.json()
    assert refused["message"] == (
        "Request was rejected due to rate limiting. If you want more, please contact x@y.z. "
        "Details:RPM limit reached."
    )
    assert refused["data"] is None
    assert "code" not in refused


async def test_tpm_counts_the_true_tokens() -> None:
    async with running(KEYS) as (client, state):
        stop_rates(state)
        first = await client.post("/v1/rerank", json=body(), headers=bearer("sk-tpm"))
        second = await client.post("/v1/rerank", json=body(), headers=bearer("sk-tpm"))
    assert first.json()["usage"]["total_tokens"] == 7
    assert second.status_code == 429
    assert second.json()["message"].endswith("Details:TPM limit reached.")
    assert int(second.headers["retry-after"]) == 24


async def test_an_unknown_model_lists_what_is_served() -> None:
    async with running(aliases={"alias": "fake-model"}) as (client, _):
        answer = await client.post("/v1/rerank", json=body(model="nobody/knows"))
    assert (answer.status_code, answer.json()["code"]) == (400, 20012)
    assert "fake-model, alias" in answer.json()["message"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("BAAI/bge-reranker-v2-m3", "rerankd pull BAAI/bge-reranker-v2-m3"),
        ("Pro/BAAI/bge-reranker-v2-m3", "rerankd pull BAAI/bge-reranker-v2-m3"),
        ("qwen3-rerank", "rerankd pull Qwen/Qwen3-Reranker-0.6B"),
        ("jina-reranker-v2-base-multilingual", "pull jinaai/jina-reranker-v2-base-multilingual"),
        ("Qwen/Qwen3-Reranker-8B", "rerankd pull Qwen/Qwen3-Reranker-8B"),
    ],
)
async def test_a_catalog_model_that_is_not_here_says_how_to_get_it(name: str, command: str) -> None:
    async with running() as (client, _):
        answer = await client.post("/v1/rerank", json=body(model=name))
    assert (answer.status_code, answer.json()["code"]) == (400, 20012)
    assert command in answer.json()["message"]


@pytest.mark.parametrize("field", ["query", "documents[1]"])
async def test_an_image_names_the_models_that_could_answer(field: str) -> None:
    image = {"image": "https://example.com/x.jpg"}
    posted = body(image if field == "query" else "q", ["a", image])  # type: ignore[arg-type]
    async with running() as (client, _):
        answer = await client.post("/v1/rerank", json=posted)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert answer.json()["error"]["param"] == field
    assert "Qwen/Qwen3-VL-Reranker-8B" in answer.json()["message"]


LIMITS = {
    "limits": {
        "body_bytes": 4000,
        "documents": 3,
        "document_bytes": 100,
        "query_bytes": 50,
        "request_tokens": 300,
    }
}


@pytest.mark.parametrize(
    ("posted", "status", "param", "says"),
    [
        (body(documents=["a"] * 4), 400, "documents", ("4", "limit is 3", "limits.documents")),
        (body(documents=["a", "x" * 101]), 400, "documents[1]", ("101", "100", "document_bytes")),
        (body(documents=["文" * 34]), 400, "documents[0]", ("102", "100")),
        (body("x" * 51), 400, "query", ("51", "50", "limits.query_bytes")),
        (body("x" * 50, ["y" * 99, "z" * 100]), 400, "documents", ("301", "300")),
        (body(documents=["x" * 4000]), 413, None, ("4000", "limits.body_bytes")),
    ],
    ids=["documents", "document", "utf-8", "query", "tokens", "body"],
)
async def test_a_limit_names_the_number_and_the_setting(
    posted: dict[str, Any], status: int, param: str | None, says: Sequence[str]
) -> None:
    async with running(LIMITS) as (client, _):
        answer = await client.post("/v1/rerank", json=posted)
    assert (answer.status_code, answer.json()["code"]) == (status, 20015)
    assert answer.json()["error"]["param"] == param
    for part in says:
        assert part in answer.json()["message"]


async def test_a_body_without_a_length_is_stopped_where_the_limit_is() -> None:
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while sent < 10_000_000:
            sent += 1000
            yield b" " * 1000

    headers = {"content-type": "application/json"}
    async with running(LIMITS) as (client, _):
        answer = await client.post("/v1/rerank", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent <= LIMITS["limits"]["body_bytes"] + 2000


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"content-type": "text/plain"}, "application/json"),
        ({"content-type": "application/x-www-form-urlencoded"}, "application/json"),
        ({"content-type": "multipart/form-data; boundary=x"}, "application/json"),
        ({"content-type": "application/json; charset=gbk"}, "UTF-8"),
        ({"content-encoding": "br"}, "gzip"),
    ],
    ids=str,
)
async def test_headers_that_cannot_be_right_are_refused(headers: dict[str, str], says: str) -> None:
    content = b'{"query":"q","documents":["a"]}'
    async with running() as (client, _):
        answer = await client.post("/v1/rerank", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert says in answer.json()["message"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/x+json",
        "*/*",
    ],
)
async def test_json_by_any_of_its_names_is_read(content_type: str) -> None:
    content = b'{"query":"q","documents":["a"]}'
    async with running() as (client, _):
        answer = await client.post(
            "/v1/rerank", content=content, headers={"content-type": content_type}
        )
    assert answer.status_code == 200


async def test_an_unknown_path_is_plain_text() -> None:
    async with running(KEYS) as (client, _):
        answer = await client.get("/v9/rerank")
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_the_wrong_method_says_which_is_right() -> None:
    async with running() as (client, _):
        answer = await client.get("/v1/rerank")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


class GatedEngine(FakeEngine):
    """Runs nothing until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__(max_length=None, batch_tokens=10)
        self.gate = threading.Event()

    def forward(self, batch: Sequence[Row]) -> Logits:
        if not self.gate.wait(20):
            raise TimeoutError
        return super().forward(batch)


async def test_a_full_queue_is_a_503_at_once() -> None:
    engine = GatedEngine()
    values = {"limits": {"queue_tokens": 20}}
    async with running(values, model=BytesModel(engine=engine)) as (client, state):
        running_now = asyncio.create_task(client.post("/v1/rerank", json=body(documents=["a"] * 2)))
        waiting = [
            asyncio.create_task(client.post("/v1/rerank", json=body(documents=[f"{n}" * 10])))
            for n in range(2)
        ]
        async with asyncio.timeout(20):
            while local(state).pool.loaded["fake-model"].scheduler.waiting_tokens < 12:
                await asyncio.sleep(0.01)
            answer = await client.post("/v1/rerank", json=body(documents=["y" * 15]))
        engine.gate.set()
        await asyncio.gather(running_now, *waiting)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    refused = answer.json()
    assert (refused["code"], refused["data"]) == (50505, None)
    assert refused["message"] == "Model service overloaded. Please try again later."


async def test_a_deadline_is_a_504_string_and_frees_the_queue() -> None:
    engine = GatedEngine()
    values = {"limits": {"deadline_s": 0.2}}
    async with running(values, model=BytesModel(engine=engine)) as (client, state):
        answer = await client.post("/v1/rerank", json=body(documents=["a" * 20, "b" * 20]))
        assert local(state).pool.loaded["fake-model"].scheduler.waiting_tokens == 0
        engine.gate.set()
    assert answer.status_code == 504
    assert "0.2 s" in answer.json()


class BrokenEngine(FakeEngine):
    """Fails, with words that no caller must see."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        raise RuntimeError("secret internals")


async def test_a_500_shows_a_request_id_and_no_internals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running(model=BytesModel(engine=BrokenEngine(max_length=None))) as (client, _):
        answer = await client.post("/v1/rerank", json=body())
        health = await client.get("/health")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert health.status_code == 503
    logged = capsys.readouterr()
    assert "secret internals" in logged.out + logged.err  # the operator does see it


async def test_bodies_in_progress_are_bounded_together() -> None:
    engine = GatedEngine()
    values = {"limits": {"inflight_bytes": 1000}}
    async with running(values, model=BytesModel(engine=engine)) as (client, state):
        first = asyncio.create_task(client.post("/v1/rerank", json=body(documents=["x" * 600])))
        async with asyncio.timeout(20):
            while state.inflight.used < 600:
                await asyncio.sleep(0.01)
        second = await client.post("/v1/rerank", json=body(documents=["y" * 600]))
        engine.gate.set()
        assert (await first).status_code == 200
        third = await client.post("/v1/rerank", json=body(documents=["y" * 600]))
    assert second.status_code == 503
    assert third.status_code == 200


async def test_cors_is_off_unless_configured() -> None:
    preflight = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,authorization",
    }
    async with running() as (client, _):
        off = await client.options("/v1/rerank", headers=preflight)
    values = {"server": {"cors_origins": ["https://app.example"]}}
    async with running(values) as (client, _):
        on = await client.options("/v1/rerank", headers=preflight)
        other = await client.options(
            "/v1/rerank", headers=preflight | {"origin": "https://evil.example"}
        )
    assert "access-control-allow-origin" not in off.headers
    assert on.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers


class FailsOnce(FakeEngine):
    """Cannot score what has the byte `!`."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        if any(ord("!") in row.ids for row in batch):
            raise RuntimeError("a device was lost")
        return super().forward(batch)


async def test_tokens_of_an_engine_failure_stay_paid_and_those_of_a_full_queue_do_not() -> None:
    model = BytesModel(engine=FailsOnce(max_length=None))
    values = {**KEYS, "limits": {"queue_tokens": 20}}
    async with running(values, model=model) as (client, state):
        scheduler = local(state).pool.loaded["fake-model"].scheduler
        headers = bearer("sk-tpm")  # 10 tokens a minute; body() has 7
        with scheduler.reserve(20):
            full = await client.post("/v1/rerank", json=body(), headers=headers)
        failed = await client.post("/v1/rerank", json=body(documents=["!a", "bb"]), headers=headers)
        after = await client.post("/v1/rerank", json=body(), headers=headers)
    assert [full.status_code, failed.status_code, after.status_code] == [503, 500, 429]
