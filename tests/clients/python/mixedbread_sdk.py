"""Mixedbread's SDK."""

from typing import Any

import mixedbread
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = mixedbread.Mixedbread(api_key=key, base_url=base, timeout=20)
    found = client.rerank(
        model=model, query=QUERY, input=DOCUMENTS, top_k=TOP_N, return_input=True, **more
    )
    return Answer(
        results=[(r.index, r.score, r.input) for r in found.data],
        raw=found,
        usage=found.usage.total_tokens,
    )


run(call, refused=is_a(mixedbread.AuthenticationError), usage=True, text=True)
