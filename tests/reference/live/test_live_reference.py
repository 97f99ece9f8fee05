"""The committed golden logits are what torch and transformers say today, on fresh checkpoints.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.models.cross_encoder import load_cross_encoder
from tests.checkpoints.bert import GOLDEN_SHAPES, write
from tests.reference.make_goldens import (
    GOLDEN,
    Golden,
    Reference,
    long_documents,
    long_pairs,
    pairs,
)

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_and_ours_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, GOLDEN_SHAPES[name])
    reference = Reference(folder)
    model = load_cross_encoder(folder, name=name)
    goldens: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    picked = [*pairs(), *long_pairs()]
    live = np.array(reference.pairs(picked))
    committed = np.array(goldens[name]["pairs"] + goldens[name]["long"])
    assert np.abs(live - committed).max() < 1e-4

    rows: list[Row] = []
    for pair in picked:
        request = RerankRequest(
            query=Content(value=pair["query"]),
            documents=(Content(value=pair["document"]),),
            max_chunks_per_doc=1,
        )
        rows += model.prepare(request).rows
    assert np.abs(model.engine.forward(rows) - live).max() < 1e-3

    chunks = reference.chunks(long_documents()[0])
    np.testing.assert_allclose(chunks, goldens[name]["chunks"][0], rtol=0, atol=1e-4)
