"""ModernBERT's and jina's golden logits are what transformers says today; and the true width.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.types import Content, RerankRequest, Row
from rerankd.models.cross_encoder import load_cross_encoder
from tests.reference import make_checkpoints
from tests.reference.make_checkpoints import TINY_XLMR
from tests.reference.make_goldens import Reference, long_documents, pairs
from tests.reference.make_modernbert_checkpoints import GOLDEN_SHAPES, TRUE_WIDTH, write
from tests.reference.make_modernbert_goldens import GOLDEN, Goldens

pytestmark = pytest.mark.reference
GOLDENS: Goldens = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    reference = Reference(write(tmp_path, GOLDEN_SHAPES[name]))
    golden = GOLDENS["shapes"][name]
    live = [reference.pair(pair["query"], pair["document"]) for pair in pairs()]
    np.testing.assert_allclose(live, golden["pairs"], rtol=0, atol=1e-4)
    chunks = reference.chunks(long_documents()[0])
    np.testing.assert_allclose(chunks, golden["chunks"][0], rtol=0, atol=1e-4)


def test_jinas_chunks_are_those_of_live_transformers(tmp_path: Path) -> None:
    reference = Reference(make_checkpoints.write(tmp_path, TINY_XLMR))
    chunks = reference.chunks(long_documents()[0], right_align_last=True)
    np.testing.assert_allclose(chunks, GOLDENS["jina"][0], rtol=0, atol=1e-4)


def test_the_true_width_and_the_longest_row_score_as_live_transformers(tmp_path: Path) -> None:
    folder = write(tmp_path, TRUE_WIDTH)
    reference, model = Reference(folder), load_cross_encoder(folder, name="width")
    texts = [(pair["query"], pair["document"]) for pair in pairs()[::12]]
    texts.append((texts[0][0], " ".join(pair["document"] for pair in pairs()) * 3))
    rows: list[Row] = []
    for query, document in texts:
        request = RerankRequest(
            query=Content(value=query),
            documents=(Content(value=document),),
            max_chunks_per_doc=1,
        )
        rows += model.prepare(request).rows
    assert max(row.tokens for row in rows) == TRUE_WIDTH.positions
    live = np.array([reference.pair(query, document) for query, document in texts])
    assert np.abs(model.engine.forward(rows) - live).max() < 1e-3
