"""Voyage AI's SDK: vectors."""

from typing import Any

import voyageai
import voyageai.error
from judge import TEXTS, Vectors, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Vectors:
    client = voyageai.Client(api_key=key, base_url=f"{base}/v1", timeout=20)
    found = client.embed(TEXTS, model=model, input_type="document", **more)
    return Vectors(vectors=found.embeddings, raw=found, usage=found.total_tokens)


run(call, refused=is_a(voyageai.error.AuthenticationError), usage=True)
