"""What plain matrix products reach here, in every precision that this processor has.

One line of JSON a turn: any line in, {"fp32": GFLOP/s, "bf16": …, "int8": GOP/s, "numpy": fp32
GFLOP/s} out. It is a
process of its own so that it can be held to the same instructions as the engines beside it.
"""

from __future__ import annotations

import json
import sys

import worker

from rerankd.core.errors import StartError
from rerankd.core.options import Precision
from rerankd.engines.openvino.gemm import GemmPeak, numpy_gflops

SECONDS = 0.1  # per way to multiply
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")

peaks: dict[str, GemmPeak] = {}
for precision in PRECISIONS:
    try:
        peaks[precision] = GemmPeak(worker.cores(), precision)
    except StartError as error:
        print(f"{precision}: {error}", file=sys.stderr)
print(json.dumps({"ready_s": 0.0}), flush=True)
for _ in sys.stdin:
    reached = {name: peak.measure(SECONDS) for name, peak in peaks.items()}
    reached["numpy"] = numpy_gflops(SECONDS)
    print(json.dumps(reached), flush=True)
