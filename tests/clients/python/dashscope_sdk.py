"""DashScope's SDK, whose answer has a status instead of raising."""

from typing import Any

import dashscope
from judge import DOCUMENTS, QUERY, TOP_N, Answer, run


class RefusedError(Exception):
    """A status that is not 200."""


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    dashscope.base_http_api_url = f"{base}/api/v1"
    found = dashscope.TextReRank.call(
        model=model,
        query=QUERY,
        documents=DOCUMENTS,
        top_n=TOP_N,
        return_documents=True,
        api_key=key,
        **more,
    )
    if found.status_code != 200:
        raise RefusedError(found.status_code, found.code)
    return Answer(
        results=[
            (r["index"], r["relevance_score"], r["document"]["text"]) for r in found.output.results
        ],
        raw=found,
        usage=found.usage.total_tokens,
    )


run(call, refused=lambda e: e.args == (401, "InvalidApiKey"), usage=True, text=True)
