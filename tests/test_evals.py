"""nDCG against hand-computed values, and collections in files."""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.errors import StartError
from rerankd.evals import mean_ndcg, ndcg, order, read_collection

FILES = {
    "queries.jsonl": '{"id":"q","text":"tiger"}\n{"id":"r","text":"none relevant"}\n',
    "docs.jsonl": '{"id":"a","text":"grass"}\n{"id":"b","text":"tiger"}\n',
    "qrels.tsv": "q\tb\t1\nr\ta\t0\n",
    "candidates.jsonl": '{"qid":"q","docs":["a","b"]}\n{"qid":"r","docs":["a"]}\n',
}


def write(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **{k.replace("_", "."): v for k, v in changed.items()}}.items():
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("ranked", "grades", "k", "expected"),
    [
        (["a", "b"], {"a": 1}, 10, 1.0),
        (["b", "a"], {"a": 1}, 10, 1 / math.log2(3)),
        (["b", "a"], {"a": 1}, 1, 0.0),
        (["a", "b"], {"a": 1, "b": 3}, 10, (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))),
        (["a"], {"a": 1, "missed": 1}, 10, 1 / (1 + 1 / math.log2(3))),
        (["a"], {"a": 0, "b": -1}, 10, 0.0),
        ([], {"a": 1}, 10, 0.0),
    ],
    ids=["first", "second", "below k", "graded, linear gain", "missed", "none relevant", "empty"],
)
def test_ndcg_by_hand(ranked: list[str], grades: dict[str, int], k: int, expected: float) -> None:
    assert ndcg(ranked, grades, k) == pytest.approx(expected)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=1), st.integers(0, 3), min_size=1))
def test_the_ideal_order_has_ndcg_1_and_no_order_more(grades: dict[str, int]) -> None:
    ideal = sorted(grades, key=lambda d: -grades[d])
    assert ndcg(ideal, grades) == pytest.approx(1.0 if any(grades.values()) else 0.0)
    assert ndcg(sorted(grades), grades) <= 1.0 + 1e-12


def test_order_breaks_ties_by_lower_index() -> None:
    assert order([1.0, 2.0, 1.0, 2.0]) == [1, 3, 0, 2]


def test_a_collection_is_read_and_measured(tmp_path: Path) -> None:
    collection = read_collection(write(tmp_path))
    assert collection.documents == {"a": "grass", "b": "tiger"}
    assert set(collection.candidates) == {"q"}, "a query without a relevant document is left out"

    def overlap(query: str, documents: Sequence[str]) -> list[float]:
        return [float(query == text) for text in documents]

    assert mean_ndcg(collection, overlap) == 1.0
    assert mean_ndcg(collection, lambda _, documents: [0.0] * len(documents)) < 1.0


def test_packed_documents_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "docs.jsonl").unlink()
    (tmp_path / "docs.jsonl.gz").write_bytes(gzip.compress(FILES["docs.jsonl"].encode()))
    assert set(read_collection(tmp_path).documents) == {"a", "b"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"qrels_tsv": "q b 1\n"}, "qrels.tsv line 1"),
        ({"queries_jsonl": FILES["queries.jsonl"] + "{\n"}, "queries.jsonl line 3"),
        ({"docs_jsonl": '{"id":1,"text":"x"}\n'}, "docs.jsonl line 1"),
    ],
    ids=["qrels", "queries", "docs"],
)
def test_a_bad_line_is_named(tmp_path: Path, changed: dict[str, str], says: str) -> None:
    with pytest.raises(StartError, match=says):
        read_collection(write(tmp_path, **changed))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"qrels\.tsv"):
        read_collection(tmp_path)
