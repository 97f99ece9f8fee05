"""The simple orders are what their names say."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean

import pytest

from rerankd.measure.baselines import Baseline, feature_labels, features, rankers
from rerankd.measure.collection import read_collection
from rerankd.measure.metrics import mean_ndcg
from rerankd.models.catalog import ENTRIES, find
from rerankd.models.lexical import LexicalModel
from rerankd.models.shipped import SHIPPED

DATA = Path(__file__).parent.parent / "data"
DOCUMENTS = ["the cat sat", "a dog", "a cat and a cat", "nothing"]


@pytest.mark.parametrize("name", ["input-order", "whitespace-bm25"])
def test_an_order_that_knows_nothing_of_chinese_is_the_input_order(name: Baseline) -> None:
    collection = read_collection(DATA / "xquad-zh")
    [rank], [given] = rankers(name), rankers("input-order")
    assert mean_ndcg(collection, rank) == mean_ndcg(collection, given)


def test_by_chance_only_ties_differ() -> None:
    [plain], [chance] = rankers("whitespace-bm25"), rankers("whitespace-bm25-by-chance")
    assert chance("Cat", DOCUMENTS) == pytest.approx(plain("Cat", DOCUMENTS), abs=1e-8)
    tied = [chance("x", ["one", "two"]) for _ in range(20)]
    assert {first > second for first, second in tied} == {True, False}


def test_whitespace_bm25_finds_lowercase_words_and_no_stems() -> None:
    [rank] = rankers("whitespace-bm25")
    cat, dog, cats, nothing = rank("CAT", DOCUMENTS)
    assert cats > cat > dog == nothing
    assert rank("cats", DOCUMENTS)[0] == nothing


def test_random_is_what_chance_gives() -> None:
    """One relevant document among n = 10: the mean of 1 / log2(rank + 1) over the ranks."""
    collection = read_collection(DATA / "xquad-de")
    assert all(len(found) == 10 for found in collection.candidates.values())
    expected = fmean(1 / math.log2(rank + 1) for rank in range(1, 11))
    made = [mean_ndcg(collection, rank) for rank in rankers("random") for _ in range(20)]
    assert fmean(made) == pytest.approx(expected, abs=0.02)


def test_only_late_interaction_models_have_features() -> None:
    assert features(LexicalModel()) == {}


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES if entry.is_here])
def test_the_catalog_names_the_encoders_of_what_ships(name: str) -> None:
    entry = find(name)
    assert entry is not None
    with SHIPPED[name].files() as folder:
        model = SHIPPED[name].open(folder, 0)
    assert list(features(model)) == list(feature_labels(entry.encoders))
    model.engine.close()
