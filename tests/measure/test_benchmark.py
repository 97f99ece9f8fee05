"""Workloads have the lengths they claim, and rounds are fair, on a model of bytes."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.measure import benchmark
from rerankd.measure.benchmark import Variant
from rerankd.measure.texts import read_texts, standard_library
from rerankd.measure.workload import Maker, Request, lengths, long_tailed, pair_tokens, uniform
from rerankd.models.load import Loaded, Spec
from rerankd.service.reranker import Reranker
from tests.kit.support import BytesModel

TEXTS = ["a rather short text of plain words that goes on for some time " * 20]


def variant(label: str = "one") -> Variant:
    reranker = Reranker.of(Loaded(model=BytesModel(), warnings=()))
    return Variant(label, reranker, cost=None, load_s=0.0)


def test_uniform_requests_meet_the_length_within_a_word() -> None:
    model = BytesModel()
    request = Maker(model, TEXTS).request(20, uniform)
    assert len(request.documents) == 20
    assert all(abs(n - 128) <= 8 for n in pair_tokens(model, request))


def test_the_long_tailed_mix_has_its_median_and_tail() -> None:
    model = BytesModel()
    made = lengths(pair_tokens(model, Maker(model, TEXTS).request(400, long_tailed)))
    assert made.median == pytest.approx(127, rel=0.1)
    assert made.p90 == pytest.approx(293, rel=0.15)
    assert str(made).startswith("400 pairs: median ")


def test_equal_seeds_make_equal_requests() -> None:
    first, second = (Maker(BytesModel(), TEXTS, seed=3).request(5) for _ in range(2))
    assert first == second
    assert Maker(BytesModel(), TEXTS, seed=4).request(5) != first


def test_texts_come_from_collections_or_else_from_text_files(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("some notes")
    assert read_texts(tmp_path) == ["some notes"]
    (tmp_path / "set").mkdir()
    line = b'{"id": "1", "text": "a document"}\n'
    (tmp_path / "set" / "docs.jsonl.gz").write_bytes(gzip.compress(line))
    assert read_texts(tmp_path) == ["a document"]


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no text"):
        read_texts(tmp_path)


def test_the_standard_library_has_prose() -> None:
    assert sum(len(text.split()) for text in standard_library()) > 20_000


def test_every_variant_scores_every_request_once_per_round() -> None:
    requests = [Request("query", ("first", "second document")), Request("other", ("x", "yy"))]
    variants = {label: variant(label) for label in ("one", "two")}
    rounds = benchmark.run_rounds(variants, requests, peak=itertools.count(1.0).__next__)
    assert rounds.peaks == [1.0, 2.0]
    assert {label: len(turns) for label, turns in rounds.turns.items()} == {"one": 2, "two": 2}
    same = benchmark.agreements(rounds, "one")["two"]
    assert (same.top_overlap, same.max_difference) == (1.0, 0.0)
    speed = benchmark.speed(variants["one"], rounds)
    assert speed.pairs_per_s.repeats == 2
    assert speed.peak_share is None  # nothing is known of this model's sizes


def test_scores_are_in_document_order() -> None:
    each = variant()
    documents = ("b", "a", "c")
    made = benchmark.scores(each.reranker, "q", documents)
    alone = [benchmark.scores(each.reranker, "q", (text,))[0] for text in documents]
    assert made.tolist() == alone
    assert len(set(alone)) == 3


def test_latency_stops_when_its_time_is_over() -> None:
    requests = itertools.repeat(Request("query", ("a", "b")))
    made = benchmark.latency(variant().reranker, requests, seconds=0.0, repeats=50)
    assert (made.documents, made.repeats) == (2, 1)
    assert made.p50_s == made.p99_s > 0
    assert benchmark.latency(variant().reranker, requests, seconds=60, repeats=7).repeats == 7


def test_a_variant_that_cannot_be_loaded_frees_the_others() -> None:
    closed: list[str] = []

    def load(spec: Spec) -> Loaded:
        if spec.name == "bad":
            raise StartError("bad cannot be loaded")
        model = BytesModel(spec.name)
        model.engine.close = lambda: closed.append(spec.name)  # type: ignore[method-assign]
        return Loaded(model=model, warnings=())

    specs = {"good": Spec(name="good"), "bad": Spec(name="bad")}
    with pytest.raises(StartError, match="bad"), benchmark.loaded(specs, load):
        pass
    assert closed == ["good"]
