"""Together AI's SDK."""

from typing import Any

import together
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = together.Together(api_key=key, base_url=base, timeout=20)
    found = client.rerank.create(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N, return_documents=True, **more
    )
    return Answer(
        results=[(r.index, r.relevance_score, r.document.text) for r in found.results],
        raw=found,
        usage=found.usage.total_tokens,
    )


run(call, refused=is_a(together.AuthenticationError), usage=True, text=True)
