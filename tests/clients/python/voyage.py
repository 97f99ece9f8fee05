"""Voyage AI's SDK."""

from typing import Any

import voyageai
import voyageai.error
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = voyageai.Client(api_key=key, base_url=f"{base}/v1", timeout=20)
    found = client.rerank(QUERY, DOCUMENTS, model=model, top_k=TOP_N, **more)
    return Answer(
        results=[(r.index, r.relevance_score, r.document) for r in found.results],
        raw=found,
        usage=found.total_tokens,
    )


run(call, refused=is_a(voyageai.error.AuthenticationError), usage=True, text=True)
