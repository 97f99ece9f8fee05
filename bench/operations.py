"""Where the engine's time goes, by kind of operation at its shapes, and what is left to gain.

    python bench/operations.py CHECKPOINT [--markdown FILE]

One stream, a micro-batch of 8 rows of 128 tokens with random ids, in fp32, bf16 and int8. Times are
OpenVINO's own counters, the median of all calls. "Products" are the matrix products of the linear
layers; their rate stands beside the peak of the same precision, measured between two precisions.
The floor is what a call takes if the products run at their peak and the rest as it does.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rerankd.core.options import Precision
from rerankd.core.rows import Row
from rerankd.engines.encoder import EncoderConfig
from rerankd.engines.openvino import engine
from rerankd.engines.openvino.gemm import GemmPeak
from rerankd.engines.openvino.runtime import ov
from rerankd.models.checkpoint import open_checkpoint

ROWS, TOKENS, CALLS = 8, 128, 40
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
_KINDS = {  # of nodes; what is not here is "other"
    "FullyConnected": "products",
    "FullyConnectedQuantizedLegacy": "products",
    "Subgraph": "attention",
    "MatMul": "attention",
    "Softmax": "attention",
    "Gather": "rows to slots and back",
    "Transpose": "rows to slots and back",
    "MVN": "norms",
    "MulAdd": "norms",
    "Abs": "rounding",
    "ReduceMax": "rounding",
    "ReduceMin": "rounding",
    "Maximum": "rounding",
    "PowerStatic": "rounding",
    "Multiply": "scale, bias, GELU, residual",
    "Add": "scale, bias, GELU, residual",
    "Subtract": "scale, bias, GELU, residual",
    "Reorder": "between precisions",
    "Convert": "between precisions",
}


class CountingCore(ov.Core):  # pyright: ignore[reportUntypedBaseClass] - OpenVINO's stubs
    """Compiles with counters on."""

    def compile_model(self, model: Any, device: str, options: dict[str, Any]) -> Any:
        """As ov.Core, with PERF_COUNT."""
        made: Any = super()
        return made.compile_model(model, device, {**options, "PERF_COUNT": True})


@dataclass(frozen=True)
class Measured:
    """One precision."""

    seconds: dict[str, float]  # of a call, by kind
    peak: float  # GFLOP/s of matrix products
    flops: float  # of the linear layers, of a call

    @property
    def total(self) -> float:
        """Seconds of a call."""
        return sum(self.seconds.values())

    @property
    def rate(self) -> float:
        """GFLOP/s of the products while they run."""
        return 1e-9 * self.flops / self.seconds["products"]

    @property
    def floor(self) -> float:
        """Seconds of a call whose products run at the peak."""
        return self.total - self.seconds["products"] + 1e-9 * self.flops / self.peak


def measured(folder: Path, precision: Precision) -> Measured:
    """The medians of all calls."""
    peak = GemmPeak(1, precision)
    best = peak.measure()
    peak.close()
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    if not isinstance(config, EncoderConfig):
        raise SystemExit("this table is of BERT and XLM-R")
    rng = np.random.default_rng(0)
    rows = [
        Row(rng.integers(1000, 20000, TOKENS, dtype=np.int32), TOKENS // 5) for _ in range(ROWS)
    ]
    running = engine.OpenVinoEngine(config, checkpoint.weights, streams=1, precision=precision)
    calls: dict[str, list[float]] = {}
    for _ in range(CALLS):
        running.forward(rows)
        request = running._idle.get()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        found: Counter[str] = Counter()
        for operation in request.get_profiling_info():
            kind = _KINDS.get(operation.node_type, "other")
            found[kind] += operation.real_time.total_seconds()
        for kind, seconds in found.items():
            calls.setdefault(kind, []).append(seconds)
        running._idle.put(request)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    running.close()
    h, inner, tokens = config.hidden, config.intermediate, ROWS * TOKENS
    layer = 2 * tokens * (4 * h * h + 2 * h * inner)
    last = 2 * (tokens * 2 * h * h + ROWS * (2 * h * h + 2 * h * inner))  # first tokens alone
    seconds = {kind: float(np.median(times)) for kind, times in calls.items()}
    return Measured(seconds, best, (config.layers - 1) * layer + last)


def table(folder: Path) -> str:
    """All precisions as Markdown."""
    found: dict[Precision, Measured] = {p: measured(folder, p) for p in PRECISIONS}
    lines = [
        f"## Operations of {folder.name}",
        "",
        f"`bench/operations.py`: {ROWS} rows of {TOKENS} tokens, one stream; ms, share of a call.",
        "",
        "| | " + " | ".join(PRECISIONS) + " |",
        "|---|" + "---|" * len(PRECISIONS),
    ]
    kinds = sorted({k for m in found.values() for k in m.seconds}, key=lambda k: -_most(found, k))
    for kind in kinds:
        cells = (
            f"{1e3 * m.seconds[kind]:.2f} ({m.seconds[kind] / m.total:.0%})"
            if kind in m.seconds
            else "–"
            for m in found.values()
        )
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    rows = {
        "all, ms": [f"{1e3 * m.total:.2f}" for m in found.values()],
        "products, GFLOP/s": [f"{m.rate:.0f}" for m in found.values()],
        "peak, GFLOP/s": [f"{m.peak:.0f}" for m in found.values()],
        "products, of the peak": [f"{m.rate / m.peak:.0%}" for m in found.values()],
        "floor with products at the peak, ms": [f"{1e3 * m.floor:.2f}" for m in found.values()],
        "products' FLOPs over all time, of the peak": [
            f"{1e-9 * m.flops / m.total / m.peak:.0%}" for m in found.values()
        ],
        "the same at the floor": [
            f"{1e-9 * m.flops / m.floor / m.peak:.0%}" for m in found.values()
        ],
    }
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return "\n".join([*lines, ""])


def _most(found: dict[Precision, Measured], kind: str) -> float:
    """The largest share of a call that a kind takes."""
    return max(m.seconds.get(kind, 0.0) / m.total for m in found.values())


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    setattr(ov, "Core", CountingCore)  # noqa: B010 - the module has no stubs
    made = table(args.checkpoint)
    if args.markdown is None:
        print(made)
    else:
        args.markdown.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
