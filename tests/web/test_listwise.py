"""A listwise model over HTTP: one request is one list, and every dialect answers with cosines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rerankd.service.plan import plan
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state
from tests.checkpoints.listwise import TINY, write
from tests.kit.support import body, local, settings

NAME = "lists"
TEXTS = ["Paris is a city.", "Berlin", "a b c", "Rome was not built in a day.", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / NAME, TINY)


@pytest.fixture
async def client(folder: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    state = make_state(settings(limits={"score_cache_bytes": 1 << 20}))
    stages = {"staged": ["rerankd-lexical:3", NAME]}
    app: Any = create_app(state, plan([str(folder)], {"staged": NAME}, {}, stages))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as found,
    ):
        await state.backend.load()
        assert local(state).pool.get(NAME).scheduler.cache is None
        yield found


async def scores(client: httpx2.AsyncClient, texts: list[str], **fields: Any) -> dict[int, float]:
    """By index."""
    answer = await client.post("/v1/rerank", json=body("capital", texts, model=NAME, **fields))
    assert answer.status_code == 200, answer.text
    return {each["index"]: each["relevance_score"] for each in answer.json()["results"]}


async def test_meta_says_listwise_and_scores_are_cosines(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/rerank", json=body("capital", TEXTS, model=NAME))
    told = answer.json()
    assert told["meta"]["listwise"] is True
    assert all(-1 <= each["relevance_score"] <= 1 for each in told["results"])
    assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert await scores(client, TEXTS, raw_scores=True) == await scores(client, TEXTS)


async def test_order_company_and_equal_texts_count(client: httpx2.AsyncClient) -> None:
    whole = await scores(client, TEXTS)
    backwards = await scores(client, TEXTS[::-1])
    alone = await scores(client, TEXTS[:1])
    assert abs(whole[0] - backwards[4]) > 1e-4
    assert abs(whole[1] - (await scores(client, TEXTS[1:2]))[0]) > 1e-4
    assert alone.keys() == {0}
    equal = await scores(client, ["Berlin", "Berlin"])
    assert equal[0] != equal[1]
    assert await scores(client, TEXTS) == pytest.approx(whole, abs=1e-5)


async def test_top_n_is_a_prefix_of_the_whole_answer(client: httpx2.AsyncClient) -> None:
    whole = await scores(client, TEXTS)
    assert await scores(client, TEXTS, top_n=2) == pytest.approx(
        dict(sorted(whole.items(), key=lambda each: -each[1])[:2]), abs=1e-6
    )


async def test_stages_choose_documents_that_are_read_in_the_callers_order(
    client: httpx2.AsyncClient,
) -> None:
    texts = ["capital Rome", "x", "capital", "y", "the capital"]
    answer = await client.post("/v1/rerank", json=body("capital", texts, model="staged"))
    told = answer.json()
    assert told["meta"]["listwise"] is True
    mine = {r["index"]: r["relevance_score"] for r in told["results"] if not r.get("stage")}
    alone = await scores(client, [texts[i] for i in (0, 2, 4)])
    assert mine == pytest.approx({0: alone[0], 2: alone[1], 4: alone[2]}, abs=1e-5)


async def test_what_cannot_be_read_whole_is_refused_where_truncation_is_off(
    client: httpx2.AsyncClient,
) -> None:
    long = " ".join(["word"] * 5000)
    sent = body("capital", ["a", long], model=NAME)
    refused = await client.post("/v1/rerank", json=sent | {"truncation": False})
    assert refused.status_code == 400
    assert "documents[1]" in refused.text
    assert "2048" in refused.text
    cut = (await client.post("/v1/rerank", json=sent)).json()
    assert [r["index"] for r in cut["results"] if r.get("truncated")] == [1]
    assert "2048 tokens of each" in cut["meta"]["warnings"][0]


async def test_other_dialects_answer_with_cosines_below_zero_too(
    client: httpx2.AsyncClient,
) -> None:
    whole = await scores(client, TEXTS)
    for path, listed, score in (
        ("/jina/v1/rerank", "results", "relevance_score"),
        ("/cohere/v2/rerank", "results", "relevance_score"),
        ("/voyage/v1/rerank", "data", "relevance_score"),
    ):
        answer = await client.post(path, json=body("capital", TEXTS, model=NAME))
        assert answer.status_code == 200, answer.text
        found = {each["index"]: each[score] for each in answer.json()[listed]}
        assert found == pytest.approx(whole, abs=1e-4), path


async def test_health_and_the_list_of_models_know_it(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 200
    assert NAME in (await client.get("/v1/models")).text
