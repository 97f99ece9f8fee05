"""LangChain's partner packages: which one is the argument."""

import sys
from collections.abc import Callable
from typing import Any

from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, says, status
from langchain_core.documents import Document


def cohere(base: str, key: str, model: str, **more: Any) -> Any:
    from langchain_cohere import CohereRerank

    return CohereRerank(cohere_api_key=key, base_url=base, model=model, top_n=TOP_N, **more)


def voyage(base: str, key: str, model: str, **more: Any) -> Any:
    from langchain_voyageai import VoyageAIRerank

    return VoyageAIRerank(
        voyage_api_key=key, base_url=f"{base}/v1", model=model, top_k=TOP_N, truncation=True, **more
    )


def nvidia(base: str, key: str, model: str, **more: Any) -> Any:
    from langchain_nvidia_ai_endpoints import NVIDIARerank

    return NVIDIARerank(
        model=model, base_url=f"{base}/v1", api_key=key, top_n=TOP_N, truncate="END", **more
    )


CLIENTS: dict[str, tuple[Callable[..., Any], Callable[[BaseException], bool]]] = {
    "cohere": (cohere, status(401)),
    "voyage": (voyage, lambda error: type(error).__name__ == "AuthenticationError"),
    "nvidia": (nvidia, says(Exception, "401")),
}
MAKE, REFUSED = CLIENTS[sys.argv[1]]


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    documents = [Document(text, metadata={"i": i}) for i, text in enumerate(DOCUMENTS)]
    found = MAKE(base, key, model, **more).compress_documents(documents, QUERY)
    return Answer(
        results=[(d.metadata["i"], d.metadata["relevance_score"], d.page_content) for d in found],
        raw=found,
    )


run(call, refused=REFUSED, text=True)
