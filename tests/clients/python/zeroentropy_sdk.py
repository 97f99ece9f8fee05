"""ZeroEntropy's SDK."""

import zeroentropy
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str) -> Answer:
    client = zeroentropy.ZeroEntropy(api_key=key, base_url=f"{base}/v1", max_retries=0, timeout=20)
    found = client.models.rerank(model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N)
    return Answer(
        results=[(r.index, r.relevance_score, None) for r in found.results],
        usage=found.total_tokens,
    )


run(call, refused=is_a(zeroentropy.AuthenticationError), usage=True)
