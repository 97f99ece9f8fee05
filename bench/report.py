"""docs/benchmarks.md and its plots from what bench/compare.py measured.

    python bench/report.py compare.json [--sections SECTION.md ...] [--write docs/benchmarks.md]

prints the page; --write also writes it, and the PNGs beside it (matplotlib: group `bench`).
A section is what another script printed: Markdown that begins with `## Title`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from comparing import tables
from comparing.plots import draw
from comparing.progress import Figures

COMMAND = "python bench/report.py compare.json --sections … --write docs/benchmarks.md"
NOTES = """
## How it was measured

- One run, one machine, every engine in a process of its own. Each round brings a new request; the
  engines score it one after the other in shuffled order, on all cores, while the others sleep.
  Figures are medians over the rounds with the range behind them; ratios are medians of the ratios
  of each round. Compare within a table only.
- "rerankd" with a commit is that commit, in its own environment, in the same rounds; where a table
  says "before", it is the same commit. "AVX2 only", decoders, front, start and operations are runs
  of their own, of the same hour.
- The length mix is stated above each table, in tokens per pair. Peers that pad to the longest
  pair of a batch (sentence-transformers and fastembed) pay most for the long-tailed mix. The
  table of uniform lengths shows the engines without that.
- Peers run with their defaults, with these exceptions. The OpenVINO backend of
  sentence-transformers runs twice: told to compute in fp32, and with its default, which is bf16
  on CPUs that have it. Its ONNX backend is version 5.7.0, the newest whose ONNX extra can be
  installed. Its int8 is its own dynamic quantisation for VNNI.
- "torch, sorted" is what a careful user would write: transformers with SDPA, sorted by length, in
  padded batches of 1024 tokens.
- CPU seconds count all threads of the process (of the server process and its children over HTTP,
  from /proc, to 10 ms).
- A GEMM peak is the best that plain matrix products reach in that precision: OpenVINO with one
  thread per core, in fp32 numpy too. In int8 what lies between two products stays int8. It is
  measured anew in every round, in a process of its own. "nominal" counts every layer of the
  published model for every token, without padding. An engine that skips the last layer where
  nobody reads it can pass 100 % of that. "needed" counts the last layer only where it is read.
- "AVX2 only" sets ONEDNN_MAX_CPU_ISA=AVX2 (and torch's, MKL's and OpenBLAS's own switches) for
  every process, the matrix products included. int8 products obey it. OpenVINO's fp32 products do
  not: they are MLAS's, which asks the processor itself, so that fp32 in that table is still
  AVX-512. numpy's peak beside it is true AVX2.
- MiniLM-L6 is all-MiniLM-L6-v2 with a pair head fitted for this benchmark; XLM-R base has the true
  sizes and random weights. Both are for timing; agreement is with sentence-transformers on torch.
- A request of few micro-batches may leave a core idle: 24 documents of 128 tokens are three
  micro-batches for two streams, so that time says less for rerankd than CPU seconds do.
- The machine had other work. It waited: the measuring session's scheduler group had nice -20
  (`echo -20 > /proc/PID/autogroup`; a process's own nice says nothing across sessions). Ranges are
  wider than on an idle machine; CPU seconds suffer least.
- Commands: bench/README.md names the script of each table, bench/compare.py says its own.
"""


def page(figures: Figures, sections: Sequence[str]) -> str:
    """The whole page, of the parts that were run."""
    machine = figures["machine"]
    parts = [
        (
            f"# Benchmarks\n\nMade by `{COMMAND}`; do not edit.\n\n"
            f"{machine['cpu']} ({', '.join(machine['features'])}), {machine['cores']} cores, "
            f"Python {machine['python']}, rerankd {machine['rerankd']}, {figures['rounds']} "
            f"rounds, load average before the run {machine['load_at_start']:.1f}. Plain matrix "
            f"products reach {tables.peaks_text(machine['gemm_gflops'])} here; in torch "
            f"{machine['torch_gemm_gflops']:.0f} GFLOP/s in fp32, which bounds every peer on "
            "torch.\n"
        )
    ]
    engines = [name for name in tables.ENGINE_PARTS if name in figures]
    if engines:
        parts += [tables.ratio_table(figures), "![precisions](benchmarks-precisions.png)\n"]
    for name in engines:
        parts += [tables.engine_table(figures[name]), f"![{name}](benchmarks-{name}.png)\n"]
    if "http" in figures:
        parts += [tables.http_table(figures["http"]), "![http](benchmarks-http.png)\n"]
    for name, text in (
        ("latency", tables.latency_table),
        ("stages", tables.stage_text),
        ("start", tables.start_text),
    ):
        if name in figures:
            parts.append(text(figures[name]))
    parts += [section.strip() + "\n" for section in sections]
    return "\n".join(parts) + NOTES


def main() -> None:
    """Print the page, write it when asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path)
    parser.add_argument("--sections", type=Path, nargs="+", default=())
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    figures = json.loads(args.figures.read_text("utf-8"))
    made = page(figures, [path.read_text("utf-8") for path in args.sections])
    print(made)
    if args.write:
        args.write.write_text(made, "utf-8")
        draw(figures, args.write.parent)


if __name__ == "__main__":
    main()
