"""LangChain's JinaRerank, whose URL is a constant of its module."""

from typing import Any

from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, says
from langchain_community.document_compressors import jina_rerank


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    jina_rerank.JINA_API_URL = f"{base}/v1/rerank"
    ranker = jina_rerank.JinaRerank(jina_api_key=key, model=model, top_n=TOP_N, **more)
    found = ranker.rerank(DOCUMENTS, QUERY)
    return Answer(results=[(r["index"], r["relevance_score"], None) for r in found], raw=found)


run(call, refused=says(RuntimeError, "key", "token", "unauthor"))
