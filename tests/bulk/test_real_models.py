"""Real engines: a job that goes on writes the same bytes, whatever ran beside a row before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from rerankd.bulk.groups import Answer
from rerankd.bulk.inputs import Input
from rerankd.bulk.job import Job
from rerankd.bulk.local import LocalScorer, batches
from rerankd.bulk.output import OutputFolder
from rerankd.bulk.rows import WindowLimits
from rerankd.bulk.wishes import Wishes
from rerankd.core.answer import Ranking
from rerankd.core.request import Content, RerankRequest
from rerankd.models.base import AnyModel
from rerankd.models.load import load, resolve
from tests.bulk.kit import lines, pair_rows, parts
from tests.checkpoints import bert

LIMITS = WindowLimits(pairs=20)


def written(model: AnyModel, path: Path, out: Path, windows: int) -> None:
    """Run a job until so many windows were begun, from where it is."""
    asked: list[int] = []

    def stops() -> bool:
        asked.append(1)
        return len(asked) > windows

    with (
        closing(Input(path=path).source(Wishes())) as source,
        closing(OutputFolder(out)) as folder,
        closing(LocalScorer(model)) as scorer,
    ):
        folder.go_on()
        Job(source=source, scorer=scorer, folder=folder, limits=LIMITS, stops=stops).run()
        if windows > 100:
            folder.finish()


def test_a_padded_encoder_that_was_stopped_writes_the_same_bytes(tmp_path: Path) -> None:
    folder = bert.write(tmp_path / "bert", bert.TINY_BERT)
    path = lines(tmp_path / "in.jsonl", pair_rows(90))
    loaded = load(resolve(str(folder)))
    with closing(loaded.model.engine):
        written(loaded.model, path, tmp_path / "whole", 1000)
        for windows in (2, 1, 1000):
            written(loaded.model, path, tmp_path / "out", windows)
        assert parts(tmp_path / "out") == parts(tmp_path / "whole")
        assert len(parts(tmp_path / "out").splitlines()) == 90


def test_rows_of_a_padded_encoder_run_longest_first(tmp_path: Path) -> None:
    folder = bert.write(tmp_path / "bert", bert.TINY_BERT)
    loaded = load(resolve(str(folder)))
    with closing(loaded.model.engine) as engine:
        rows = loaded.model.prepare(request([f"{'word ' * (i % 7)}{i}" for i in range(30)])).rows
        order = [i for batch in batches(rows, engine) for i in batch]
    tokens = [rows[i].tokens for i in order]
    assert tokens == sorted(tokens, reverse=True)
    assert sorted(order) == list(range(30))


@pytest.mark.parametrize("name", ["rerankd-lexical", "rerankd-mini"])
def test_what_stands_beside_a_row_changes_no_score_of_a_built_in_model(name: str) -> None:
    documents = [f"{'the sea and the wind ' * (i % 5)} {i}" for i in range(16)]
    loaded = load(resolve(name))
    with closing(loaded.model.engine), closing(LocalScorer(loaded.model)) as scorer:
        [together] = scorer.begin([request(documents)]).result()
    again = load(resolve(name))  # nothing is remembered
    with closing(again.model.engine), closing(LocalScorer(again.model)) as scorer:
        alone = [scorer.begin([request([text])]).result()[0] for text in reversed(documents)]
    scores = {hit.index: hit.score for hit in ranked(together).hits}
    assert [ranked(each).hits[0].score for each in reversed(alone)] == [
        scores[i] for i in range(16)
    ]


def request(documents: list[str]) -> RerankRequest:
    return RerankRequest(
        query=Content(value="wind over the sea"),
        documents=tuple(Content(value=text) for text in documents),
    )


def ranked(answer: Answer) -> Ranking:
    assert isinstance(answer, Ranking)
    return answer
