"""LangChain's InfinityRerank, which sends no top_n and cuts itself."""

from typing import Any

from infinity_client import AuthenticatedClient
from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, status
from langchain_community.document_compressors.infinity_rerank import InfinityRerank


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    client = AuthenticatedClient(base_url=base, token=key, raise_on_unexpected_status=True)
    InfinityRerank.model_rebuild(_types_namespace={"Client": AuthenticatedClient})
    found = InfinityRerank.model_construct(client=client, model=model, top_n=TOP_N, **more).rerank(
        DOCUMENTS, QUERY
    )
    return Answer(results=[(r["index"], r["relevance_score"], None) for r in found], raw=found)


run(call, refused=status(401))
