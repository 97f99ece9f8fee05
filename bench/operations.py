"""Where the engine's time goes, by kind of operation: fp32 and int8, one stream.

    python bench/operations.py CHECKPOINT

Rows have log-normal lengths (median 125 tokens) and random ids: speed depends on neither. Times are
OpenVINO's own counters of the last micro-batch of each forward().
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from rerankd.core.options import Precision
from rerankd.core.rows import Row
from rerankd.engines.openvino import engine
from rerankd.engines.openvino.runtime import ov
from rerankd.models.checkpoint import open_checkpoint

ROWS, AT_ONCE, MOST_TOKENS = 200, 8, 511


class CountingCore(ov.Core):  # pyright: ignore[reportUntypedBaseClass] - OpenVINO's stubs
    """Compiles with counters on."""

    def compile_model(self, model: Any, device: str, options: dict[str, Any]) -> Any:
        """As ov.Core, with PERF_COUNT."""
        made: Any = super()
        return made.compile_model(model, device, {**options, "PERF_COUNT": True})


def shares(folder: Path, precision: Precision) -> dict[str, float]:
    """Kind of operation -> its share of the time."""
    checkpoint = open_checkpoint(folder)
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(125), 0.62, ROWS), 20, MOST_TOKENS).astype(int)
    rows = [
        Row(rng.integers(1000, 20000, int(n), dtype=np.int32), int(n) // 5)
        for n in lengths.tolist()
    ]
    running = engine.OpenVinoEngine(
        checkpoint.config, checkpoint.weights, streams=1, precision=precision
    )
    running.forward(rows[:50])  # warm
    found: Counter[str] = Counter()
    for start in range(0, ROWS, AT_ONCE):
        running.forward(rows[start : start + AT_ONCE])
        request = running._idle.get()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        for operation in request.get_profiling_info():
            found[operation.node_type] += operation.real_time.total_seconds()
        running._idle.put(request)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    running.close()
    total = sum(found.values())
    return {kind: seconds / total for kind, seconds in found.most_common(8)}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    args = parser.parse_args()
    setattr(ov, "Core", CountingCore)  # noqa: B010 - the module has no stubs
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    for precision in precisions:
        print(precision)
        for kind, share in shares(args.checkpoint, precision).items():
            print(f"  {kind:28} {share:6.1%}")


if __name__ == "__main__":
    main()
