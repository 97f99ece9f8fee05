"""Embedding models: sentence-transformers' vectors, by golden files; cosines where asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from rerankd.core.embedding import EmbedRequest, shaped
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.meter import Meter
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Vectors
from rerankd.engines.base import EmbeddingEngine
from rerankd.engines.text_vectors import TextPair
from rerankd.models.bi_encoder import BiEncoder
from rerankd.models.load import load, resolve
from rerankd.service.reranker import Reranker
from tests.checkpoints import body
from tests.checkpoints.bi_encoder import BGE, E5, GOLDEN_SHAPES, LABSE, MINILM, Shape, write
from tests.kit.support import real_client
from tests.reference.make_bi_encoder_goldens import GOLDEN, kept, texts

TOLERANCE = 1e-5
GOLDENS: dict[str, dict[str, list[list[float]]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def opened(folder: Path, **options: Any) -> BiEncoder:
    model = load(resolve(str(folder), msgspec.convert(options, LoadOptions))).model
    assert isinstance(model, BiEncoder)
    return model


def vectors_of(model: BiEncoder, wanted: Sequence[str], **asked: Any) -> Vectors:
    """The vectors, all in one batch."""
    request = EmbedRequest(texts=tuple(wanted), **asked)
    rows, engine = model.prepare_texts(request, Meter()).rows, model.engine
    assert isinstance(engine, EmbeddingEngine)
    vectors = np.vstack([engine.embed(rows[i : i + 64]) for i in range(0, len(rows), 64)])
    return shaped(vectors, request.dimensions, is_unit=model.is_unit)


def near(found: Vectors, golden: Sequence[Sequence[float]]) -> None:
    """Within 1e-5 of each number, relative to how long the vectors are."""
    scale = max(1.0, float(np.abs(np.array(golden)).max()))
    np.testing.assert_allclose(kept(found), golden, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_vectors_are_those_of_sentence_transformers(name: str, tmp_path: Path) -> None:
    model = opened(write(tmp_path / name, GOLDEN_SHAPES[name]))
    near(vectors_of(model, texts()[::4]), GOLDENS[name]["plain"])
    near(vectors_of(model, texts()[::16], prompts=("query",)), GOLDENS[name]["query"])
    model.engine.close()


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_a_vector_is_the_same_whatever_stands_beside_it(name: str, tmp_path: Path) -> None:
    model = opened(write(tmp_path / name, GOLDEN_SHAPES[name]))
    some = texts()[150:170]
    together = vectors_of(model, some)
    scale = max(1.0, float(np.abs(together).max()))
    backwards = vectors_of(model, some[::-1])[::-1]
    alone = np.vstack([vectors_of(model, [text]) for text in some])
    for other in (backwards, alone):
        np.testing.assert_allclose(other, together, rtol=0, atol=TOLERANCE * scale)
    twice = vectors_of(model, [some[0], *some, some[0]])
    np.testing.assert_array_equal(twice[0], twice[1])
    np.testing.assert_array_equal(twice[0], twice[-1])
    model.engine.close()


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"default_prompt_name": None}, {}),  # without its prompt
        ({"prompts": {"passage": "passage:"}}, {}),  # a blank less
        ({}, {"prompts": ("query",)}),
    ],
    ids=str,
)
def test_another_prompt_gives_other_vectors(
    change: dict[str, object], asked: dict[str, Any], tmp_path: Path
) -> None:
    model = opened(write(tmp_path / "m", E5, **change))
    golden = GOLDENS["xlm-roberta-prompts"]["plain"]
    assert np.abs(np.array(kept(vectors_of(model, texts()[::4], **asked))) - golden).max() > 1e-3
    model.engine.close()


@pytest.mark.parametrize(
    "shape",
    [
        dataclasses.replace(MINILM, pooling={"pooling_mode": "cls"}),
        dataclasses.replace(MINILM, sentence={"max_seq_length": 47}),
        dataclasses.replace(MINILM, is_unit=False),
    ],
    ids=["pooling", "window", "length"],
)
def test_what_the_folder_says_counts(shape: Shape, tmp_path: Path) -> None:
    model = opened(write(tmp_path / "m", shape))
    golden = GOLDENS["bert-mean"]["plain"]
    assert np.abs(np.array(kept(vectors_of(model, texts()[::4]))) - golden).max() > 1e-3
    model.engine.close()


def test_a_document_has_the_first_prompt_that_the_folder_has(tmp_path: Path) -> None:
    model = opened(write(tmp_path / "m", E5))
    document = ("document", "passage", "corpus")
    np.testing.assert_array_equal(
        vectors_of(model, ["a"], prompts=document), vectors_of(model, ["a"])
    )
    with pytest.raises(InvalidRequest, match="it has: clustering, passage, query"):
        vectors_of(model, ["a"], prompts=("nonsense",), needs_prompt=True)
    model.engine.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"default_prompt_name": "gone"}, "default_prompt_name 'gone' is none of prompts"),
        ({"model_type": "SparseEncoder"}, "model_type 'SparseEncoder'"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        opened(write(tmp_path / "m", E5, **change))


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (["Transformer", "Pooling", "Router"], "Transformer, Pooling, Router; behind Pooling"),
        (["Transformer", "Pooling", "Normalize", "Dense"], "and Normalize at the end"),
        (["Transformer", "Normalize"], "Pooling behind it"),
    ],
)
def test_other_modules_are_refused_by_name(kinds: list[str], says: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", BGE)
    listed = [{"idx": i, "path": str(i) * bool(i), "type": f"x.{k}"} for i, k in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(StartError, match=says):
        opened(folder)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"score": "sigmoid"}, '"cosine"'),
        ({"engine": "torch"}, "openvino"),
        ({"precision": "fp16"}, "fp32, bf16 and int8"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    options: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        opened(write(tmp_path / "m", BGE), **options)


def test_a_rerankers_name_is_not_given_to_an_embedding_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", BGE)
    with pytest.raises(StartError, match="is an embedding model and not"):
        load(resolve(f"BAAI/bge-reranker-base={folder}"))


def test_cosines_rank_where_the_operator_says_so(tmp_path: Path) -> None:
    """With the prompts of both sides, whole texts within the window."""
    folder = write(tmp_path / "m", E5)
    model = opened(folder, score="cosine")
    query, documents = "capital of France", ["Paris", "Berlin is in Germany.", "a b c", "Paris"]
    hits = Reranker.of(load(resolve(str(folder), LoadOptions(score="cosine")))).rank(
        query, documents
    )
    asked = vectors_of(model, [query], prompts=("query",))[0].astype(np.float64)
    read = vectors_of(model, documents, prompts=("document", "passage")).astype(np.float64)
    for hit in hits:
        assert hit.score == pytest.approx(float(read[hit.index] @ asked), abs=TOLERANCE)
        assert hit.score == hit.logit
    scores = {hit.index: hit.score for hit in hits}
    assert scores[0] == scores[3]
    assert model.card.ranks
    model.engine.close()


def test_a_long_document_is_its_best_chunk_and_one_chunk_is_the_cut_text(tmp_path: Path) -> None:
    model = opened(write(tmp_path / "m", MINILM), score="cosine")
    document = Content(value=" ".join(texts()[160:170]))
    request = RerankRequest(query=Content(value="a question"), documents=(document,))
    many = model.prepare(request)
    one = model.prepare(dataclasses.replace(request, max_chunks_per_doc=1))
    assert len(many.rows) > 1
    assert all(isinstance(row, TextPair) and row.document.tokens <= 48 for row in many.rows)
    found = model.engine.forward(one.rows)[0, 0]
    read = vectors_of(model, [document.value])[0] @ vectors_of(model, ["a question"])[0]
    assert found == pytest.approx(float(read), abs=TOLERANCE)
    with pytest.raises(InvalidRequest, match="truncation is off"):
        model.prepare(dataclasses.replace(request, max_chunks_per_doc=1, truncation=False))
    model.engine.close()


async def test_it_is_served_to_embed_and_not_to_rank(tmp_path: Path) -> None:
    folder = write(tmp_path / "embedder", LABSE)
    async with real_client({}, models=[str(folder)]) as client:
        answer = await client.post("/v1/embeddings", json={"input": ["a", "b"], "dimensions": 5})
        ranked = await client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
        (listed,) = (await client.get("/v1/models")).json()["data"]
        health = await client.get("/health")
    vectors = np.array([one["embedding"] for one in answer.json()["data"]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert (ranked.status_code, health.status_code) == (400, 200)
    assert (listed["tasks"], listed["dimensions"], listed["window_tokens"]) == (["embed"], 12, 512)


def test_the_window_is_max_seq_length_where_it_is_said(tmp_path: Path) -> None:
    """Above tokenizer_config.json's model_max_length too, as sentence-transformers has it."""
    folder = write(tmp_path / "m", dataclasses.replace(MINILM, sentence={"max_seq_length": 100}))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 50}))
    model = opened(folder)
    assert model.card.window_tokens == 100
    model.engine.close()
    assert body.TINY_BERT.positions == 512
