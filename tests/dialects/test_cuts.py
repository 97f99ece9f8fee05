"""Which field of which dialect lets a query be cut: docs/dialects/README.md, "What cuts"."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import litellm, nvidia, pinecone, superset, tei, vllm, voyage
from rerankd.dialects.base import Dialect
from tests.kit.support import real_client

LONG = "the capital of France is a town on a river with many bridges and it is old " * 900
TEXTS = ["Paris is the capital of France.", "Berlin"]
ASK: dict[str, dict[str, Any]] = {
    "/v1/rerank": {"documents": TEXTS},
    "/gateway/v1/rerank": {"documents": TEXTS},
    "/tei/rerank": {"texts": TEXTS},
    "/voyage/v1/rerank": {"documents": TEXTS},
    "/v1/ranking": {"passages": [{"text": text} for text in TEXTS]},
    "/pinecone/rerank": {"documents": TEXTS},
    "/vllm/v1/rerank": {"documents": TEXTS},
    "/score": {"documents": TEXTS},
    "/litellm/v1/rerank": {"documents": TEXTS},
    "/jina/v1/rerank": {"documents": TEXTS},
}
TO_THE_MODEL: list[tuple[str, dict[str, Any]]] = [
    ("/v1/rerank", {"truncate_query": True}),
    ("/gateway/v1/rerank", {"truncate_query": True}),
    ("/tei/rerank", {"truncate": True}),
    ("/predict", {"truncate": True}),
    ("/voyage/v1/rerank", {"truncation": True}),
    ("/v1/ranking", {"truncate": "END"}),
    ("/pinecone/rerank", {"parameters": {"truncate": "END"}}),
    ("/vllm/v1/rerank", {"truncate_prompt_tokens": -1}),
    ("/score", {"truncate_prompt_tokens": -1}),
    ("/litellm/v1/rerank", {"truncate_prompt_tokens": -1}),
]
TO_N = ["/v1/rerank", "/gateway/v1/rerank", "/vllm/v1/rerank", "/score", "/litellm/v1/rerank"]
REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("/v1/rerank", {}, 400),
    ("/v1/rerank", {"truncate_query": False, "max_tokens_per_query": 0}, 400),
    ("/gateway/v1/rerank", {}, 400),
    ("/tei/rerank", {}, 422),
    ("/tei/rerank", {"truncate": False}, 422),
    ("/predict", {}, 422),
    ("/predict", {"truncate": False}, 422),
    ("/voyage/v1/rerank", {}, 400),
    ("/voyage/v1/rerank", {"truncation": False}, 400),
    ("/v1/ranking", {}, 400),
    ("/v1/ranking", {"truncate": "NONE"}, 400),
    ("/pinecone/rerank", {}, 400),
    ("/pinecone/rerank", {"parameters": {"truncate": "NONE"}}, 400),
    ("/vllm/v1/rerank", {"max_tokens_per_query": 0}, 400),
    ("/vllm/v1/rerank", {"max_tokens_per_query": 9000}, 400),  # more than the model takes
    ("/score", {}, 400),
    ("/litellm/v1/rerank", {}, 400),
    ("/jina/v1/rerank", {"truncation": True}, 422),  # of documents only
]
SAID = {
    "/v1/rerank": ("error", "message"),
    "/gateway/v1/rerank": ("error", "message"),
    "/tei/rerank": ("error",),
    "/predict": ("error",),
    "/voyage/v1/rerank": ("detail",),
    "/v1/ranking": ("message",),
    "/pinecone/rerank": ("error", "message"),
    "/vllm/v1/rerank": ("error", "message"),
    "/score": ("error", "message"),
    "/litellm/v1/rerank": ("error", "message"),
    "/jina/v1/rerank": ("detail",),
}


def body_of(path: str, query: str, fields: dict[str, Any]) -> dict[str, Any]:
    if path == "/predict":
        return {"inputs": [[query, text] for text in TEXTS], **fields}
    name, value = ("queries", query) if path == "/score" else ("query", query)
    asked: Any = {"text": value} if path == "/v1/ranking" else value
    return {name: asked, **ASK[path], **fields}


def scores(answer: Any) -> list[float]:
    """All scores of an answer, in its order."""
    if isinstance(answer, list):
        return [score for each in cast("list[Any]", answer) for score in scores(each)]
    if not isinstance(answer, dict):
        return []
    found: list[float] = []
    for key, value in cast("dict[str, Any]", answer).items():
        found += [value] if key in ("score", "relevance_score", "logit") else scores(value)
    return found


async def test_with_its_field_a_query_is_cut_to_what_the_model_takes_and_the_answer_says_so() -> (
    None
):
    async with real_client({}, models=["rerankd-lexical"]) as client:
        for path, fields in TO_THE_MODEL:
            cut = await client.post(path, json=body_of(path, LONG, fields))
            assert cut.status_code == 200, (path, cut.text)
            (warning,) = msgspec.json.decode(cut.headers["x-rerankd-warnings"], type=list[str])
            kept = int(warning.removeprefix("query: cut to its first ").split()[0])
            assert 1000 < kept < len(LONG)
            as_cut = await client.post(path, json=body_of(path, LONG[:kept], fields))
            assert "x-rerankd-warnings" not in as_cut.headers
            assert scores(cut.json()) == scores(as_cut.json()), path
            assert len(scores(cut.json())) == len(TEXTS)


async def test_a_query_is_cut_to_so_many_tokens_and_the_answer_says_so() -> None:
    found: dict[str, list[float]] = {}
    async with real_client({}, models=["rerankd-lexical"]) as client:
        for path in TO_N:
            cut = await client.post(path, json=body_of(path, LONG, {"max_tokens_per_query": 9}))
            assert cut.status_code == 200, (path, cut.text)
            said = msgspec.json.decode(cut.headers["x-rerankd-warnings"])
            assert said == ["query: cut to its first 9 tokens (max_tokens_per_query)."], path
            found[path] = scores(cut.json())
            short = await client.post(
                path, json=body_of(path, "capital", {"max_tokens_per_query": 9})
            )
            assert "x-rerankd-warnings" not in short.headers
    assert all(each == found["/v1/rerank"] for each in found.values())
    assert found["/v1/rerank"][0] > found["/v1/rerank"][1]


async def test_without_it_the_query_is_refused_in_the_dialects_form() -> None:
    async with real_client({}, models=["rerankd-lexical"]) as client:
        for path, fields, status in REFUSED:
            answer = await client.post(path, json=body_of(path, LONG, fields))
            assert answer.status_code == status, (path, fields, answer.text)
            said: Any = answer.json()
            for key in SAID[path]:
                said = said[key]
            assert said.startswith("query has "), (path, fields)
            assert "takes at most 8192" in said, (path, fields)


def sent(dialect: Dialect, *, documents: bool, query: bool) -> tuple[dict[str, Any], set[str]]:
    """A request's body on the wire, and what of the two cuts it cannot say."""
    request = RerankRequest(
        query=Content(value="q"),
        documents=(Content(value="a"),),
        truncation=documents,
        truncate_query=query,
    )
    outgoing = dialect.outgoing(request)
    body = msgspec.json.decode(outgoing.wire.body, type=dict[str, Any])
    return body, {"truncation", "truncate_query"} & {*outgoing.lost}


LOST = {"truncate_query"}


@pytest.mark.parametrize(
    ("dialect", "name", "both", "neither", "documents_only"),
    [
        (voyage.DIALECT, "truncation", True, False, (None, set[str]())),
        (tei.RERANK, "truncate", True, False, (None, set[str]())),
        (nvidia.DIALECT, "truncate", "END", "NONE", ("END", LOST)),
        (
            pinecone.DIALECT,
            "parameters",
            {"truncate": "END"},
            {"truncate": "NONE"},
            (None, set[str]()),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else None,
)
def test_a_provider_with_one_field_for_both_cuts_is_told_by_it(
    dialect: Dialect, name: str, both: Any, neither: Any, documents_only: tuple[Any, set[str]]
) -> None:
    body, lost = sent(dialect, documents=True, query=True)
    assert (body[name], lost) == (both, set())
    body, lost = sent(dialect, documents=False, query=False)
    assert (body[name], lost) == (neither, set())
    body, lost = sent(dialect, documents=True, query=False)
    assert (body.get(name), lost) == documents_only
    body, lost = sent(dialect, documents=False, query=True)
    assert (body[name], lost) == (neither, LOST)


@pytest.mark.parametrize("dialect", [vllm.RERANK, litellm.DIALECT], ids=lambda found: found.name)
def test_vllm_is_told_to_cut_to_its_window_and_to_so_many_tokens(dialect: Dialect) -> None:
    body, lost = sent(dialect, documents=True, query=True)
    assert (body["truncate_prompt_tokens"], lost) == (-1, set())
    body, lost = sent(dialect, documents=True, query=False)
    assert ("truncate_prompt_tokens" in body, lost) == (False, set())
    request = RerankRequest(
        query=Content(value="q"), documents=(Content(value="a"),), max_tokens_per_query=7
    )
    for found in (dialect, superset.DIALECT):
        outgoing = found.outgoing(request)
        assert "max_tokens_per_query" not in outgoing.lost
        said = msgspec.json.decode(outgoing.wire.body, type=dict[str, Any])
        assert said["max_tokens_per_query"] == 7
    assert "max_tokens_per_query" in voyage.DIALECT.outgoing(request).lost
