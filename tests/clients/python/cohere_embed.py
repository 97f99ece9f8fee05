"""Cohere's SDK, v2 API: vectors."""

from typing import Any

import cohere
from judge import TEXTS, Vectors, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Vectors:
    client = cohere.ClientV2(api_key=key, base_url=base, timeout=20)
    found = client.embed(
        model=model,
        texts=TEXTS,
        input_type="search_document",
        embedding_types=["float"],
        **more,
    )
    return Vectors(
        vectors=found.embeddings.float_ or [],
        raw=found,
        usage=found.meta.billed_units.input_tokens,
    )


run(call, refused=is_a(cohere.UnauthorizedError), usage=True)
