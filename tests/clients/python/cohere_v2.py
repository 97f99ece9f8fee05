"""Cohere's SDK, v2 API."""

import cohere
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str) -> Answer:
    client = cohere.ClientV2(api_key=key, base_url=base, timeout=20)
    found = client.rerank(model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N)
    return Answer(
        results=[(r.index, r.relevance_score, None) for r in found.results],
        usage=found.meta.billed_units.search_units,
    )


run(call, refused=is_a(cohere.UnauthorizedError), usage=True)
