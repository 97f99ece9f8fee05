"""The tables and plots of a run of bench/compare.py.

    python bench/report.py compare.json [--write docs/benchmarks.md]

prints the page; --write also writes it, and the PNGs beside it (matplotlib: group `bench`).
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rerankd.measure.spread import percentile, spread

Figures = dict[str, Any]
COMMAND = "python bench/report.py compare.json --write docs/benchmarks.md"
ENGINE_PARTS = ("long-tailed", "uniform", "xlmr")
NOTES = """
## How it was measured

- One run, one machine, every engine in a process of its own. Each round brings a new request; the
  engines score it one after the other in shuffled order, on all cores, while the others sleep.
  Figures are medians over the rounds with the range behind them; ratios are medians of the ratios
  of each round. Compare within a table only.
- The length mix is stated above each table, in tokens per pair. Peers that pad to the longest
  pair of a batch (sentence-transformers and fastembed) pay most for the long-tailed mix. The
  table of uniform lengths shows the engines without that.
- Peers run with their defaults, with two exceptions. The OpenVINO backend of
  sentence-transformers is told to compute in fp32, which is not its default on CPUs with
  bfloat16. Its ONNX backend is version 5.7.0, the newest whose ONNX extra can be installed.
  "torch, sorted" is what a careful user would write: transformers with SDPA, sorted by length, in
  padded batches of 1024 tokens.
- CPU seconds count all threads of the process (of the server process and its children over HTTP,
  from /proc, to 10 ms).
- The GEMM peak is the best that plain fp32 matrix products reach: OpenVINO with one thread per
  core, numpy. It is measured anew in every round. "nominal" counts every layer of the published
  model for every token, without padding. An engine that skips the last layer where nobody reads
  it can pass 100 % of that. "needed" counts the last layer only where it is read.
- MiniLM-L6 is all-MiniLM-L6-v2 with a pair head fitted for this benchmark; XLM-R base has the true
  sizes and random weights. Both are for timing; agreement is with sentence-transformers on torch.
- What is missing to the peak: of fp32's time linear layers take 77 %, attention (one fused
  operation) 18 %, gathers between the packed and the rectangular form 2 %, norms and sums 2 %
  (`python bench/operations.py CHECKPOINT`). Linear layers hold about 92 % of the needed operations,
  so they run at about 78 % of the peak (their matrices are small: 384 wide) and attention at about
  28 %. With every linear layer at the peak and attention as it is, "nominal" would be about 90 %;
  85 % would need linear layers at 93 % of it. In int8 linear layers take 59 %, attention 33 %.
- Commands: bench/compare.py says them.
"""


def engine_rows(part: Figures) -> list[Figures]:
    """One row per engine, fastest first: pairs/s, pairs/CPU s and ratios over the reference."""
    rows: list[Figures] = []
    pairs = part["documents"]
    reference = part["engines"][part["reference"]]
    for name, engine in part["engines"].items():
        shares = {
            kind: [
                100 * work / (wall * peak)
                for work, wall, peak in zip(
                    part[f"{kind}_gflop"], engine["wall_s"], part["peaks_gflops"], strict=True
                )
            ]
            for kind in ("nominal", "needed")
        }
        rows.append(
            {
                "name": name,
                "pairs_s": spread([pairs / wall for wall in engine["wall_s"]]),
                "pairs_cpu_s": spread([pairs / cpu for cpu in engine["cpu_s"]]),
                "x": spread(ratios(reference["wall_s"], engine["wall_s"])),
                "x_cpu": spread(ratios(reference["cpu_s"], engine["cpu_s"])),
                "nominal": spread(shares["nominal"]),
                "needed": spread(shares["needed"]),
                "engine": engine,
            }
        )
    return sorted(rows, key=lambda row: -row["pairs_s"].median)


def ratios(reference: Sequence[float], own: Sequence[float]) -> list[float]:
    """How much faster, round by round."""
    return [theirs / mine for theirs, mine in zip(reference, own, strict=True)]


def engine_table(part: Figures) -> str:
    """Markdown of one comparison of engines."""
    lines = [
        f"## {part['title']}",
        "",
        (
            f"{part['documents']} documents per request. {part['lengths']}. fp32 GEMM peak "
            f"{spread(part['peaks_gflops']):.0f} GFLOP/s."
        ),
        "",
        (
            f"| engine | pairs/s | pairs/CPU s | × {part['reference']}, time | the same, CPU "
            "| share of peak, nominal / needed | Spearman | same top 10 | max Δlogit |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in engine_rows(part):
        engine = row["engine"]
        lines.append(
            f"| {row['name']} | {row['pairs_s']:.1f} | {row['pairs_cpu_s']:.1f} "
            f"| {row['x']:.2f} | {row['x_cpu']:.2f} "
            f"| {row['nominal'].median:.0f} % / {row['needed'].median:.0f} % "
            f"| {engine['spearman']:.5f} | {engine['top_10']:.3f} "
            f"| {engine['max_difference']:.1e} |"
        )
    return "\n".join(lines) + "\n"


def http_rows(part: Figures) -> list[Figures]:
    """One row per server, and the raw engine."""
    raw = [turn["pairs"] / turn["server_cpu_s"] for turn in part["turns"]["raw engine fp32"]]
    infinity = [turn["pairs"] / turn["wall_s"] for turn in part["turns"]["infinity"]]
    rows: list[Figures] = []
    for name, turns in part["turns"].items():
        per_s = [turn["pairs"] / turn["wall_s"] for turn in turns]
        per_cpu = [turn["pairs"] / turn["server_cpu_s"] for turn in turns]
        rows.append(
            {
                "name": name,
                "pairs_s": spread(per_s),
                "pairs_cpu_s": spread(per_cpu),
                "of_raw": spread([100 / x for x in ratios(raw, per_cpu)]),
                "x": spread(ratios(per_s, infinity)),
                "latency": [t for turn in turns for t in turn.get("latency_s", ())],
            }
        )
    return sorted(rows, key=lambda row: -row["pairs_s"].median)


def http_table(part: Figures) -> str:
    """Markdown of the servers under load."""
    lines = [
        "## Over HTTP, MiniLM-L6",
        "",
        (
            f"{part['clients']} clients, {part['documents']} documents per request, "
            f"{part['requests']} requests per round. {part['lengths']}. The raw engine gets the "
            "same pairs, tokenised beforehand, in one process without a server."
        ),
        "",
        (
            "| server | pairs/s | pairs per server CPU s | of raw engine, per CPU s "
            "| × infinity, time | p50 / p99 of a request |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for row in http_rows(part):
        times = row["latency"]
        shown = f"{percentile(times, 0.5):.2f} / {percentile(times, 0.99):.2f} s" if times else ""
        lines.append(
            f"| {row['name']} | {row['pairs_s']:.1f} | {row['pairs_cpu_s']:.1f} "
            f"| {row['of_raw']:.0f} % | {row['x']:.2f} | {shown} |"
        )
    return "\n".join(lines) + "\n"


def latency_table(part: Figures) -> str:
    """Markdown of latencies by number of documents."""
    counts = list(next(iter(part["engines"].values())))
    shown = {count: len(next(iter(part["engines"].values()))[count]) for count in counts}
    headings = [f"documents: {n} (requests: {shown[n]})" for n in counts]
    lines = [
        "## Latency by number of documents, MiniLM-L6",
        "",
        (
            "p50 / p99 in milliseconds, one request at a time, long-tailed lengths; the p99 of "
            "fewer than 100 requests is their maximum."
        ),
        "",
        f"| engine | {' | '.join(headings)} |",
        "|---" * (len(counts) + 1) + "|",
    ]
    for name, by_count in part["engines"].items():
        cells = (
            f"{1e3 * percentile(by_count[count], 0.5):.0f} / "
            f"{1e3 * percentile(by_count[count], 0.99):.0f}"
            for count in counts
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def stage_text(part: Figures) -> str:
    """Markdown of where a request's CPU goes."""
    total = [sum(steps) for steps in zip(*part.values(), strict=True)]
    shares = {
        name: spread([100 * s / t for s, t in zip(seconds, total, strict=True)])
        for name, seconds in part.items()
    }
    lines = ["## Where the CPU of a request goes", "", "MiniLM-L6 fp32, 100 documents.", ""]
    lines += ["| step | share of CPU |", "|---|---|"]
    lines += [f"| {name} | {share:.2f} % |" for name, share in shares.items()]
    besides = [
        100 * (1 - engine / whole) for engine, whole in zip(part["engine"], total, strict=True)
    ]
    lines += [f"| parse + tokenise + render | {spread(besides):.2f} % |"]
    return "\n".join(lines) + "\n"


def start_text(part: Figures) -> str:
    """Markdown of start-up times."""
    names = {
        "rerankd": "`rerankd serve`, MiniLM-L6: process start to /ready",
        "infinity": "infinity, MiniLM-L6: process start to /health",
        "xlmr-base load": "rerankd: XLM-R base (1.1 GB) loaded and self-checked",
    }
    lines = ["## Start", "", "| what | seconds |", "|---|---|"]
    lines += [f"| {names[name]} | {spread(seconds):.2f} |" for name, seconds in part.items()]
    return "\n".join(lines) + "\n"


def page(figures: Figures) -> str:
    """The whole page, of the parts that were run."""
    machine = figures["machine"]
    parts = [
        (
            f"# Benchmarks\n\nMade by `{COMMAND}`; do not edit.\n\n"
            f"{machine['cpu']} ({', '.join(machine['features'])}), {machine['cores']} cores, "
            f"Python {machine['python']}, rerankd {machine['rerankd']}, {figures['rounds']} "
            f"rounds, load average before the run {machine['load_at_start']:.1f}. Plain fp32 "
            f"matrix products reach {machine['gemm_gflops']:.0f} GFLOP/s here; in torch "
            f"{machine['torch_gemm_gflops']:.0f}, which bounds every peer on torch.\n"
        )
    ]
    for name in ENGINE_PARTS:
        if name in figures:
            parts += [engine_table(figures[name]), f"![{name}](benchmarks-{name}.png)\n"]
    if "http" in figures:
        parts += [http_table(figures["http"]), "![http](benchmarks-http.png)\n"]
    if "latency" in figures:
        parts.append(latency_table(figures["latency"]))
    if "stages" in figures:
        parts.append(stage_text(figures["stages"]))
    if "start" in figures:
        parts.append(start_text(figures["start"]))
    return "\n".join(parts) + NOTES


def draw(figures: Figures, folder: Path) -> None:
    """One PNG per comparison: medians as bars, ranges as lines."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("agg")
    plots: Any = importlib.import_module("matplotlib.pyplot")
    tables = {name: engine_rows(figures[name]) for name in ENGINE_PARTS if name in figures}
    titles = {name: figures[name]["title"] for name in tables}
    if "http" in figures:
        tables["http"] = http_rows(figures["http"])
        titles["http"] = f"over HTTP, {figures['http']['clients']} clients, MiniLM-L6"
    for name, rows in tables.items():
        shown = rows[::-1]  # the fastest on top
        middle = [row["pairs_s"].median for row in shown]
        low = [row["pairs_s"].median - row["pairs_s"].low for row in shown]
        high = [row["pairs_s"].high - row["pairs_s"].median for row in shown]
        figure, axes = plots.subplots(figsize=(8, 0.6 + 0.45 * len(shown)), layout="constrained")
        ours = [row["name"].startswith(("rerankd", "raw")) for row in shown]
        colours = ["#2f6fab" if own else "#b0b0b0" for own in ours]
        bars = axes.barh(
            [row["name"] for row in shown], middle, xerr=[low, high], color=colours, capsize=3
        )
        axes.bar_label(bars, [f"{value:.1f}" for value in middle], padding=4)
        axes.set_xlabel("pairs per second: median, range")
        axes.set_title(titles[name])
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / f"benchmarks-{name}.png", dpi=110)
        plots.close(figure)


def main() -> None:
    """Print the page, write it when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    figures = json.loads(args.figures.read_text("utf-8"))
    made = page(figures)
    print(made)
    if args.write:
        args.write.write_text(made, "utf-8")
        draw(figures, args.write.parent)


if __name__ == "__main__":
    main()
