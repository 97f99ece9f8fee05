"""The clients: their scripts, their packages (whose versions pins/ has), their base paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Client:
    """A script, the environment that it runs in, and the path that its base URL has."""

    name: str
    package: str  # "" = what comes with the language
    environment: str  # of pins/, or "javascript", or "java"
    script: str
    prefix: str  # "" = the server's root
    arguments: tuple[str, ...] = ()
    embeds: bool = False  # asks for vectors

    @property
    def has_manners(self) -> bool:
        """Whether it is the one of its kind that is measured: of the JDK's two, the usual one."""
        return not self.name.endswith((", prefix", ", chunks", ", embed"))


def _litellm(provider: str, prefix: str, below: str = "") -> Client:
    return Client(
        f"litellm {provider}", "litellm", "litellm", "litellm_rerank.py", prefix, (provider, below)
    )


CLIENTS = [
    Client("cohere v2", "cohere", "core", "cohere_v2.py", ""),
    Client("cohere v2, prefix", "cohere", "core", "cohere_v2.py", "/cohere"),
    Client("cohere v1", "cohere", "core", "cohere_v1.py", "/cohere"),
    Client("cohere v2, embed", "cohere", "core", "cohere_embed.py", "", embeds=True),
    Client("openai", "openai", "core", "openai_sdk.py", "", embeds=True),
    Client("voyageai", "voyageai", "core", "voyage.py", "/voyage"),
    Client("voyageai, embed", "voyageai", "core", "voyage_embed.py", "/voyage", embeds=True),
    Client("dashscope", "dashscope", "core", "dashscope_sdk.py", ""),
    Client("dashscope, prefix", "dashscope", "core", "dashscope_sdk.py", "/dashscope"),
    Client("infinity-client", "infinity-client", "core", "infinity.py", "/infinity"),
    Client("mixedbread", "mixedbread", "core", "mixedbread_sdk.py", ""),
    Client("mixedbread, prefix", "mixedbread", "core", "mixedbread_sdk.py", "/mixedbread"),
    Client("pinecone", "pinecone", "core", "pinecone_sdk.py", ""),
    Client("pinecone, prefix", "pinecone", "core", "pinecone_sdk.py", "/pinecone"),
    Client("together", "together", "core", "together_sdk.py", "/together"),
    Client("xinference-client", "xinference-client", "core", "xinference.py", ""),
    Client(
        "xinference-client, prefix", "xinference-client", "core", "xinference.py", "/xinference"
    ),
    Client("zeroentropy", "zeroentropy", "core", "zeroentropy_sdk.py", ""),
    Client("langchain-community Jina", "langchain-community", "core", "langchain_jina.py", "/jina"),
    Client(
        "langchain-community Infinity",
        "langchain-community",
        "core",
        "langchain_infinity.py",
        "/infinity",
    ),
    _litellm("hosted_vllm", ""),
    Client(
        "litellm hosted_vllm, prefix",
        "litellm",
        "litellm",
        "litellm_rerank.py",
        "/vllm",
        ("hosted_vllm",),
    ),
    _litellm("cohere", "/cohere"),
    _litellm("jina_ai", ""),
    _litellm("voyage", "/voyage"),
    _litellm("infinity", "/infinity"),
    _litellm("huggingface", "/tei"),
    _litellm("deepinfra", "/deepinfra", "/v1"),
    _litellm("fireworks_ai", "/fireworks"),
    _litellm("together_ai", "/together", "/v1"),
    _litellm("nvidia_nim", ""),
    _litellm("dashscope", "/dashscope", "/compatible-api/v1"),
    _litellm("litellm_proxy", "/litellm"),
    *(
        Client(
            f"llama-index {name}",
            f"llama-index-postprocessor-{package}",
            "llama",
            "llamaindex.py",
            prefix,
            (name,),
        )
        for name, package, prefix in [
            ("jina", "jinaai-rerank", "/jina"),
            ("siliconflow", "siliconflow-rerank", "/siliconflow"),
            ("cohere", "cohere-rerank", "/cohere"),
            ("voyage", "voyageai-rerank", "/voyage"),
            ("mixedbread", "mixedbreadai-rerank", ""),
            ("dashscope", "dashscope-rerank", ""),
            ("tei", "tei-rerank", ""),
        ]
    ),
    *(
        Client(f"haystack {name}", package, "haystack", "haystack_ranker.py", prefix, (name,))
        for name, package, prefix in [
            ("tei", "haystack-ai", ""),
            ("jina", "jina-haystack", "/jina"),
            ("cohere", "cohere-haystack", "/cohere"),
            ("nvidia", "nvidia-haystack", "/nvidia"),
        ]
    ),
    *(
        Client(
            f"langchain {name}", package, "langchain", "langchain_rerank.py", f"/{name}", (name,)
        )
        for name, package in [
            ("cohere", "langchain-cohere"),
            ("voyage", "langchain-voyageai"),
            ("nvidia", "langchain-nvidia-ai-endpoints"),
        ]
    ),
    *(
        Client(f"npm {script}", package, "javascript", f"{script}.mjs", prefix)
        for script, package, prefix in [
            ("cohere", "cohere-ai", "/cohere"),
            ("voyageai", "voyageai", "/voyage"),
            ("ai-cohere", "@ai-sdk/cohere", "/cohere"),
            ("ai-together", "@ai-sdk/togetherai", "/together"),
            ("pinecone", "@pinecone-database/pinecone", ""),
            ("together", "together-ai", "/together"),
            ("mixedbread", "@mixedbread/sdk", ""),
            ("zeroentropy", "zeroentropy", "/zeroentropy"),
            ("langchain-cohere", "@langchain/cohere", "/cohere"),
        ]
    ),
    *(
        Client(f"java HttpClient, {form}", "", "java", "HttpClientDefault.java", "", (form,))
        for form in ("length", "chunks")
    ),
]
