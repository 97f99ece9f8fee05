"""ColBERT models: what is cut, what is remembered, what a request costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed, InvalidRequest, QueryTooLong, StartError
from rerankd.core.options import LoadOptions, Precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.engines.dense import Floats
from rerankd.engines.multi_vector import MultiVectorEngine, MultiVectorRow, max_sim
from rerankd.models.colbert import ColbertModel, load_colbert
from rerankd.models.folder_word import read_word
from rerankd.models.load import Spec, load
from rerankd.models.loaders import Opening
from rerankd.models.published import Example
from tests.checkpoints.colbert import MULTI_VECTOR, PYLATE, write
from tests.reference.make_colbert_goldens import GOLDEN
from tests.reference.make_goldens import pairs

LONG = " ".join(f"word{i} is here" for i in range(60))


class Counting:
    """An encoder that gives every token two values and counts the rows that it ran."""

    batch_tokens = 4096
    precision: Precision = "fp32"

    def __init__(self) -> None:
        self.rows: list[int] = []

    def encode(self, rows: Sequence[Row], attended: Sequence[int] | None = None) -> list[Floats]:
        """(L, 2) of each."""
        self.rows += [row.tokens for row in rows]
        return [np.stack([row.ids, row.ids * 0 + 7], axis=1).astype(np.float32) for row in rows]

    def close(self) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColbertModel]:
    """PyLate's form."""
    made = opened(write(tmp_path_factory.mktemp("colbert"), PYLATE))
    yield made
    made.engine.close()


def opened(folder: Path, cache_bytes: int = 1 << 20) -> ColbertModel:
    """A folder's model."""
    word = read_word(folder)
    opening = Opening(folder=folder, word=word, name="tiny", vector_cache_bytes=cache_bytes)
    return load_colbert(opening)


def request(*documents: str, query: str = "what is here", **more: object) -> RerankRequest:
    """Of texts."""
    return RerankRequest(
        query=Content(value=query),
        documents=tuple(Content(value=each) for each in documents),
        **more,  # pyright: ignore[reportArgumentType] - by the tests
    )


def counted(model: ColbertModel, cache_bytes: int) -> tuple[MultiVectorEngine, Counting]:
    """Another engine for its rows."""
    encoder = Counting()
    return MultiVectorEngine(encoder, is_normalised=True, cache_bytes=cache_bytes), encoder


def test_a_long_document_is_its_best_chunk(model: ColbertModel) -> None:
    """Each chunk is a row with the marker; one chunk alone is what the references read."""
    prepared = model.prepare(request(LONG, "short"))
    assert prepared.owners.count(0) > 3
    assert prepared.owners.count(1) == 1
    assert not prepared.truncated
    rows = [row for row in prepared.rows if isinstance(row, MultiVectorRow)]
    assert all(row.document.ids[1] == 4001 for row in rows)
    assert all(row.document.ids.size <= 60 for row in rows)
    one = model.prepare(request(LONG, max_chunks_per_doc=1))
    assert len(one.rows) == 1
    assert one.truncated == {0}
    assert "1 of 1 documents were cut" in one.warnings[0]
    with pytest.raises(InvalidRequest, match="truncation is off"):
        model.prepare(request(LONG, max_chunks_per_doc=1, truncation=False))


def test_chunks_keep_the_prompt(tmp_path: Path) -> None:
    """Text before each document is before each of its chunks."""
    model = opened(write(tmp_path, MULTI_VECTOR))
    rows = [row for row in model.prepare(request(LONG)).rows if isinstance(row, MultiVectorRow)]
    first = rows[0].document.ids[:4].tolist()
    assert len(rows) > 2
    assert all(row.document.ids[:4].tolist() == first for row in rows)
    model.engine.close()


def test_a_long_query_is_cut_with_a_warning(model: ColbertModel) -> None:
    """To what the model reads; refused where nothing may be cut."""
    prepared = model.prepare(request("a", query=LONG))
    row = prepared.rows[0]
    assert isinstance(row, MultiVectorRow)
    assert row.query.ids.size == 24
    assert prepared.warnings == ("query: cut to its first 21 tokens; tiny reads no more.",)
    with pytest.raises(QueryTooLong, match="truncation is off"):
        model.prepare(request("a", query=LONG, truncation=False))
    told = model.prepare(request("a", query=LONG, max_tokens_per_query=5)).warnings
    assert told == ("query: cut to its first 5 tokens (max_tokens_per_query).",)


def test_an_instruction_has_no_place(model: ColbertModel) -> None:
    assert "instruction" in model.prepare(request("a", instruction="be kind")).warnings[0]


def test_the_second_request_runs_the_query_alone(model: ColbertModel) -> None:
    """Documents that came before cost no encoder, and say so to the scheduler."""
    engine, encoder = counted(model, 1 << 20)
    rows = model.prepare(request("a text", "another text", "a text")).rows
    assert engine.remembered_tokens(rows) == [0, 0, 0]
    first = engine.forward(rows)
    assert len(encoder.rows) == 3  # the query and two documents
    assert np.array_equal(first[0], first[2])
    other = model.prepare(request("a text", "another text", query="who")).rows
    sizes = [row.document.ids.size for row in other if isinstance(row, MultiVectorRow)]
    assert list(engine.remembered_tokens(other)) == sizes
    engine.forward(other)
    assert len(encoder.rows) == 4


def test_what_is_remembered_is_one_scopes_own(model: ColbertModel) -> None:
    """Another key's requests cannot tell what was asked before."""
    engine, encoder = counted(model, 1 << 20)
    engine.forward(model.prepare(request("a text", scope=b"one")).rows)
    other = model.prepare(request("a text", scope=b"two")).rows
    assert list(engine.remembered_tokens(other)) == [0]
    engine.forward(other)
    assert len(encoder.rows) == 4


def test_memory_is_bounded(model: ColbertModel) -> None:
    """What was used longest ago goes first; a view would hold a batch, so each is its own."""
    engine, _ = counted(model, 2000)
    for i in range(40):
        engine.forward(model.prepare(request(f"text number {i} of many", f"{i}")).rows)
        assert engine.documents.bytes <= 2000
    assert 1 <= len(engine.documents) < 10
    nothing, encoder = counted(model, 0)
    rows = model.prepare(request("a text")).rows
    nothing.forward(rows)
    nothing.forward(rows)
    assert len(encoder.rows) == 4


def test_skipped_tokens_have_no_vector(model: ColbertModel) -> None:
    """Of documents, not of queries; [CLS], the marker and [SEP] stay."""
    engine, _ = counted(model, 1 << 20)
    row = model.prepare(request("...", query="...")).rows[0]
    assert isinstance(row, MultiVectorRow)
    engine.forward([row])
    kept = engine.documents.get(row.document.key)
    assert kept is not None
    assert len(kept) == 3 < row.document.ids.size
    assert engine.forward([row])[0, 1] == row.query.ids.size


def test_rows_differ_by_their_texts(model: ColbertModel) -> None:
    """Equal pairs are one row; a query that is cut elsewhere is another."""
    rows = model.prepare(request("a", "b", "a")).rows
    assert rows[0].key() == rows[2].key() != rows[1].key()
    assert model.prepare(request("a", query="b")).rows[0].key() != rows[0].key()


def test_max_sim_in_steps_is_max_sim() -> None:
    """Documents of more vectors than are compared at once."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal((5, 8)).astype(np.float32)
    document = rng.standard_normal((5000, 8)).astype(np.float32)
    plain = (query.astype(np.float64) @ document.T).max(axis=1).sum()
    assert max_sim(query, document) == pytest.approx(plain, abs=1e-5)
    assert max_sim(query, document[:0]) == 0.0


@pytest.mark.parametrize("score", [None, "mean"])
def test_a_published_sum_is_checked(tmp_path: Path, score: Literal["mean"] | None) -> None:
    """Whatever scale the operator chose."""
    folder = write(tmp_path, PYLATE)
    pair = pairs()[0]
    example = Example(
        query=pair["query"],
        document=pair["document"],
        score=json.loads(GOLDEN.read_text())["pylate-modernbert"][0],
        scale="maxsim",
        tolerance=1e-3,
        source="its card",
    )
    spec = Spec(name="x", folder=folder, examples=(example,), options=LoadOptions(score=score))
    loaded = load(spec)
    loaded.model.engine.close()
    assert loaded.examples[0].score == pytest.approx(example.score, abs=1e-4)
    wrong = replace(example, score=example.score + 0.01)
    with pytest.raises(StartError, match="maxsim"):
        load(replace(spec, examples=(wrong,)))


def test_only_its_own_rows(tmp_path: Path) -> None:
    """And nothing after close()."""
    model = opened(write(tmp_path, PYLATE))
    with pytest.raises(TypeError):
        model.engine.forward([Row(np.array([1, 2], np.int32), 2)])
    rows = model.prepare(request("a")).rows
    model.engine.close()
    model.engine.close()
    with pytest.raises(EngineFailed):
        model.engine.forward(rows)
