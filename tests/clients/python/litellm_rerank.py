"""LiteLLM, one provider after the other: the provider and its base path are the arguments."""

import sys
from typing import Any

import litellm
from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run

PROVIDER, BELOW = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else "")
WITHOUT_TOP_N = ("deepinfra", "huggingface")

litellm.suppress_debug_info = True


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    found = litellm.rerank(
        model=f"{PROVIDER}/{model}",
        query=QUERY,
        documents=DOCUMENTS,
        api_base=base + BELOW,
        api_key=key,
        **({} if PROVIDER in WITHOUT_TOP_N else {"top_n": TOP_N}),
        **more,
    )
    meta = found.meta or {}
    counts = {**(meta.get("billed_units") or {}), **(meta.get("tokens") or {})}
    return Answer(
        results=[
            (r["index"], r["relevance_score"], (r.get("document") or {}).get("text"))
            for r in found.results
        ],
        raw=found,
        usage=max((count or 0 for count in counts.values()), default=0),
        count=len(DOCUMENTS) if PROVIDER in WITHOUT_TOP_N else TOP_N,
        in_order=PROVIDER == "deepinfra",
    )


run(call, refused=is_a(litellm.AuthenticationError))
