"""bf16 of BERT on OpenVINO: what its layers add up and normalise stays fp32."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rerankd.core.options import Precision
from rerankd.engines.encoder import EncoderConfig
from rerankd.engines.openvino import bert
from rerankd.engines.openvino.blocks import keep_residual
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.models.checkpoint import open_checkpoint
from tests.checkpoints.bert import GOLDEN_SHAPES, write

TINY = GOLDEN_SHAPES["tiny-bert-2-labels"]


def norms(folder: Path, precision: Precision, *, kept: bool) -> Counter[str]:
    """In which precision the norms of a compiled BERT run."""
    checkpoint = open_checkpoint(folder)
    assert isinstance(checkpoint.config, EncoderConfig)
    graph = bert.build(checkpoint.config, checkpoint.weights)
    if kept:
        keep_residual(graph)
    compiled: Any = compile_graph(graph, streams=1, threads=1, precision=precision)
    found: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) == "MVN":
            found[info["runtimePrecision"].astype(str)] += 1
    return found


@pytest.mark.parametrize(
    ("precision", "kept", "expected"),
    [("bf16", True, "f32"), ("bf16", False, "bf16"), ("fp32", False, "f32")],
    ids=["bf16", "bf16 without keeping", "fp32"],
)
def test_norms_stay_fp32_where_that_is_asked_for(
    precision: Precision, expected: str, tmp_path: Path, *, kept: bool
) -> None:
    found = norms(write(tmp_path, TINY), precision, kept=kept)
    assert set(found) == {expected}
