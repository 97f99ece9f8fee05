"""A cascaded model as clients see it: order, marks, counts and who answered."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import httpx2

from rerankd.models.lexical import LexicalModel
from rerankd.models.load import Loaded, Spec
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state, plan_of
from tests.kit.support import BytesModel, body, settings

DOCUMENTS = ["a red apple", "no match", "an apple", "apple tree", "nothing"]


async def test_the_answer_says_who_scored_what(tmp_path: Any) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    made = settings(
        models=[str(folder)],
        aliases={"fast": "big"},
        model={"fast": {"stages": ["rerankd-lexical:2", "big"]}},
    )

    def load(spec: Spec) -> Loaded:
        model = LexicalModel() if spec.name == "rerankd-lexical" else BytesModel(spec.name)
        return Loaded(model=model, warnings=())

    state = make_state(made, load=load)
    app: Any = create_app(state, plan_of(made))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        await state.backend.load()
        asked = body("apple", DOCUMENTS, model="fast")
        answer = await client.post("/v1/rerank", json=asked)
        cohere = await client.post("/v2/rerank", json=asked)
        straight = await client.post("/v1/rerank", json={**asked, "model": "big"})
    found = answer.json()
    results = found["results"]
    assert found["model"] == "big"
    assert [r.get("stage") for r in results] == [None, None, *["rerankd-lexical"] * 3]
    assert sorted(r["index"] for r in results) == [0, 1, 2, 3, 4]
    assert {r["index"] for r in results[:2]} <= {0, 2, 3}  # the lexical stage found the apples
    scores = [r["relevance_score"] for r in results]
    assert all(a >= b for a, b in pairwise(scores))
    [warning] = found["meta"]["warnings"]
    assert warning.startswith("big scored 2 of 5 documents, the best by rerankd-lexical")
    assert json.loads(answer.headers["x-rerankd-warnings"]) == [warning]
    assert json.loads(cohere.headers["x-rerankd-warnings"]) == [warning]
    assert "stage" not in cohere.text.replace("rerankd-lexical", "")
    tokens = sum(len(f"apple{DOCUMENTS[r['index']]}") + 1 for r in results[:2])
    assert found["usage"]["total_tokens"] == found["usage"]["input_tokens"]
    assert f" {tokens} tokens of big." in warning
    lexical_terms = int(warning.split("counted: ")[1].split(" ")[0])
    assert found["usage"]["total_tokens"] == lexical_terms + tokens
    assert not any("stage" in r for r in straight.json()["results"])
    assert "x-rerankd-warnings" not in straight.headers
