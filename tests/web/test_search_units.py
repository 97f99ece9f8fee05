"""One search unit is up to 100 documents, in every dialect that counts them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.support import running

UNITS = {1: 1, 99: 1, 100: 1, 101: 2, 200: 2, 201: 3}
# path -> where the count stands in the answer
DIALECTS = {
    "/v1/rerank": ("meta", "billed_units", "search_units"),
    "/cohere/v2/rerank": ("meta", "billed_units", "search_units"),
    "/litellm/v1/rerank": ("meta", "billed_units", "search_units"),
    "/pinecone/rerank": ("usage", "rerank_units"),
}


@pytest.mark.parametrize("path", DIALECTS)
async def test_a_unit_is_begun_with_each_hundredth_document_and_one(path: str) -> None:
    found: dict[int, Any] = {}
    async with running() as (client, _):
        for documents in UNITS:
            texts: list[Any] = [f"d{n}" for n in range(documents)]
            if path.startswith("/pinecone"):
                texts = [{"text": text} for text in texts]
            body = {"model": "fake-model", "query": "q", "documents": texts}
            answer = await client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            value = answer.json()
            for name in DIALECTS[path]:
                value = value[name]
            found[documents] = value
    assert found == UNITS
