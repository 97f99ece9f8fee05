"""JinaBERT's golden logits are what its steps, written out in torch, give today.

Run by `pytest -m reference`; without torch these fail. No package has the model itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.jina_bert import GOLDEN_SHAPES, TINY, write
from tests.reference.make_goldens import Golden, long_documents, long_pairs, pairs
from tests.reference.make_jina_bert_goldens import GOLDEN, JinaReference

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_are_those_of_the_written_out_steps(name: str, tmp_path: Path) -> None:
    live = JinaReference(write(tmp_path, GOLDEN_SHAPES[name]))
    golden = GOLDENS[name]
    np.testing.assert_allclose(live.pairs(pairs()), golden["pairs"], rtol=0, atol=1e-4)
    longest = live.pairs(long_pairs()[:1])
    np.testing.assert_allclose(longest, golden["long"][:1], rtol=0, atol=1e-4)
    chunks = live.chunks(long_documents()[0])
    np.testing.assert_allclose(chunks, golden["chunks"][0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "wrong", [{"is_symmetric": False}, {"is_swapped": True}], ids=["one-sided", "other-half"]
)
def test_the_pairs_tell_the_steps_from_their_neighbours(
    wrong: dict[str, bool], tmp_path: Path
) -> None:
    live = JinaReference(write(tmp_path, TINY))
    vars(live.model).update(wrong)
    golden = np.array(GOLDENS["tiny-jina-bert"]["pairs"][::8])
    assert np.abs(np.array(live.pairs(pairs()[::8])) - golden).max() > 0.1
