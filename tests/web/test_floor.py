"""A model's floor: told in the lists of models, and no answer is filtered by it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from rerankd.core.errors import StartError
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state, plan_of
from tests.kit.support import settings

MODEL = {"rerankd-lexical": {"floor": 0.9}}


async def test_a_floor_is_told_for_every_name_of_its_model_and_filters_nothing() -> None:
    made = settings(models=["rerankd-lexical"], aliases={"other": "rerankd-lexical"}, model=MODEL)
    state = make_state(made)
    app: Any = create_app(state, plan_of(made))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        await state.backend.load()
        listed = (await client.get("/v1/models")).json()["data"]
        facts = state.backend.facts().models  # what /admin/v1/models answers
        body = {"query": "cat", "documents": ["a cat", "dogs", "cat cat cat"]}
        results = (await client.post("/v1/rerank", json=body)).json()["results"]
    assert {each["id"]: each["floor"] for each in listed} == {"rerankd-lexical": 0.9, "other": 0.9}
    assert [model.floor for model in facts] == [0.9]
    assert len(results) == 3
    assert min(each["relevance_score"] for each in results) < 0.9


async def test_without_the_setting_there_is_none() -> None:
    made = settings(models=["rerankd-lexical"])
    state = make_state(made)
    app: Any = create_app(state, plan_of(made))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        [only] = (await client.get("/v1/models")).json()["data"]
    assert only["floor"] is None


@pytest.mark.parametrize("name", ["nobody", "other"])
def test_a_floor_of_another_name_is_refused(name: str) -> None:
    made = settings(
        models=["rerankd-lexical"],
        aliases={"other": "rerankd-lexical"},
        model={name: {"floor": 0.5}},
    )
    with pytest.raises(StartError, match=f'model."{name}".floor'):
        plan_of(made)
