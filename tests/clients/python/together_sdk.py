"""Together AI's SDK."""

import together
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str) -> Answer:
    client = together.Together(api_key=key, base_url=base, max_retries=0, timeout=20)
    found = client.rerank.create(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N, return_documents=True
    )
    return Answer(
        results=[(r.index, r.relevance_score, r.document.text) for r in found.results],
        usage=found.usage.total_tokens,
    )


run(call, refused=is_a(together.AuthenticationError), usage=True, text=True)
