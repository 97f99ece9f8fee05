"""Who answered, on which scale: said in every dialect when a route answered, and only then."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import pytest

from rerankd.core.answer import Ranking, RouteFacts
from rerankd.dialects.base import AnyEndpoint, Embedding
from rerankd.dialects.registry import SERVED
from rerankd.gateway.targets import NO_WISH, Wish
from rerankd.web.route_headers import asked_space, route_headers
from rerankd.web.state import State
from tests.kit.support import running

HERE = RouteFacts(route="any", model="fake-model", space="local/fake")
THERE = RouteFacts(route="any", upstream="acme", model="m", space="acme/m", attempts=2)
INSTEAD = dataclasses.replace(THERE, upstream="", degraded="input-order")

BODIES: dict[str, dict[str, Any]] = {
    "tei": {"query": "q", "texts": ["a"]},
    "tei-predict": {"inputs": [["q", "a"]]},
    "dashscope": {"input": {"query": "q", "documents": ["a"]}},
    "mixedbread": {"query": "q", "input": ["a"]},
    "nvidia": {"query": {"text": "q"}, "passages": [{"text": "a"}]},
    "deepinfra": {"queries": ["q"], "documents": ["a"]},
    "vllm-score": {"queries": "q", "documents": ["a"]},
    "llamacpp-texts": {"query": "q", "texts": ["a"]},
}
BODY = {"query": "q", "documents": ["a"]}


class Routed:
    """The router of a state, with facts of a route on its rankings."""

    def __init__(self, state: State, facts: RouteFacts | None) -> None:
        self._router = state.router
        self._facts = facts
        self.space: str | None = None

    async def rerank(self, *given: Any, wish: Wish = NO_WISH, **more: Any) -> Sequence[Ranking]:
        """As the router, routed."""
        self.space = wish.space
        found = await self._router.rerank(*given, **more)
        return [dataclasses.replace(ranking, route=self._facts) for ranking in found]


def path_of(dialect: AnyEndpoint) -> str:
    marked = [path for mark in dialect.marks for path in mark.paths]
    path = (*dialect.own_paths(), *marked)[0]
    return re.sub(r"\{\w+\}", "fake-model", path)


RANKING = [each for each in SERVED.served if not isinstance(each, Embedding)]  # routes rank only


@pytest.mark.parametrize("dialect", RANKING, ids=lambda found: found.name)
async def test_every_dialect_says_it_and_only_of_a_route(dialect: AnyEndpoint) -> None:
    said: list[tuple[Any, ...]] = []
    async with running() as (client, state):
        plain = state.router
        for facts in (None, HERE, THERE, INSTEAD):
            state.router = plain
            state.router = Routed(state, facts)  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
            answer = await client.post(path_of(dialect), json=BODIES.get(dialect.name, BODY))
            assert answer.status_code == 200, answer.text
            headers = answer.headers
            said.append((headers.get("x-rerankd-route"), headers.get("x-rerankd-space")))
    assert said == [
        (None, None),
        ("local/fake-model", "local/fake"),
        ("acme/m", "acme/m"),
        ("input-order", "acme/m"),
    ]


@pytest.mark.parametrize("path", ["/v1/rerank", "/gateway/v1/rerank"])
async def test_the_superset_says_it_in_its_body_too(path: str) -> None:
    async with running() as (client, state):
        plain = (await client.post(path, json=BODY)).json()
        state.router = Routed(state, INSTEAD)  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
        routed = (await client.post(path, json=BODY)).json()
    assert "route" not in plain["meta"]
    assert routed["meta"]["route"] == {
        "route": "any",
        "model": "m",
        "upstream": None,
        "space": "acme/m",
        "attempts": 2,
        "degraded": "input-order",
    }


async def test_siliconflows_own_form_has_it_in_headers_only() -> None:
    async with running() as (client, state):
        state.router = Routed(state, THERE)  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
        answer = await client.post("/siliconflow/v1/rerank", json=BODY)
    assert "route" not in answer.json()["meta"]
    assert answer.headers["x-rerankd-route"] == "acme/m"


async def test_a_caller_names_the_scale_that_he_wants() -> None:
    async with running() as (client, state):
        router = Routed(state, None)
        state.router = router  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
        for sent, asked in (("bge v2%2Fm3 ", "bge v2/m3"), (" ", None)):
            headers = {"x-rerankd-space": sent}
            assert (await client.post("/v1/rerank", json=BODY, headers=headers)).status_code == 200
            assert router.space == asked
        headers = {"x-rerankd-space": "x" * 501}
        refused = await client.post("/v1/rerank", json=BODY, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "x-rerankd-space"


@pytest.mark.parametrize("name", ["a b", "模型", "50%", "x\r\nset-cookie: a=b", "é", 'a;"b"'])
def test_any_name_can_be_a_header_and_comes_back(name: str) -> None:
    facts = RouteFacts(route="r", model=name, space=name)
    headers = route_headers(facts)
    for value in headers.values():
        assert value.isascii()
        assert value.isprintable()
    assert asked_space({"x-rerankd-space": headers["x-rerankd-space"]}) == name
