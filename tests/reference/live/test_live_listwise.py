"""The listwise golden scores are what torch and transformers say today.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.models.load import Spec, load
from rerankd.service.reranker import Reranker
from tests.checkpoints.listwise import GOLDEN_SHAPES, WIDE, write
from tests.engines.test_listwise_golden import asked, scores
from tests.reference.make_listwise_goldens import GOLDEN, Reference, cases, of_shape

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_scores_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    reference = Reference(write(tmp_path, GOLDEN_SHAPES[name]))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    for case, request in of_shape(name).items():
        np.testing.assert_allclose(reference.rerank(request), golden[case], rtol=0, atol=1e-5)


def test_the_true_width_gives_the_scores_of_live_transformers(tmp_path: Path) -> None:
    folder = write(tmp_path, WIDE)
    reference = Reference(folder)
    with Reranker.of(load(Spec(name="wide", folder=folder))) as reranker:
        for name in ("one", "instruction", "long query", "marks"):
            live = reference.rerank(cases()[name])
            np.testing.assert_allclose(
                scores(reranker, asked(cases()[name])), live, rtol=0, atol=1e-4
            )
