"""Pinecone's SDK: the model list, then a ranking."""

from typing import Any

from judge import DOCUMENTS, QUERY, TOP_N, Answer, is_a, run
from pinecone import Pinecone
from pinecone.errors import UnauthorizedError


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = Pinecone(api_key=key, host=base)
    found = client.inference.rerank(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP_N, **more
    )
    return Answer(
        results=[(r.index, r.score, r.document["text"]) for r in found.data],
        raw=found,
        usage=found.usage.rerank_units,
    )


run(call, refused=is_a(UnauthorizedError), usage=True, text=True)
