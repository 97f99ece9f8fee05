"""truncate_query: a query that is too long is a 400, or cut with a warning that says so."""

from __future__ import annotations

import pytest

from rerankd.core.errors import QueryTooLong
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Prepared
from rerankd.service.query_cut import prepared_of
from tests.kit.support import BytesModel, real_client

LONG = "the capital of France is a town on a river with many bridges and it is old " * 900


class Narrow(BytesModel):
    """Takes ten tokens of a query; blanks are none, so that cutting them gains nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[str] = []

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        self.tried.append(request.query.value)
        tokens = len(request.query.value.replace(" ", ""))
        if tokens > 10:
            raise QueryTooLong(f"query has {tokens} tokens.", tokens=tokens, limit=10)
        return super().prepare(request, meter)


def ask(query: str, *, cut: bool) -> RerankRequest:
    documents = (Content(value="a"), Content(value="b"))
    return RerankRequest(query=Content(value=query), documents=documents, truncate_query=cut)


def test_a_query_that_fits_is_not_touched() -> None:
    model = Narrow()
    prepared = prepared_of(model, ask("x" * 10, cut=True), Meter())
    assert prepared.warnings == ()
    assert model.tried == ["x" * 10]


def test_a_query_is_cut_at_its_end_to_what_fits() -> None:
    model = Narrow()
    prepared = prepared_of(model, ask("abcdefghijklmnop", cut=True), Meter())
    assert model.tried[-1] == "abcdefghij"
    assert prepared.warnings == (
        "query: cut to its first 10 of 16 characters: fake-model takes no more.",
    )


@pytest.mark.parametrize("query", ["x" * 11 + " " * 100_000, " " * 100_000 + "x" * 11])
def test_few_tries_are_enough_whatever_the_text(query: str) -> None:
    model = Narrow()
    prepared_of(model, ask(query, cut=True), Meter())
    assert len(model.tried) < 30


def test_without_the_wish_it_is_refused_at_once() -> None:
    model = Narrow()
    with pytest.raises(QueryTooLong):
        prepared_of(model, ask("x" * 11, cut=False), Meter())
    assert len(model.tried) == 1


@pytest.mark.parametrize("model", ["rerankd-mini", "rerankd-lexical"])
@pytest.mark.parametrize("path", ["/v1/rerank", "/gateway/v1/rerank"])
async def test_a_shipped_model_answers_a_query_that_is_cut(model: str, path: str) -> None:
    posted = {"query": LONG, "documents": ["Paris", "Berlin"], "model": model}
    async with real_client({}, models=["rerankd-mini", "rerankd-lexical"]) as client:
        refused = await client.post(path, json=posted)
        cut = await client.post(path, json=posted | {"truncate_query": True})
        (warning,) = cut.json()["meta"]["warnings"]
        kept = int(warning.removeprefix("query: cut to its first ").split()[0])
        as_cut = await client.post(path, json=posted | {"query": LONG[:kept]})
    assert (refused.status_code, cut.status_code) == (400, 200)
    assert refused.json()["error"]["param"] == "query"
    assert 1000 < kept < len(LONG)
    assert model in warning
    assert cut.json()["results"] == as_cut.json()["results"]
    assert "x-rerankd-warnings" in cut.headers
