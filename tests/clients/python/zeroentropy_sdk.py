"""ZeroEntropy's SDK."""

from typing import Any

import zeroentropy
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = zeroentropy.ZeroEntropy(api_key=key, base_url=f"{base}/v1", timeout=20)
    found = client.models.rerank(model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N, **more)
    return Answer(
        results=[(r.index, r.relevance_score, None) for r in found.results],
        raw=found,
        usage=found.total_tokens,
    )


run(call, refused=is_a(zeroentropy.AuthenticationError), usage=True)
