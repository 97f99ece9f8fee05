"""The tables of docs/benchmarks.md, of the figures of bench/compare.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from comparing.progress import Figures
from rerankd.measure.spread import Spread, percentile, spread

ENGINE_PARTS = ("long-tailed", "uniform", "xlmr", "avx2")
_UNITS = {"fp32": "GFLOP/s", "bf16": "GFLOP/s", "int8": "GOP/s", "numpy": "GFLOP/s"}
_OURS = "rerankd "
_PEER = "sentence-transformers"


def peaks_text(peaks: Mapping[str, Sequence[float]]) -> str:
    """Median and range of the values of each round, by precision, with units."""
    return ", ".join(f"{name} {spread(each):.0f} {_UNITS[name]}" for name, each in peaks.items())


def engine_rows(part: Figures) -> list[Figures]:
    """One row per engine, fastest first: pairs/s, pairs/CPU s and ratios over the reference."""
    rows: list[Figures] = []
    pairs = part["documents"]
    reference = part["engines"][part["reference"]]
    for name, engine in part["engines"].items():
        rows.append(
            {
                "name": name,
                "pairs_s": spread([pairs / wall for wall in engine["wall_s"]]),
                "pairs_cpu_s": spread([pairs / cpu for cpu in engine["cpu_s"]]),
                "x": spread(ratios(reference["wall_s"], engine["wall_s"])),
                "x_cpu": spread(ratios(reference["cpu_s"], engine["cpu_s"])),
                "share": peak_share(part, engine),
                "engine": engine,
            }
        )
    return sorted(rows, key=lambda row: -row["pairs_s"].median)


def peak_share(part: Figures, engine: Figures) -> str:
    """Of its precision's matrix products, `nominal / needed`; empty where there is no such peak."""
    if engine["precision"] not in part["peaks_gflops"]:
        return ""
    peaks = part["peaks_gflops"][engine["precision"]]
    shares: list[str] = []
    for kind in ("nominal", "needed"):
        turns = zip(part[f"{kind}_gflop"], engine["wall_s"], peaks, strict=True)
        shares.append(
            f"{spread([100 * work / (s * peak) for work, s, peak in turns]).median:.0f} %"
        )
    return " / ".join(shares)


def ratios(reference: Sequence[float], own: Sequence[float]) -> list[float]:
    """How much faster, round by round."""
    return [theirs / mine for theirs, mine in zip(reference, own, strict=True)]


def engine_table(part: Figures) -> str:
    """Markdown of one comparison of engines."""
    lines = [
        f"## {part['title']}",
        "",
        (
            f"{part['documents']} documents per request. {part['lengths']}. GEMM peaks: "
            f"{peaks_text(part['peaks_gflops'])}."
        ),
        "",
        (
            f"| engine | pairs/s | pairs/CPU s | × {part['reference']}, time | the same, CPU "
            "| share of its precision's peak, nominal / needed "
            "| Spearman | same top 10 | max Δlogit |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in engine_rows(part):
        engine = row["engine"]
        lines.append(
            f"| {row['name']} | {row['pairs_s']:.1f} | {row['pairs_cpu_s']:.1f} "
            f"| {row['x']:.2f} | {row['x_cpu']:.2f} "
            f"| {row['share']} "
            f"| {engine['spearman']:.5f} | {engine['top_10']:.3f} "
            f"| {engine['max_difference']:.1e} |"
        )
    return "\n".join(lines) + "\n"


def compared(part: Figures) -> Iterator[tuple[str, str]]:
    """(engine, yardstick): ours with itself in fp32, at an earlier commit, and with peers.

    Of peers the fastest in fp32, in the same precision, and of all.
    """
    engines: Figures = part["engines"]
    precision = {name: engine["precision"] for name, engine in engines.items()}
    fastest = [row["name"] for row in engine_rows(part) if row["name"].startswith(_PEER)]
    now = [name for name in engines if name == f"{_OURS}{precision[name]}"]
    for name in now:
        earlier = [
            other
            for other in engines
            if other.startswith(_OURS) and other not in now and precision[other] == precision[name]
        ]
        yardsticks = [
            *earlier,
            *(other for other in now if other != name and precision[other] == "fp32"),
            *[other for other in fastest if precision[other] == "fp32"][:1],
            *[other for other in fastest if precision[other] == precision[name]][:1],
            *fastest[:1],
        ]
        yield from ((name, other) for other in dict.fromkeys(yardsticks))


def ratio_table(figures: Figures) -> str:
    """Markdown of what is faster than what, and by how much, of all comparisons of engines."""
    lines = [
        "## How much faster",
        "",
        (
            "Medians of the ratios of each round, with their range. Of sentence-transformers: its "
            "fastest backend in fp32, in the same precision, and of all."
        ),
        "",
        "| workload | engine | than | × time | × CPU |",
        "|---|---|---|---|---|",
    ]
    for key in ENGINE_PARTS:
        if key not in figures:
            continue
        engines = figures[key]["engines"]
        for name, other in compared(figures[key]):
            time, cpu = (
                spread(ratios(engines[other][kind], engines[name][kind]))
                for kind in ("wall_s", "cpu_s")
            )
            title = figures[key]["title"]
            lines.append(f"| {title} | {name} | {other} | {time:.2f} | {cpu:.2f} |")
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


def relative(part: Figures, base: str) -> dict[str, Spread]:
    """Our engines' speed over one of them, round by round, by name."""
    engines: Figures = part["engines"]
    return {
        name: spread(ratios(engines[base]["wall_s"], engine["wall_s"]))
        for name, engine in engines.items()
        if name.startswith(_OURS)
    }
