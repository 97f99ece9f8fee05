"""Prints the fp32 GFLOP/s that torch itself reaches with plain matrix products, all threads."""

from __future__ import annotations

import importlib
import time
from typing import Any

import worker

SHAPES = ((1024, 384, 1536), (1024, 768, 3072), (2048, 2048, 2048))  # rows, inputs, outputs
SECONDS = 0.5

torch: Any = importlib.import_module("torch")
torch.set_num_threads(worker.cores())
best = 0.0
with torch.inference_mode():
    for rows, inputs, outputs in SHAPES * 2:
        x, layer = torch.randn(rows, inputs), torch.nn.Linear(inputs, outputs)
        layer(x)
        calls, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < SECONDS:
            layer(x)
            calls += 1
        best = max(best, 2e-9 * calls * rows * inputs * outputs / took)
print(best)
