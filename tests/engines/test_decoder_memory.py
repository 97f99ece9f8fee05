"""What a decoder holds in memory beside one packed copy of its weights, layer by layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

WORKER = """
import json, sys
from pathlib import Path
import numpy as np
from rerankd.core.rows import Row
from rerankd.engines.decoder import DecoderConfig, tensor_shapes
from rerankd.engines.freed import give_back
from rerankd.engines.openvino.decoder_engine import DecoderEngine

layers, precision = int(sys.argv[1]), sys.argv[2]
config = DecoderConfig(
    architecture="qwen3", hidden=1024, layers=layers, heads=16, kv_heads=8, head_dim=128,
    intermediate=3072, vocab=500, max_length=2048, rms_norm_eps=1e-6, rope_theta=1e6,
    attention_bias=False, output_bias=False, tied=True,
)

class Made:
    shapes = tensor_shapes(config)
    def __call__(self, name):
        shape = self.shapes[name]
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        made = np.random.default_rng(1).random(shape, dtype=np.float32)
        made -= np.float32(0.5)
        made *= np.float32(shape[-1] ** -0.5)
        return made
    def rows(self, name, ids):
        return np.random.default_rng(2).standard_normal((ids.size, 1024), dtype=np.float32)

def private():
    give_back()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))

engine = DecoderEngine(config, Made(), yes=1, no=2, precision=precision, cache_bytes=0)
rng = np.random.default_rng(3)
start = rng.integers(0, 500, 60)
for count, own in ((1, 9), (8, 120), (5, 190)):
    ids = [np.concatenate([start, rng.integers(0, 500, own)]) for _ in range(count)]
    engine.forward([Row(each.astype(np.int32), each.size) for each in ids])
print(json.dumps(private()))
"""
MATRICES = 1024 * (2 * 2048 + 2 * 1024 + 3 * 3072)  # values of a layer
LEAST, MOST = 3, 7  # layers


def private(layers: int, precision: str) -> int:
    """Bytes after batches of several shapes."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(layers), precision],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_layer_in_int8_takes_one_copy_of_its_matrices() -> None:
    """A second copy would be 16 MB more of each layer, buffers that are not shared 23 MB."""
    each = (private(MOST, "int8") - private(LEAST, "int8")) / (MOST - LEAST)
    assert MATRICES < each < 1.5 * MATRICES
