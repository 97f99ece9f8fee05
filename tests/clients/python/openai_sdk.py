"""OpenAI's SDK, which embeds: it asks for base64 and shows numbers."""

import base64
import struct
from typing import Any

import openai
from judge import TEXTS, Vectors, is_a, run


def call(base: str, key: str, model: str, **more: Any) -> Vectors:
    client = openai.OpenAI(api_key=key, base_url=f"{base}/v1", timeout=20)
    found = client.embeddings.create(model=model, input=TEXTS, **more)
    vectors = [one.embedding for one in sorted(found.data, key=lambda one: one.index)]
    sent = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    return Vectors(vectors=vectors, raw=[found, sent], usage=found.usage.total_tokens)


run(call, refused=is_a(openai.AuthenticationError), usage=True)
