"""What pages of docs/integrations make programs send that CI does not install."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.kit.support import running

PAGES = Path(__file__).parents[2] / "docs" / "integrations"
KEY = "sk-0123456789abcdef0123456789abcdef"
KEYS: dict[str, Any] = {"keys": [{"name": "all", "key": KEY}]}
QUERY, DOCUMENTS = 'What is "it"?', ["one", "two\n", "三"]


def block(page: str, start: str) -> str:
    """The block of a page that starts so."""
    found = re.findall(r"```\w+\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    [one] = [text for text in found if text.startswith(start)]
    return one


def at(answer: Any, path: str) -> list[Any]:
    """The values of a path such as $.results[*].index."""
    found = re.fullmatch(r"\$\.(\w+)\[\*\]\.(\w+)", path)
    assert found, path
    return [row[found[2]] for row in answer[found[1]]]


async def test_elasticsearch_sends_what_its_page_configures_and_finds_its_scores() -> None:
    head, _, body = block("elasticsearch", "PUT").partition("\n")
    assert head == "PUT _inference/rerank/rerankd"
    settings = json.loads(body)["service_settings"]
    values = {"query": QUERY, "input": DOCUMENTS}
    sent = settings["request"]
    for name, value in values.items():
        sent = sent.replace(f"${{{name}}}", json.dumps(value))
    headers = {k: v.replace("${api_key}", KEY) for k, v in settings["headers"].items()}
    path = settings["url"].removeprefix("http://HOST:8000")
    async with running(KEYS, aliases={"rerankd-multi": "fake-model"}) as (client, _):
        answered = await client.post(path, content=sent, headers=headers)
    assert answered.status_code == 200, answered.text
    parser = settings["response"]["json_parser"]
    assert sorted(at(answered.json(), parser["reranked_index"])) == [0, 1, 2]
    scores = at(answered.json(), parser["relevance_score"])
    assert scores == sorted(scores, reverse=True)


async def test_flowises_azure_node_is_answered() -> None:
    alias = "Cohere-rerank-v4.0-fast"
    assert f"--alias {alias}=rerankd-multi" in block("flowise", "rerankd")
    sent = {
        "model": alias,
        "top_n": 2,
        "max_chunks_per_doc": 10,
        "query": QUERY,
        "return_documents": False,
        "documents": DOCUMENTS,
    }
    async with running(KEYS, aliases={alias: "fake-model"}) as (client, _):
        answered = await client.post("/v1/rerank", json=sent, headers={"api-key": KEY})
        refused = await client.post("/v1/rerank", json=sent, headers={"api-key": "another"})
    assert answered.status_code == 200, answered.text
    results = answered.json()["results"]
    assert len(results) == 2
    assert all(set(row) >= {"index", "relevance_score"} for row in results)
    assert refused.status_code == 401


async def test_n8ns_http_node_gets_the_texts() -> None:
    expression = block("n8n", "{{ JSON.stringify")
    fields = re.findall(r"^  (\w+): ", expression, re.MULTILINE)
    assert fields == ["query", "documents", "top_n", "return_documents"]
    sent = dict(zip(fields, [QUERY, DOCUMENTS, 2, True], strict=True))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with running(KEYS) as (client, _):
        answered = await client.post("/v1/rerank", json=sent, headers=headers)
    results = answered.json()["results"]
    assert [row["document"]["text"] for row in results] == [DOCUMENTS[r["index"]] for r in results]
