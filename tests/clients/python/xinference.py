"""Xinference's client, which asks for the cluster and the model first."""

from typing import Any

from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, says
from xinference_client import RESTfulClient


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    handle = RESTfulClient(base, api_key=key).get_model(model)
    found = handle.rerank(
        DOCUMENTS, QUERY, top_n=TOP_N, return_documents=True, return_len=True, **more
    )
    return Answer(
        results=[
            (r["index"], r["relevance_score"], r["document"]["text"]) for r in found["results"]
        ],
        raw=found,
        usage=found["meta"]["tokens"]["input_tokens"],
    )


run(call, refused=says(RuntimeError, "token", "key", "unauthor"), usage=True, text=True)
