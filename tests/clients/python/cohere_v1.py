"""Cohere's SDK, v1 API, with documents in the answer."""

import cohere
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str) -> Answer:
    client = cohere.Client(api_key=key, base_url=base, timeout=20)
    found = client.rerank(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N, return_documents=True
    )
    return Answer(
        results=[(r.index, r.relevance_score, r.document.text) for r in found.results],
        usage=found.meta.billed_units.search_units,
    )


run(call, refused=is_a(cohere.UnauthorizedError), usage=True, text=True)
