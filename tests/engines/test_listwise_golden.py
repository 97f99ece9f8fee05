"""Our listwise scores against transformers' on the same weights (golden-listwise.json)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.options import Precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.engines.base import vectors_of
from rerankd.engines.openvino.listwise_engine import OpenVinoListwise
from rerankd.models.listwise import Listwise
from rerankd.models.listwise_checkpoint import open_listwise
from rerankd.models.load import Spec, load
from rerankd.service.reranker import Reranker
from tests.checkpoints.listwise import GOLDEN_SHAPES, TINY_WINDOWED, write
from tests.reference.make_listwise_goldens import GOLDEN, Case, cases, of_shape

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-5  # of cosines, to torch
GOLDENS: dict[str, dict[str, list[float]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Opened:
    """A checkpoint of one shape."""

    name: str
    folder: Path
    reranker: Reranker

    @property
    def model(self) -> Listwise:
        return cast("Listwise", self.reranker.model)


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])
    return Opened(name, folder, Reranker.of(load(Spec(name=name, folder=folder))))


def asked(case: Case) -> RerankRequest:
    return RerankRequest(
        query=Content(value=case["query"]),
        documents=tuple(Content(value=text) for text in case["documents"]),
        instruction=case["instruction"],
        truncate_query=True,
    )


def scores(reranker: Reranker, request: RerankRequest) -> list[float]:
    """In the documents' order."""
    hits = reranker.rerank(request).hits
    return [hit.score for hit in sorted(hits, key=lambda hit: hit.index)]


def test_all_cases_are_those_of_transformers(opened: Opened) -> None:
    wanted = of_shape(opened.name)
    assert set(wanted) == set(GOLDENS[opened.name])
    for name, case in wanted.items():
        ours = scores(opened.reranker, asked(case))
        error = np.abs(np.array(ours) - GOLDENS[opened.name][name]).max()
        assert error < TOLERANCE, (name, error)


def test_blocks_are_by_documents_and_by_tokens(opened: Opened) -> None:
    sizes = {
        name: len(opened.model.prepare(asked(case)).rows)
        for name, case in of_shape(opened.name).items()
    }
    if opened.name.endswith("-narrow"):
        assert sizes["blocks"] > 1
    else:
        assert (sizes["one"], sizes["125"], sizes["126"], sizes["300"]) == (1, 1, 2, 3)


def test_the_order_of_documents_counts_and_equal_texts_differ(opened: Opened) -> None:
    if opened.name.endswith("-narrow"):
        return
    golden = GOLDENS[opened.name]
    assert np.abs(np.array(golden["reversed"][::-1]) - golden["125"]).max() > 1e-3
    assert len(set(golden["equal"])) == 4


def test_scores_do_not_depend_on_how_a_prompt_is_cut_into_steps(opened: Opened) -> None:
    checkpoint = open_listwise(opened.folder)
    row = opened.model.prepare(asked(of_shape("v3")["instruction"])).rows[0]
    whole = vectors_of(row, opened.model.engine)
    for tokens, start in ((7, 0), (64, 50), (1, 3), (row.tokens, 100)):
        engine = OpenVinoListwise(
            checkpoint.config,
            checkpoint.weights,
            mark=checkpoint.mark,
            start=row.ids[:start],
            piece_tokens=tokens,
        )
        for _ in range(2):  # the second time its start is kept
            assert np.abs(vectors_of(row, engine) - whole).max() < TOLERANCE
        engine.close()


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_scores_in_less_than_fp32_are_near_and_of_the_row_alone(
    opened: Opened, precision: Precision
) -> None:
    """Whole and in pieces; how a row is cut follows from the row."""
    checkpoint = open_listwise(opened.folder)
    rows = [opened.model.prepare(asked(cases()[name])).rows[0] for name in ("one", "instruction")]
    wanted = [vectors_of(row, opened.model.engine) for row in rows]
    for tokens in (max(row.tokens for row in rows), 7):
        engine = OpenVinoListwise(
            checkpoint.config,
            checkpoint.weights,
            mark=checkpoint.mark,
            piece_tokens=tokens,
            precision=precision,
        )
        assert engine.info.precision == precision
        made = [vectors_of(row, engine) for row in rows]
        for found, near in zip(made, wanted, strict=True):
            lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(near, axis=1)
            assert np.abs(found - near).max() > 0
            assert ((found * near).sum(axis=1) / lengths).min() > 0.999
        np.testing.assert_array_equal(vectors_of(rows[0], engine), made[0])
        engine.close()


def test_a_row_that_ran_in_between_changes_nothing(opened: Opened) -> None:
    rows = [opened.model.prepare(asked(cases()[name])).rows[0] for name in ("one", "instruction")]
    alone = [vectors_of(row, opened.model.engine) for row in rows]
    first = opened.model.engine.vectors(rows[1])
    for _ in range(2):
        next(first)
        assert np.abs(vectors_of(rows[0], opened.model.engine) - alone[0]).max() < TOLERANCE
        break
    ended = _rest(first)
    assert np.abs(ended - alone[1]).max() < TOLERANCE


def _rest(steps: object) -> Sequence[float]:
    while True:
        try:
            next(steps)  # type: ignore[call-overload]
        except StopIteration as end:
            return end.value


def test_without_the_window_of_its_layers_scores_would_be_others(tmp_path: Path) -> None:
    wide = replace(TINY_WINDOWED, window=131072)
    with Reranker.of(load(Spec(name="wide", folder=write(tmp_path, wide)))) as reranker:
        ours = scores(reranker, asked(cases()["300"]))
    assert np.abs(np.array(ours) - GOLDENS["v3.5"]["300"]).max() > 1e-2


def test_each_step_tells_its_tokens_and_a_closed_engine_says_so(opened: Opened) -> None:
    row = opened.model.prepare(asked(cases()["125"])).rows[0]
    told = list(opened.model.engine.vectors(row))
    assert sum(told) == row.tokens
    assert len(told) <= -(-row.tokens // (opened.model.engine.info.slice_tokens or 1))
    checkpoint = open_listwise(opened.folder)
    engine = OpenVinoListwise(checkpoint.config, checkpoint.weights, mark=checkpoint.mark)
    engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        vectors_of(Row(row.ids, row.tokens), engine)


def test_a_tiny_folder_is_loaded_in_a_moment(opened: Opened) -> None:
    started = time.process_time()
    load(Spec(name="again", folder=opened.folder)).model.engine.close()
    assert time.process_time() - started < 10  # about 1 on a machine of its own
