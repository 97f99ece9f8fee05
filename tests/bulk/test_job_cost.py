"""What a job costs, what it may cost, and what it would take."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from rerankd.accounts.price import Terms
from rerankd.bulk.cost import Costs
from rerankd.bulk.estimate import estimated, surveyed
from rerankd.bulk.inputs import Input
from rerankd.bulk.local import LocalScorer
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError
from tests.bulk.kit import SMALL, lines, pair_rows, parts, read, request_rows, rows_of, run
from tests.kit.support import BytesModel

TERMS = Terms(per_1m_input=1_000_000_000)  # one of the currency for a million tokens: 1000 a token


def test_a_job_costs_its_tokens(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(40))
    counts = run(path, tmp_path / "out", costs=Costs(terms=TERMS))
    assert counts.cost_nano == counts.tokens * 1000 > 0


def test_it_stops_before_it_costs_more_and_goes_on_with_a_larger_sum(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", request_rows(100))
    whole = run(path, tmp_path / "whole", costs=Costs(terms=TERMS))
    most = whole.cost_nano // 2
    with pytest.raises(StartError, match=r"Stopped before it costs more than .* are spent"):
        run(path, tmp_path / "out", costs=Costs(terms=TERMS, most_nano=most, currency="EUR"))
    done = len((tmp_path / "out" / "part-00000.jsonl.partial").read_bytes().splitlines())
    spent = sum(row["tokens"] for row in rows_of(tmp_path / "whole")[:done]) * 1000
    assert 0 < spent <= most
    costs = Costs(terms=TERMS, most_nano=2 * whole.cost_nano, spent_nano=spent)
    again = run(path, tmp_path / "out", costs=costs)
    assert again.cost_nano == whole.cost_nano
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")


def test_a_sum_that_no_window_fits_begins_nothing(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(40))
    with pytest.raises(StartError, match="0 are spent"):
        run(path, tmp_path / "out", costs=Costs(terms=TERMS, most_nano=10))


def test_an_estimate_counts_all_rows_and_tokens_by_a_sample(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [*pair_rows(300), {"id": "bad"}])
    survey = surveyed(read(Input(path=path).source(Wishes())))
    assert (survey.rows, survey.failed, survey.pairs) == (301, 1, 300)
    counts = run(path, tmp_path / "out")
    with closing(LocalScorer(BytesModel())) as scorer:
        found = estimated(survey, "pairs", TERMS, scorer, SMALL)
    assert found.tokens == pytest.approx(counts.tokens, rel=0.02)
    assert found.cost_nano == pytest.approx(counts.tokens * 1000, rel=0.02)
    assert found.seconds is not None
    assert found.seconds > 0
    unasked = estimated(survey, "pairs", None, None, SMALL)
    assert (unasked.seconds, unasked.cost_nano) == (None, None)
    assert unasked.tokens == round(survey.characters / 4)


def test_a_large_input_is_sampled_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerankd.bulk.estimate.SAMPLE_ROWS", 50)
    path = lines(tmp_path / "in.jsonl", pair_rows(1000))
    rows = read(Input(path=path).source(Wishes()))
    survey = surveyed(rows)
    places = [row.line for row in survey.sample]
    assert len(places) == 50
    assert places == sorted(places)
    assert 300 < sum(places) / 50 < 700
    assert [row.line for row in surveyed(rows).sample] == places
