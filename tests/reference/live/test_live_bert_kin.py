"""The golden logits of ELECTRA, DistilBERT and CamemBERT are what transformers says today.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.bert_kin import GOLDEN_SHAPES, write
from tests.reference.make_bert_kin_goldens import GOLDEN
from tests.reference.make_goldens import (
    Golden,
    Reference,
    long_documents,
    long_pairs,
    pairs,
)

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    live = Reference(write(tmp_path, GOLDEN_SHAPES[name]))
    golden = GOLDENS[name]
    np.testing.assert_allclose(live.pairs(pairs()), golden["pairs"], rtol=0, atol=1e-4)
    longest = live.pairs(long_pairs()[:1])
    np.testing.assert_allclose(longest, golden["long"][:1], rtol=0, atol=1e-4)
    chunks = live.chunks(long_documents()[0])
    np.testing.assert_allclose(chunks, golden["chunks"][0], rtol=0, atol=1e-4)
