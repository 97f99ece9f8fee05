"""Floors of real models, and which candidates of a collection count as what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.measure.calibrate import (
    LEAST_RESAMPLES,
    MOST_CANDIDATES,
    FloorAsk,
    calibrate,
    labelled,
    scored,
    together,
)
from rerankd.measure.collection import Collection, collections_in, read_collection
from rerankd.measure.threshold import LEAST_OF_EACH, Criterion, JudgedScores
from rerankd.models.load import resolve
from rerankd.service.reranker import Reranker

DATA = Path(__file__).parent.parent / "data"
YOUDEN = FloorAsk(criterion=Criterion())


def written(folder: Path, candidates: Mapping[str, list[str]], qrels: str) -> Collection:
    """A collection of documents a to d."""
    folder.mkdir(exist_ok=True)
    lines = {
        "queries.jsonl": [{"id": qid, "text": qid} for qid in candidates],
        "docs.jsonl": [{"id": each, "text": each} for each in "abcd"],
        "candidates.jsonl": [{"qid": qid, "docs": docs} for qid, docs in candidates.items()],
    }
    for name, made in lines.items():
        (folder / name).write_text("\n".join(map(json.dumps, made)))
    (folder / "qrels.tsv").write_text(qrels)
    return read_collection(folder)


def part(folder: Path, qid: str, documents: Sequence[str]) -> None:
    """One query of xquad-de as a collection."""
    whole = read_collection(DATA / "xquad-de")
    texts = [{"id": each, "text": whole.documents[each]} for each in documents]
    folder.mkdir()
    (folder / "queries.jsonl").write_text(json.dumps({"id": qid, "text": whole.queries[qid]}))
    (folder / "docs.jsonl").write_text("\n".join(map(json.dumps, texts)))
    (folder / "candidates.jsonl").write_text(json.dumps({"qid": qid, "docs": list(documents)}))
    grades = whole.qrels[qid].items()
    (folder / "qrels.tsv").write_text("".join(f"{qid}\t{doc}\t{grade}\n" for doc, grade in grades))


@pytest.fixture
def graded(tmp_path: Path) -> Collection:
    """x has graded documents, y is judged without an answer, nobody judged z."""
    candidates = {"x": ["a", "b", "c", "d"], "y": ["a", "b"], "z": ["a"]}
    return written(tmp_path / "s", candidates, "x\ta\t2\nx\tb\t1\nx\tc\t0\ny\ta\t0\n")


def test_candidates_count_by_their_grades(graded: Collection) -> None:
    found = labelled(graded, YOUDEN)
    assert (found.queries, found.documents) == (["x", "y"], [["a", "b", "c", "d"], ["a", "b"]])
    assert list(found.relevant) == [True, True, False, False, False, False]
    assert found.unjudged == 2
    strict = labelled(graded, FloorAsk(criterion=Criterion(), grade=2))
    assert list(strict.relevant) == [True, False, False, False, False, False]


def test_candidates_that_nobody_judged_can_be_left_out(graded: Collection) -> None:
    found = labelled(graded, FloorAsk(criterion=Criterion(), only_judged=True))
    assert (found.queries, found.documents) == (["x", "y"], [["a", "b", "c"], ["a"]])
    assert list(found.relevant) == [True, True, False, False]
    assert found.unjudged == 0


def test_scores_stand_beside_who_they_are_of(graded: Collection) -> None:
    sets = [labelled(graded, YOUDEN)] * 2

    def rank(query: str, documents: Sequence[str]) -> list[float]:
        return [ord(document) + 1000 * (query == "y") for document in documents]

    steps: list[tuple[int, int]] = []
    parts = scored(sets, rank, lambda done, of: steps.append((done, of)))
    assert parts[0].scores.tolist() == [97, 98, 99, 100, 1097, 1098]
    assert parts[0].query.tolist() == [0, 0, 0, 0, 1, 1]
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4)]
    both = together(parts)
    assert both.query.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
    assert both.stratum.tolist() == [0, 0, 0, 0], "small ones are drawn as one"


def test_large_collections_are_strata() -> None:
    sizes = [LEAST_OF_EACH, LEAST_OF_EACH + 1]
    parts = [
        JudgedScores(
            scores=np.zeros(size),
            relevant=np.zeros(size, dtype=np.bool_),
            query=np.arange(size),
            stratum=np.zeros(size, dtype=np.intp),
        )
        for size in sizes
    ]
    assert together(parts).stratum.tolist() == [0] * sizes[0] + [1] * sizes[1]


def test_collections_of_one_query_each_are_no_certainty(tmp_path: Path) -> None:
    """As the playground exports them: drawn within itself, each would always be there once."""
    for place, each in enumerate(read_collection(DATA / "xquad-de").candidates.items()):
        part(tmp_path / f"q{place}", *each)
    wanted = FloorAsk(criterion=Criterion(), resamples=LEAST_RESAMPLES)
    lexical = ("rerankd-lexical", resolve("rerankd-lexical"))
    [model] = calibrate(collections_in([tmp_path]), [lexical], wanted).models
    assert model.found.auc is not None
    assert model.found.auc.low < model.found.auc.value < model.found.auc.high


@pytest.mark.parametrize("resamples", [0, LEAST_RESAMPLES - 1, 4_000_000_000 // 6 + 1])
def test_too_much_and_too_little_is_refused_before_a_model_works(
    graded: Collection, resamples: int
) -> None:
    wanted = FloorAsk(criterion=Criterion(), resamples=resamples)
    with pytest.raises(StartError, match="--resamples"):
        calibrate([graded], [], wanted)


def test_a_collection_that_is_too_large_or_not_judged_is_refused(
    graded: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_CANDIDATES >= 1_000_000
    monkeypatch.setattr("rerankd.measure.calibrate.MOST_CANDIDATES", 5)
    with pytest.raises(StartError, match="6 candidates: at most 5"):
        calibrate([graded], [], YOUDEN)
    nothing = written(tmp_path / "n", {"x": ["a"]}, "")
    with pytest.raises(StartError, match="no query has a judged candidate"):
        calibrate([nothing], [], YOUDEN)


def test_a_real_model_has_a_floor_of_its_published_scores() -> None:
    """Both built-in models, each in its space, on real questions in two languages."""
    collections = collections_in([DATA])
    names = ("rerankd-mini", "rerankd-lexical")
    report = calibrate(collections, [(name, resolve(name)) for name in names], YOUDEN)
    for name, model in zip(names, report.models, strict=True):
        assert model.space.startswith(f"{name}@")
        found = model.found
        assert (found.queries, found.relevant, found.others) == (28, 28, 252)
        assert found.auc is not None
        assert found.auc.low > 0.95
        assert found.floor is not None, found.reasons
        assert 0.0 < found.floor.low <= found.floor.value <= found.floor.high < 1.0
        assert [each.name for each in model.sets] == ["xquad-de", "xquad-zh"]
        with Reranker(name) as reranker:
            kept = relevant = 0
            for each in collections:
                for qid, documents in each.candidates.items():
                    texts = [each.documents[document] for document in documents]
                    for hit in reranker.rank(each.queries[qid], texts):
                        is_kept = hit.score >= found.floor.value
                        kept += is_kept
                        relevant += is_kept and each.qrels[qid].get(documents[hit.index], 0) > 0
        assert found.at_floor is not None
        assert found.at_floor.kept == pytest.approx(kept / 280)
        assert found.at_floor.recall == pytest.approx(relevant / 28)
        assert found.at_floor.precision == pytest.approx(relevant / kept)
