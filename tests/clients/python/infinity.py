"""Infinity's generated client, which parses strictly."""

from typing import Any

from infinity_client import AuthenticatedClient
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput
from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, status


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = AuthenticatedClient(base_url=base, token=key, raise_on_unexpected_status=True)
    body = RerankInput(
        query=QUERY, documents=DOCUMENTS, model=model, top_n=TOP_N, return_documents=True, **more
    )
    found = rerank.sync(client=client, body=body)
    return Answer(
        results=[(r.index, r.relevance_score, r.document) for r in found.results],
        raw=found,
        usage=found.usage.total_tokens,
    )


run(call, refused=status(401), usage=True, text=True)
