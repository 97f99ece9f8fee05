"""ColBERT folders against sentence-transformers (tests/reference/golden-colbert.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row, Scores
from rerankd.engines.multi_vector import MultiVectorRow
from rerankd.models.base import Model, pointwise
from rerankd.models.folder_word import read_word
from rerankd.models.load import Spec, load
from rerankd.models.loaders import LOADERS, Opening
from rerankd.models.selfcheck import self_check
from tests.checkpoints.colbert import GOLDEN_SHAPES, write
from tests.reference.make_colbert_goldens import GOLDEN
from tests.reference.make_goldens import Pair, pairs

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-4  # of a sum of up to 32 cosines, to torch
INDEPENDENCE = 1e-5
GOLDENS: dict[str, list[float]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=GOLDEN_SHAPES)
def name(request: pytest.FixtureRequest) -> str:
    """Of a shape."""
    return request.param


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files."""
    return write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Model]:
    """Without a memory, so that everything is computed."""
    made = opened(folder, cache_bytes=0)
    yield made
    made.engine.close()


def opened(folder: Path, *, cache_bytes: int = 8 << 20, **options: object) -> Model:
    """A folder's model."""
    opening = Opening(
        folder=folder,
        word=read_word(folder),
        name="colbert",
        options=LoadOptions(**options),  # pyright: ignore[reportArgumentType] - by the tests
        vector_cache_bytes=cache_bytes,
    )
    return pointwise(LOADERS["late-interaction"](opening))


def rows_of(model: Model, wanted: Sequence[Pair]) -> list[Row]:
    """A row for each pair, its document cut as the reference cuts it."""
    found: list[Row] = []
    for pair in wanted:
        request = RerankRequest(
            query=Content(value=pair["query"]),
            documents=(Content(value=pair["document"]),),
            max_chunks_per_doc=1,
        )
        found += model.prepare(request).rows
    return found


def scores(model: Model, rows: Sequence[Row]) -> Scores:
    """MaxSim, (B,)."""
    return model.logit(model.engine.forward(rows))


def test_matches_sentence_transformers(name: str, model: Model) -> None:
    """All 320 pairs, long ones cut."""
    rows = rows_of(model, pairs())
    found = scores(model, rows)
    assert len(GOLDENS[name]) == len(found) == 320
    assert np.abs(found - GOLDENS[name]).max() < TOLERANCE
    alone = np.concatenate([scores(model, [row]) for row in rows[::7]])
    assert np.abs(alone - found[::7]).max() < INDEPENDENCE
    backwards = scores(model, rows[::-1])[::-1]
    assert np.abs(backwards - found).max() < INDEPENDENCE


def test_equal_rows_are_exactly_equal(model: Model) -> None:
    """In one batch, whatever stands between them."""
    rows = rows_of(model, pairs()[:40])
    found = scores(model, [*rows, *rows_of(model, pairs()[:40])])
    assert np.array_equal(found[:40], found[40:])


def test_a_memory_changes_nothing(folder: Path) -> None:
    """Vectors that were kept give exactly the score that they gave when they were made."""
    model = opened(folder)
    rows = rows_of(model, pairs()[:60])
    first = scores(model, rows)
    assert np.array_equal(scores(model, rows), first)
    assert np.array_equal(scores(model, rows[::-1])[::-1], first)
    model.engine.close()


def test_is_fit_to_be_served(folder: Path) -> None:
    """By the self-check, which finds that a made-up model ranks badly and nothing else."""
    loaded = load(Spec(name="colbert", folder=folder))
    assert all("is it trained to rerank?" in each for each in self_check(loaded.model))
    assert "MaxSim" in loaded.model.card.score
    loaded.model.engine.close()


def test_the_mean_is_the_sum_by_the_number_of_vectors(folder: Path, model: Model) -> None:
    """score = "mean": the same order, between -1 and 1."""
    mean = opened(folder, score="mean")
    rows = rows_of(model, pairs()[:30])
    outputs = model.engine.forward(rows)
    found = scores(mean, rows_of(mean, pairs()[:30]))
    assert np.allclose(found, outputs[:, 0] / outputs[:, 1], atol=1e-6)
    assert np.abs(found).max() <= 1
    assert mean.relevance(float(found[0])) == found[0]
    mean.engine.close()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pylate-modernbert", {"query_prefix": ""}),
        ("pylate-modernbert", {"document_prefix": "[Q] "}),
        ("pylate-modernbert", {"skiplist_words": []}),
        (
            "pylate-modernbert",
            {"do_query_expansion": True, "attend_to_expansion_tokens": True},
        ),
        ("pylate-bert-attended", {"attend_to_expansion_tokens": False}),
        ("stanford-bert", {"mask_punctuation": False}),
        ("stanford-bert", {"query_token_id": "[unused1]"}),
        ("multi-vector-bert", {"prompts": {}}),
    ],
)
def test_another_recipe_gives_other_scores(
    name: str, change: dict[str, object], tmp_path: Path
) -> None:
    """Without a prefix, a skiplist, an expansion: far from the goldens, so these would tell."""
    model = opened(write(tmp_path, GOLDEN_SHAPES[name], **change))
    found = scores(model, rows_of(model, pairs()[:40]))
    assert np.abs(found - GOLDENS[name][:40]).max() > 100 * TOLERANCE
    model.engine.close()


def test_rows_carry_what_the_recipe_says(tmp_path: Path) -> None:
    """Marker behind the first token, expansion to query_length, what is attended."""
    model = opened(write(tmp_path, GOLDEN_SHAPES["stanford-bert"]))
    row = rows_of(model, [{"source": "", "query": "a b", "document": "c. d"}])[0]
    assert isinstance(row, MultiVectorRow)
    assert row.query.ids.size == 28
    assert row.query.attended < 8
    assert row.query.ids[1] == 4000
    assert row.document.ids[1] == 4001
    assert row.document.attended == row.document.ids.size
    assert row.tokens == 28 + row.document.ids.size
    model.engine.close()
