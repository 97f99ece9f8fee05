"""ColBERT's goldens are what sentence-transformers says today, and so are ours of other texts.

Run by `pytest -m reference`; without torch and sentence-transformers these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.colbert import GOLDEN_SHAPES, TRUE_WIDTH, write
from tests.engines.test_colbert_golden import TOLERANCE, opened, rows_of, scores
from tests.reference.make_colbert_goldens import GOLDEN, ColbertReference
from tests.reference.make_goldens import Pair, pairs

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: dict[str, list[float]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_scores_are_those_of_live_sentence_transformers(name: str, tmp_path: Path) -> None:
    reference = ColbertReference(write(tmp_path, GOLDEN_SHAPES[name]))
    np.testing.assert_allclose(reference.pairs(pairs()), GOLDENS[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_odd_texts(name: str, tmp_path: Path) -> None:
    """Empty ones, blanks at the ends, punctuation alone, upper case."""
    folder = write(tmp_path, GOLDEN_SHAPES[name])
    texts = ["", " ", "...", " What IS  it? ", "a", "\n\n", "é ü ß", "the the, the."]
    wanted: list[Pair] = [
        {"source": "", "query": query, "document": document}
        for query in texts
        for document in texts
    ]
    model = opened(folder)
    found = scores(model, rows_of(model, wanted))
    model.engine.close()
    reference = ColbertReference(folder).pairs(wanted)
    np.testing.assert_allclose(found, reference, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", list(TRUE_WIDTH))
def test_true_widths(name: str, tmp_path: Path) -> None:
    """Bodies as wide as the published ones, with few layers: 40 pairs."""
    folder = write(tmp_path, TRUE_WIDTH[name])
    wanted = pairs()[::8]
    model = opened(folder)
    found = scores(model, rows_of(model, wanted))
    model.engine.close()
    reference = ColbertReference(folder).pairs(wanted)
    np.testing.assert_allclose(found, reference, rtol=0, atol=TOLERANCE)
