"""Measures against hand-computed values, collections and TREC files."""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.core.errors import StartError
from rerankd.extras import library
from rerankd.measure.collection import read_collection, read_documents
from rerankd.measure.metrics import mean_ndcg, measure, ndcg, order, rerank
from rerankd.measure.trec import read_trec_qrels, read_trec_run, trec_run, trec_values

DATA = Path(__file__).parent.parent / "data"

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
        ({"qrels_tsv": "q b 1\n"}, "qrels.tsv line 1: 1 fields; 3 are expected"),
        ({"qrels_tsv": "\nq\tb\t1\n\nr\ta\tgood\n"}, "qrels.tsv line 4: the grade 'good'"),
        ({"candidates_jsonl": '{"qid":"x","docs":["a"]}\n'}, "candidates.jsonl line 1: query x"),
        ({"candidates_jsonl": '{"qid":"q","docs":["z"]}\n'}, "candidates.jsonl line 1: document z"),
        ({"candidates_jsonl": '{"qid":"q","docs":["a","a"]}\n'}, "line 1: .* twice"),
        ({"queries_jsonl": FILES["queries.jsonl"] + "{\n"}, "queries.jsonl line 3"),
        ({"docs_jsonl": '{"id":1,"text":"x"}\n'}, "docs.jsonl line 1"),
    ],
    ids=[
        "qrels",
        "grade, blank lines count",
        "unknown query",
        "unknown document",
        "document twice",
        "queries",
        "docs",
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, changed: dict[str, str], says: str) -> None:
    with pytest.raises(StartError, match=says):
        read_collection(write(tmp_path, **changed))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "qrels.tsv").unlink()
    with pytest.raises(StartError, match=r"qrels\.tsv"):
        read_collection(tmp_path)


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 3), min_size=1),
    st.permutations("abcdefgh"),
    st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_ndcg_is_what_ir_measures_says(grades: dict[str, int], ranked: list[str], k: int) -> None:
    values = measure({"q": grades}, {"q": ranked}, k)[f"nDCG@{k}"].tolist()
    assert values == ([pytest.approx(ndcg(ranked, grades, k))] if max(grades.values()) > 0 else [])


def test_mean_ndcg_of_real_data_is_what_ir_measures_says() -> None:
    collection = read_collection(DATA / "xquad-de")

    def by_length(_: str, documents: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in documents]

    found = measure(collection.qrels, rerank(collection, by_length))["nDCG@10"]
    assert found.size == 14
    assert mean_ndcg(collection, by_length) == pytest.approx(float(found.mean()))


def test_all_measures_by_hand() -> None:
    qrels = {
        "q": {"a": 2, "b": 0, "c": 1, "missed": 1},
        "absent": {"a": 1},
        "nothing relevant": {"a": 0},
    }
    run = {"q": ["b", "a", "unjudged", "c"], "unknown": ["a"]}
    found = {name: values.tolist() for name, values in measure(qrels, run, k=3).items()}
    ideal = 2 + 1 / math.log2(3) + 1 / 2
    assert found == {
        "nDCG@3": pytest.approx([2 / math.log2(3) / ideal, 0.0]),
        "MRR@3": pytest.approx([1 / 2, 0.0]),
        "MAP": pytest.approx([(1 / 2 + 2 / 4) / 3, 0.0]),
        "recall@3": pytest.approx([1 / 3, 0.0]),
    }


def test_a_run_without_any_judged_query_measures_zero() -> None:
    assert measure({"q": {"a": 1}}, {"other": ["a"]})["MRR@10"].tolist() == [0.0]


QRELS = "q 0 a 1\nq 0 b 0\n\nr 0 c 2\n"
RUN = "q Q0 b 1 0.5 me\nq Q0 a 2 0.5 me\nq Q0 c 3 1e1 me\nr Q0 c 1 -2 me\n"


def test_trec_files_are_read_and_ties_go_to_the_later_id(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text(QRELS)
    (tmp_path / "run.gz").write_bytes(gzip.compress(RUN.encode()))
    assert read_trec_qrels(tmp_path / "qrels") == {"q": {"a": 1, "b": 0}, "r": {"c": 2}}
    assert read_trec_run(tmp_path / "run.gz") == {"q": ["c", "b", "a"], "r": ["c"]}


def test_ties_of_a_run_are_broken_as_trec_eval_does(tmp_path: Path) -> None:
    (tmp_path / "run").write_text(RUN)
    ir = library("ir_measures")
    qrels = {"q": {"a": 1, "b": 0}, "r": {"c": 2}}
    theirs = {
        metric.query_id: metric.value
        for metric in ir.iter_calc([ir.nDCG @ 10], qrels, ir.read_trec_run(str(tmp_path / "run")))
    }
    ours = measure(qrels, read_trec_run(tmp_path / "run"))["nDCG@10"]
    assert ours.tolist() == pytest.approx([theirs["q"], theirs["r"]])
    assert theirs["q"] == pytest.approx(1 / 2), "a is third: b is the later id"


def theirs(folder: Path, qrels: dict[str, dict[str, int]], *measures: str) -> list[float]:
    """What trec_eval's own code says of the file `run`, query q."""
    ir = library("ir_measures")
    wanted = [ir.parse_measure(name) for name in measures]
    run = ir.read_trec_run(str(folder / "run"))
    found = {m.measure: m.value for m in ir.iter_calc(wanted, qrels, run) if m.query_id == "q"}
    return [found[measure] for measure in wanted]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0.5", "0.5"),
        ("0.50000000001", "0.5"),
        ("16777217", "16777216"),
        ("1e39", "2e39"),
        ("1e-50", "0"),
        ("-1e-50", "-0.0"),
    ],
)
def test_scores_are_compared_in_32_bits_as_trec_eval_does(
    tmp_path: Path, first: str, second: str
) -> None:
    (tmp_path / "run").write_text(f"q Q0 a 1 {first} me\nq Q0 b 2 {second} me\n")
    qrels = {"q": {"a": 1, "b": 0}}
    assert read_trec_run(tmp_path / "run") == {"q": ["b", "a"]}, "a tie: the later id is first"
    # RR and AP by trec_eval's code; RR@10 would be the MS MARCO script's, with the other tie rule.
    ndcg_10, map_, mrr = theirs(tmp_path, qrels, "nDCG@10", "AP", "RR")
    ours = measure(qrels, read_trec_run(tmp_path / "run"))
    assert ours["nDCG@10"].tolist() == [pytest.approx(ndcg_10)]
    assert ours["MAP"].tolist() == [map_] == [0.5]
    assert ours["MRR@10"].tolist() == [mrr] == [0.5]


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.1 + 1e-12, 1 / 3, -2.5, 0.0, 1e-50, 7.0]), st.booleans()),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=80, deadline=None)
def test_every_measure_of_a_run_with_ties_is_trec_evals(
    ranked: list[tuple[float, bool]],
) -> None:
    qrels = {"q": {f"d{i}": int(relevant) for i, (_, relevant) in enumerate(ranked)} | {"no": 1}}
    with TemporaryDirectory() as folder:
        path = Path(folder)
        lines = [f"q Q0 d{i} {i} {score!r} me\n" for i, (score, _) in enumerate(ranked)]
        (path / "run").write_text("".join(lines))
        ours = measure(qrels, read_trec_run(path / "run"))
        wanted = theirs(path, qrels, "nDCG@10", "RR", "AP", "R@10")
    assert [found.tolist()[0] for found in ours.values()] == pytest.approx(wanted)


@given(
    st.lists(st.floats(-1e38, 1e38), max_size=12),
    st.permutations([f"d{i}" for i in range(12)]),
)
@settings(max_examples=100, deadline=None)
def test_a_written_run_is_read_in_its_order(scores: list[float], ids: list[str]) -> None:
    ranked = list(zip(ids, sorted(scores, reverse=True), strict=False))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        path.write_text("x Q0 x 1 1 x\n" + trec_run("q", ranked, "a model"))
        assert read_trec_run(path).get("q", []) == [document for document, _ in ranked]
        fields = [line.split() for line in path.read_text().splitlines()[1:]]
    assert [int(line[3]) for line in fields] == list(range(1, len(ranked) + 1))
    written = [float(line[4]) for line in fields]
    assert all(np.float32(a) > np.float32(b) for a, b in pairwise(written))
    assert all(line[5] == "a_model" for line in fields)


def test_scores_that_differ_are_written_as_they_are() -> None:
    lines = trec_run("q", [("a", 0.98765432), ("b", 0.5), ("c", 0.5), ("d", -1e-9)], "m")
    assert [line.split()[4] for line in lines.splitlines()] == [
        "0.9876543",
        "0.5",
        "0.49999997",
        "-1e-09",
    ]


def test_values_are_written_as_trec_eval_prints_them() -> None:
    values = {"nDCG@10": np.array([1.0, 0.5]), "MAP": np.array([0.25, 0.0])}
    assert [line.split() for line in trec_values(values, ["q1", "q2"]).splitlines()] == [
        ["nDCG@10", "q1", "1.000000"],
        ["MAP", "q1", "0.250000"],
        ["nDCG@10", "q2", "0.500000"],
        ["MAP", "q2", "0.000000"],
        ["nDCG@10", "all", "0.750000"],
        ["MAP", "all", "0.125000"],
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (QRELS + "q a 1\n", r"bad line 5: 3 fields; 4 are expected: query, 0, document, grade"),
        (QRELS + "q 0 c 1.5\n", r"bad line 5: the grade '1.5' is not a whole number"),
        (QRELS + "q 0 a 0\n", r"bad line 5: q a is judged twice"),
        ("\n", r"bad is empty"),
    ],
    ids=["fields", "grade", "twice", "empty"],
)
def test_bad_trec_qrels_are_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad").write_text(text)
    with pytest.raises(StartError, match=says):
        read_trec_qrels(tmp_path / "bad")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"q Q0 a 1 0.5\n", r"bad line 1: 5 fields; 6 are expected"),
        (RUN.encode() + b"r Q0 d 1 high me\n", r"bad line 5: the score 'high' is not a number"),
        (RUN.encode() + b"r Q0 d 1 nan me\n", r"bad line 5: the score 'nan' is not a number"),
        (RUN.encode() + b"q Q0 a 9 0 me\n", r"bad line 5: q a is ranked twice"),
        (b"q Q0 \xff 1 0.5 me\n", r"bad line 1 is not UTF-8 \(byte 5\)"),
        (b"", r"bad is empty"),
    ],
    ids=["fields", "score", "nan", "twice", "bytes", "empty"],
)
def test_bad_trec_runs_are_named(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "bad").write_bytes(text)
    with pytest.raises(StartError, match=says):
        read_trec_run(tmp_path / "bad")


def test_a_missing_library_is_one_sentence_with_the_command() -> None:
    with pytest.raises(StartError, match=r"needs no_such_library.*pip install 'rerankd\[eval\]'"):
        library("no_such_library.stats")


def test_a_packed_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(RUN.encode() * 50, mtime=0))
    packed[12:20] = b"\xff" * 8  # inside of the packed data
    (tmp_path / "run.gz").write_bytes(bytes(packed))
    with pytest.raises(StartError, match=r"run\.gz cannot be read"):
        read_trec_run(tmp_path / "run.gz")


@pytest.mark.parametrize(
    "line",
    ['{"id": ' + "[" * 200_000, '{"id": "1", "text": "\\ud800"}', '{"id": ' + "9" * 9999],
    ids=["nested deep", "half a character", "many digits"],
)
def test_a_line_that_no_decoder_takes_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "docs.jsonl").write_text(f'{{"id": "1", "text": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(StartError, match=r"docs\.jsonl line 2: ") as caught:
        read_documents(tmp_path)
    assert len(str(caught.value)) < 1000
