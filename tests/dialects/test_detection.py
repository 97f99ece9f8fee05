"""Who is meant at a path of the root: the table of docs/dialects/README.md, row by row."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rerankd.dialects.base import Mark
from rerankd.dialects.registry import SERVED, Registry, Route

BASE: dict[str, Any] = {"query": "q", "documents": ["a"]}
TEXTS: dict[str, Any] = {"query": "q", "texts": ["a"]}
INPUT: dict[str, Any] = {"query": "q", "input": ["a"]}
PASSAGES: dict[str, Any] = {"query": {"text": "q"}, "passages": [{"text": "a"}]}
TEXT: dict[str, Any] = {"input": ["a"]}
NATIVE = "/api/v1/services/rerank/text-rerank/text-rerank"
NESTED: dict[str, Any] = {"input": BASE, "parameters": {"top_n": 1}}

TABLE: list[tuple[str, dict[str, str], dict[str, Any], str]] = [
    ("/v2/rerank", {}, BASE, "cohere-v2"),
    ("/rerank", {}, TEXTS, "tei"),
    ("/v1/rerank", {}, TEXTS, "tei"),
    ("/v1/rerank", {}, BASE | {"top_k": 3}, "voyage"),
    ("/v1/rerank", {}, BASE | {"top_k": None}, "voyage"),
    ("/v1/rerank", {}, BASE | {"top_k": None, "truncation": True}, "voyage"),
    ("/v1/rerank", {}, BASE | {"truncation": True}, "voyage"),
    ("/rerank", {}, BASE | {"raw_scores": False}, "infinity"),
    (NATIVE, {}, NESTED, "dashscope"),
    ("/v1/rerank", {}, NESTED, "dashscope"),
    ("/rerank", {}, NESTED, "dashscope"),
    ("/compatible-api/v1/reranks", {}, BASE, "dashscope-compatible"),
    ("/reranks", {}, BASE, "dashscope-compatible"),
    ("/v1/reranks", {}, BASE, "dashscope-compatible"),
    ("/predict", {}, {"inputs": ["q", "a"]}, "tei-predict"),
    ("/v1/rerank", {}, BASE | {"return_len": None}, "xinference"),
    ("/v1/rerank", {}, BASE | {"top_n": None, "kwargs": "{}"}, "xinference"),
    ("/v1/rerank", {}, BASE | {"return_len": None, "kwargs": "{}"}, "xinference"),
    ("/rerank", {"x-pinecone-api-version": "2026-07"}, BASE | {"top_n": 3}, "pinecone"),
    ("/v1/reranking", {}, INPUT, "mixedbread"),
    ("/reranking", {}, INPUT, "mixedbread"),
    ("/reranking", {}, INPUT | BASE, "mixedbread"),
    ("/v1/reranking", {}, {"query": "q"}, "mixedbread"),
    ("/v1/reranking", {}, BASE, "llamacpp"),
    ("/reranking", {}, BASE, "llamacpp"),
    ("/reranking", {}, BASE | TEXTS, "llamacpp-texts"),
    ("/llamacpp/v1/rerank", {}, BASE | TEXTS, "llamacpp-texts"),
    ("/v1/reranking", {}, TEXTS, "llamacpp-texts"),
    ("/reranking", {}, TEXTS, "llamacpp-texts"),
    ("/llamacpp/v1/rerank", {}, BASE, "llamacpp"),
    ("/llamacpp/v1/rerank", {}, TEXTS, "llamacpp-texts"),
    ("/llamacpp/rerank", {}, TEXTS, "llamacpp-texts"),
    ("/llamacpp/v1/reranking", {}, TEXTS, "llamacpp-texts"),
    ("/llamacpp/reranking", {}, TEXTS, "llamacpp-texts"),
    ("/v1/ranking", {}, PASSAGES, "nvidia"),
    ("/v1/retrieval/{model}/reranking", {}, PASSAGES | {"top_k": 3}, "nvidia"),
    ("/v1/inference/{model}", {}, {"queries": ["q"], "documents": ["a"]}, "deepinfra"),
    ("/v1/models/rerank", {}, BASE, "zeroentropy"),
    ("/inference/v1/rerank", {}, BASE, "fireworks"),
    ("/score", {}, {"text_1": "q", "text_2": "a"}, "vllm-score"),
    ("/v1/score", {}, {"queries": "q", "documents": ["a"]}, "vllm-score"),
    ("/v1/embeddings", {}, TEXT, "openai-embeddings"),
    ("/embeddings", {}, TEXT, "openai-embeddings"),
    ("/embeddings", {}, TEXT | {"task": None}, "openai-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"input_type": "query"}, "openai-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"truncation": None}, "voyage-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"output_dimension": None}, "voyage-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"output_dtype": None}, "voyage-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"task": None}, "jina-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"normalized": True}, "jina-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"embedding_type": "float"}, "jina-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"late_chunking": False}, "jina-embeddings"),
    ("/v1/embeddings", {}, TEXT | {"task": "x", "truncation": True}, "openai-embeddings"),
    ("/v2/embed", {}, {"texts": ["a"]}, "cohere-v2-embed"),
    ("/v1/embed", {}, {"texts": ["a"]}, "cohere-v1-embed"),
    ("/embed", {}, {"inputs": ["a"]}, "tei-embed"),
    ("/cohere/embed", {}, {"texts": ["a"]}, "cohere-v2-embed"),
    ("/tei/v1/embeddings", {}, TEXT, "tei-openai"),
    # what is ambiguous, and anything else, is the superset's
    ("/v1/rerank", {}, BASE, "superset"),
    ("/rerank", {}, BASE, "superset"),
    ("/v1/rerank", {}, BASE | {"top_n": 3}, "superset"),
    ("/v1/rerank", {}, BASE | {"top_n": None, "truncation": True}, "superset"),
    ("/v1/rerank", {}, BASE | {"top_n": 2, "top_k": 3}, "superset"),
    ("/rerank", {}, BASE | {"top_k": 3}, "superset"),
    ("/v1/rerank", {}, BASE | {"raw_scores": True}, "superset"),
    ("/rerank", {}, BASE | {"texts": ["a"]}, "superset"),
    ("/v1/rerank", {}, TEXTS | {"top_n": 3}, "tei"),
    ("/v1/rerank", {}, TEXTS | {"top_k": 3}, "superset"),
    ("/v1/rerank", {}, BASE | {"return_documents": True, "user": "u"}, "superset"),
    ("/v1/rerank", {}, BASE | {"instruct": "i"}, "superset"),
    ("/v1/rerank", {}, BASE | {"top_k": 3, "kwargs": "{}"}, "superset"),
    ("/rerank", {}, BASE | {"return_len": True}, "superset"),
    ("/v1/rerank", {"x-pinecone-api-version": "2026-07"}, BASE, "superset"),
    ("/v1/rerank/explain", {}, BASE, "explain"),
]


def route(path: str, registry: Registry = SERVED) -> Route:
    return next(found for found in registry.routes if found.path == path)


@pytest.mark.parametrize(("path", "headers", "body", "name"), TABLE, ids=str)
def test_who_is_meant(path: str, headers: dict[str, str], body: Any, name: str) -> None:
    assert route(path).by_body(headers, msgspec.json.encode(body)).name == name


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b"{", b"[" * 100_000])
def test_a_body_that_is_no_object_is_the_defaults_to_refuse(raw: bytes) -> None:
    assert route("/v1/rerank").by_body({}, raw).name == "superset"


def test_every_mark_is_in_the_table() -> None:
    shown = {(path, name) for path, _, _, name in TABLE}
    for served in SERVED.served:
        for mark in served.marks:
            assert {(path, served.name) for path in mark.paths} <= shown, served.name
        assert {(path, served.name) for path in served.root} <= shown, served.name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/rerank", "superset"),
        ("/v2/rerank/", "cohere-v2"),
        ("/jina/v1/rerank", "jina"),
        ("/cohere/v1/rerank", "cohere-v1"),
        ("/jina/nowhere", "jina"),
        ("/dashscope/nowhere", "dashscope"),
        ("/v1/inference/org/model", "deepinfra"),
        ("/v1/retrieval/nvidia/model/reranking", "nvidia"),
        ("/v1/reranking", "mixedbread"),
        ("/v1/embeddings", "openai-embeddings"),
        ("/openai/nowhere", "openai-embeddings"),
        ("/tei/nowhere", "tei"),
        ("/nowhere", "superset"),
        ("/", "superset"),
    ],
)
def test_who_speaks_before_the_body_is_read(path: str, name: str) -> None:
    assert SERVED.speaker(path, {}).name == name


def test_a_header_mark_holds_before_the_body_is_read_and_a_key_mark_does_not() -> None:
    by_header = Mark(paths=("/rerank",), header="x-version")
    by_key = Mark(paths=("/rerank",), keys=frozenset({"a"}))
    assert by_header.holds({"x-version": "1"}, None)
    assert not by_header.holds({}, None)
    assert not by_key.holds({}, None)
    assert by_key.holds({}, frozenset({"a", "b"}))
