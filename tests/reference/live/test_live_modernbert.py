"""ModernBERT's and jina's golden logits are what transformers says today.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints import bert
from tests.checkpoints.bert import TINY_JINA
from tests.checkpoints.modernbert import GOLDEN_SHAPES, write
from tests.reference.make_goldens import Reference, long_documents, long_pairs, pairs
from tests.reference.make_modernbert_goldens import GOLDEN, Goldens

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: Goldens = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    reference = Reference(write(tmp_path, GOLDEN_SHAPES[name]))
    golden = GOLDENS["shapes"][name]
    np.testing.assert_allclose(reference.pairs(pairs()), golden["pairs"], rtol=0, atol=1e-4)
    longest = reference.pairs(long_pairs()[:1])
    np.testing.assert_allclose(longest, golden["long"][:1], rtol=0, atol=1e-4)
    chunks = reference.chunks(long_documents()[0])
    np.testing.assert_allclose(chunks, golden["chunks"][0], rtol=0, atol=1e-4)


def test_jinas_chunks_are_those_of_live_transformers(tmp_path: Path) -> None:
    reference = Reference(bert.write(tmp_path, TINY_JINA))
    chunks = reference.chunks(long_documents()[0], right_align_last=True)
    np.testing.assert_allclose(chunks, GOLDENS["jina"][0], rtol=0, atol=1e-4)
