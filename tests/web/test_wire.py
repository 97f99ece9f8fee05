"""Recorded requests, of the providers' pages and of real clients, answered by the real app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit.support import real_client

WIRE = Path(__file__).parents[1] / "wire"
PATHS = {"superset": "/v1/rerank", "gateway": "/gateway/v1/rerank"}
FILES = sorted(WIRE.glob("*/*.json"))


def read(path: Path) -> Any:
    return json.loads(path.read_text())


PUBLISHED = [path for path in FILES if "path" not in read(path)]  # seeds of the superset
RECORDED = [path for path in FILES if "path" in read(path)]  # answers recorded whole
NAMES = sorted({read(path)["request"]["model"] for path in PUBLISHED})


async def post(path: Path, aliases: dict[str, str]) -> httpx2.Response:
    async with real_client(aliases) as client:
        return await client.post(PATHS[path.parent.name], json=read(path)["request"])


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: f"{p.parent.name}/{p.stem}")
async def test_a_published_request_is_answered(path: Path) -> None:
    expect = read(path)["expect"]
    response = await post(path, dict.fromkeys(NAMES, "rerankd-lexical"))
    answer = response.json()
    assert response.status_code == expect["status"], answer
    if expect["status"] != 200:
        assert answer["code"] == expect["code"]
        assert answer["error"]["param"] == expect["param"]
        return
    results = answer["results"]
    order = [result["index"] for result in results]
    assert answer["model"] == "rerankd-lexical"
    assert ("choices" in answer) == expect.get("choices", False)
    if "first" in expect:
        assert order[0] == expect["first"]
        assert len(order) == expect["count"]
        return
    assert order == expect["order"]
    if expect["documents"] is None:
        assert all("document" not in result for result in results)
    else:
        assert [result["document"]["text"] for result in results] == expect["documents"]
    assert all(0 <= result["relevance_score"] <= 1 for result in results)
    assert expect.get("warns", "") in str(answer["meta"].get("warnings", ""))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: f"{p.parent.name}/{p.stem}")
async def test_without_the_alias_it_is_a_400_that_says_how_to_get_the_model(path: Path) -> None:
    request = read(path)["request"]
    response = await post(path, {})
    answer = response.json()
    assert response.status_code == 400
    if request.get("top_n") == 0 and path.parent.name == "superset":
        assert answer["code"] == 20015
        return
    assert answer["code"] == 20012
    command = "rerankd serve --alias" if request["model"] == "string" else "rerankd pull "
    assert command in answer["message"]


@pytest.mark.parametrize(
    ("name", "first"), [("gateway-qwen3-rerank", [0, 2]), ("jina", [2]), ("siliconflow-bge", [0])]
)
async def test_the_default_ranks_the_published_examples_as_published(
    name: str, first: list[int]
) -> None:
    path = WIRE / "superset" / f"{name}.json"
    answer = (await post(path, dict.fromkeys(NAMES, "rerankd-mini"))).json()
    assert answer["model"] == "rerankd-mini"
    assert [result["index"] for result in answer["results"]][: len(first)] == first


async def test_an_image_request_names_the_models_that_could_answer() -> None:
    for aliases in ({}, dict.fromkeys(NAMES, "rerankd-lexical")):
        response = await post(WIRE / "superset" / "siliconflow-vl.json", aliases)
        assert response.status_code == 400
        assert "Qwen/Qwen3-VL-Reranker-2B, Qwen/Qwen3-VL-Reranker-8B" in response.json()["message"]


MASKS: dict[str, tuple[type, ...]] = {
    "<id>": (str,),
    "<score>": (float,),
    "<time>": (int, float),
    "<vector>": (list, str),
}


def check(expected: Any, actual: Any, where: str = "$") -> None:
    """Equal, keys and all; what is in MASKS stands for any, `…<more>` for a start."""
    if isinstance(expected, str) and expected in MASKS:
        assert isinstance(actual, MASKS[expected]), where
        assert actual or actual == 0, where
    elif isinstance(expected, str) and expected.endswith("<more>"):
        assert str(actual).startswith(expected.removesuffix("<more>")), where
    elif isinstance(expected, dict):
        assert list(actual) == list(expected), where  # pyright: ignore[reportUnknownArgumentType] - JSON
        for key, value in expected.items():  # pyright: ignore[reportUnknownVariableType] - JSON
            check(value, actual[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), where  # pyright: ignore[reportUnknownArgumentType] - JSON
        for i, value in enumerate(expected):  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType] - JSON
            check(value, actual[i], f"{where}[{i}]")
    else:
        assert actual == expected, where


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
async def test_a_recorded_request_is_answered_as_recorded(path: Path) -> None:
    recorded = read(path)
    # Named, so that another default changes no recorded body.
    models = recorded.get("models", ["rerankd-lexical"])
    aliases = {"bge-reranker-v2-m3": "rerankd-lexical"}
    if "models" in recorded:
        aliases["bge-small-en-v1.5"] = models[-1]
    async with real_client(aliases, models=models) as client:
        response = await client.post(
            recorded["path"], json=recorded["request"], headers=recorded.get("headers", {})
        )
    assert response.status_code == recorded["expect"]["status"], response.text
    check(recorded["expect"]["body"], response.json())
