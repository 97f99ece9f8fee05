"""LlamaIndex's postprocessors: which one is the argument."""

import os
import sys
from collections.abc import Callable
from typing import Any

from judge import DOCUMENTS, QUERY, TOP_N, Answer, run, says, status
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode


def jina(base: str, key: str, model: str, **more: Any) -> Any:
    from llama_index.postprocessor.jinaai_rerank import JinaRerank

    return JinaRerank(top_n=TOP_N, model=model, api_key=key, base_url=f"{base}/v1", **more)


def siliconflow(base: str, key: str, model: str, **more: Any) -> Any:
    from llama_index.postprocessor.siliconflow_rerank import SiliconFlowRerank

    url = f"{base}/v1/rerank"
    return SiliconFlowRerank(top_n=TOP_N, model=model, api_key=key, base_url=url, **more)


def cohere(base: str, key: str, model: str, **more: Any) -> Any:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return CohereRerank(top_n=TOP_N, model=model, api_key=key, base_url=base, **more)


def voyage(base: str, key: str, model: str, **more: Any) -> Any:
    import voyageai
    from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank

    ranker = VoyageAIRerank(model=model, api_key=key, top_n=TOP_N, **more)
    ranker._client = voyageai.Client(api_key=key, base_url=f"{base}/v1")  # it takes no URL itself
    return ranker


def mixedbread(base: str, key: str, model: str, **more: Any) -> Any:
    from llama_index.postprocessor.mixedbreadai_rerank import MixedbreadAIRerank

    os.environ["MIXEDBREAD_BASE_URL"] = base
    return MixedbreadAIRerank(top_n=TOP_N, model=model, api_key=key, **more)


def dashscope(base: str, key: str, model: str, **more: Any) -> Any:
    import dashscope as sdk
    from llama_index.postprocessor.dashscope_rerank import DashScopeRerank

    sdk.base_http_api_url = f"{base}/api/v1"
    return DashScopeRerank(top_n=TOP_N, model=model, api_key=key, **more)


def tei(base: str, key: str, model: str, **more: Any) -> Any:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    return TextEmbeddingInference(top_n=TOP_N, base_url=base, auth_token=f"Bearer {key}", **more)


REFUSED_RUNTIME = says(RuntimeError, "key", "token", "unauthor")
# DashScope's reads `output` of the refusal, TEI's takes its body for scores: no errors of theirs.
CLIENTS: dict[str, tuple[Callable[..., Any], Callable[[BaseException], bool]]] = {
    "jina": (jina, REFUSED_RUNTIME),
    "siliconflow": (siliconflow, REFUSED_RUNTIME),
    "cohere": (cohere, status(401)),
    "voyage": (voyage, lambda error: type(error).__name__ == "AuthenticationError"),
    "mixedbread": (mixedbread, lambda error: type(error).__name__ == "AuthenticationError"),
    "dashscope": (dashscope, says(AttributeError, "results")),
    "tei": (tei, lambda error: type(error).__name__ in ("AssertionError", "JSONDecodeError")),
}
MAKE, REFUSED = CLIENTS[sys.argv[1]]


def call(base: str, key: str, model: str, **more: Any) -> Answer:
    nodes = [
        NodeWithScore(node=TextNode(text=text, id_=str(i)), score=0.5)
        for i, text in enumerate(DOCUMENTS)
    ]
    found = MAKE(base, key, model, **more).postprocess_nodes(nodes, QueryBundle(QUERY))
    return Answer(results=[(int(n.node.id_), n.score, n.node.text) for n in found], raw=found)


run(call, refused=REFUSED, text=True)
