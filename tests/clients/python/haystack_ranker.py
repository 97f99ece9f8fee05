"""Haystack's rankers: which one is the argument."""

import sys
from collections.abc import Callable
from typing import Any

from haystack import Document
from haystack.utils import Secret
from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, says, status


def tei(base: str, key: Any, model: str, **more: Any) -> Any:
    from haystack.components.rankers import HuggingFaceTEIRanker

    return HuggingFaceTEIRanker(url=base, top_k=TOP_N, token=key, **more)


def jina(base: str, key: Any, model: str, **more: Any) -> Any:
    from haystack_integrations.components.rankers.jina import JinaRanker

    return JinaRanker(model=model, api_key=key, top_k=TOP_N, base_url=f"{base}/v1/rerank", **more)


def cohere(base: str, key: Any, model: str, **more: Any) -> Any:
    from haystack_integrations.components.rankers.cohere import CohereRanker

    return CohereRanker(model=model, api_key=key, top_k=TOP_N, api_base_url=base, **more)


def nvidia(base: str, key: Any, model: str, **more: Any) -> Any:
    from haystack_integrations.components.rankers.nvidia import NvidiaRanker

    return NvidiaRanker(
        model=model, api_key=key, top_k=TOP_N, api_url=f"{base}/v1", truncate="END", **more
    )


CLIENTS: dict[str, tuple[Callable[..., Any], Callable[[BaseException], bool]]] = {
    "tei": (tei, says(RuntimeError, "401")),
    "jina": (jina, says(RuntimeError, "key", "token", "unauthor")),
    "cohere": (cohere, status(401)),
    "nvidia": (nvidia, says(Exception, "401", "token", "key")),
}
MAKE, REFUSED = CLIENTS[sys.argv[1]]


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    ranker = MAKE(base, Secret.from_token(key), model, **more)
    if hasattr(ranker, "warm_up"):
        ranker.warm_up()
    documents = [Document(id=str(i), content=text) for i, text in enumerate(DOCUMENTS)]
    found = ranker.run(query=QUERY, documents=documents)["documents"]
    return Answer(results=[(int(d.id), d.score, d.content) for d in found], raw=found)


run(call, refused=REFUSED, text=True)
