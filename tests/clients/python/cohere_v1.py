"""Cohere's SDK, v1 API, with documents in the answer."""

from typing import Any

import cohere
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = cohere.Client(api_key=key, base_url=base, timeout=20)
    found = client.rerank(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N, return_documents=True, **more
    )
    return Answer(
        results=[(r.index, r.relevance_score, r.document.text) for r in found.results],
        raw=found,
        usage=found.meta.billed_units.search_units,
    )


run(call, refused=is_a(cohere.UnauthorizedError), usage=True, text=True)
