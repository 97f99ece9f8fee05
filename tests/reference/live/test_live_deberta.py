"""DeBERTa's golden logits are what transformers says today, and so are its position buckets.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.engines.openvino.deberta_pack import position_rows
from rerankd.models.checkpoint import open_checkpoint
from tests.checkpoints.deberta import GOLDEN_SHAPES, XSMALL_WIDTH, write
from tests.reference.make_deberta_goldens import GOLDEN
from tests.reference.make_goldens import Golden, Reference, long_documents, long_pairs, pairs

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    reference = Reference(write(tmp_path, GOLDEN_SHAPES[name]))
    golden = GOLDENS[name]
    np.testing.assert_allclose(reference.pairs(pairs()), golden["pairs"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(reference.pairs(long_pairs()), golden["long"], rtol=0, atol=1e-4)
    chunks = reference.chunks(long_documents()[0])
    np.testing.assert_allclose(chunks, golden["chunks"][0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("buckets", [256, 32, 8])
def test_every_distance_has_the_row_that_transformers_gives_it(
    buckets: int, tmp_path: Path
) -> None:
    torch: Any = importlib.import_module("torch")
    module: Any = importlib.import_module("transformers.models.deberta_v2.modeling_deberta_v2")
    config = open_checkpoint(write(tmp_path, XSMALL_WIDTH)).config
    assert config.architecture == "deberta-v2"
    config = dataclasses.replace(config, buckets=buckets)
    distances = np.arange(-511, 512, dtype=np.int32)
    made = module.make_log_bucket_position(torch.from_numpy(distances).long(), buckets, 512)
    wanted = np.clip(made.long().numpy() + buckets, 0, 2 * buckets - 1)
    np.testing.assert_array_equal(position_rows(distances, config), wanted)
