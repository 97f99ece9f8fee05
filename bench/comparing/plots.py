"""The plots of docs/benchmarks.md as PNG (matplotlib: group `bench`)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.workers import OURS

from comparing.progress import Figures
from comparing.tables import ENGINE_PARTS, engine_rows, http_rows, relative
from rerankd.measure.spread import Spread

_OURS, _OTHERS = "#2f6fab", "#b0b0b0"
_GAP = 0.8  # bars between two workloads, for the title
_BY_PRECISION = {"fp32": "#9dbfdd", "bf16": "#5b93c4", "int8": "#1f4f7c"}


def draw(figures: Figures, folder: Path) -> None:
    """One PNG per comparison, and one of our precisions side by side."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("agg")
    plots: Any = importlib.import_module("matplotlib.pyplot")
    parts = {name: figures[name] for name in ENGINE_PARTS if name in figures}
    for name, part in parts.items():
        _pairs(plots, engine_rows(part), part["title"], folder / f"benchmarks-{name}.png")
    if "http" in figures:
        title = f"over HTTP, {figures['http']['clients']} clients, MiniLM-L6"
        _pairs(plots, http_rows(figures["http"]), title, folder / "benchmarks-http.png")
    if parts:
        made = {part["title"]: relative(part, OURS) for part in parts.values()}
        _precisions(plots, made, folder / "benchmarks-precisions.png")


def _pairs(plots: Any, rows: list[Figures], title: str, path: Path) -> None:
    """Pairs per second of every engine or server: medians as bars, ranges as lines."""
    shown = rows[::-1]  # the fastest on top
    middle = [row["pairs_s"].median for row in shown]
    low = [row["pairs_s"].median - row["pairs_s"].low for row in shown]
    high = [row["pairs_s"].high - row["pairs_s"].median for row in shown]
    figure, axes = plots.subplots(figsize=(8, 0.6 + 0.45 * len(shown)), layout="constrained")
    ours = [row["name"].startswith(("rerankd", "raw")) for row in shown]
    bars = axes.barh(
        [row["name"] for row in shown],
        middle,
        xerr=[low, high],
        color=[_OURS if own else _OTHERS for own in ours],
        capsize=3,
    )
    axes.bar_label(bars, [f"{value:.1f}" for value in middle], padding=4)
    axes.set_xlabel("pairs per second: median, range")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plots.close(figure)


def _precisions(plots: Any, made: Mapping[str, Mapping[str, Spread]], path: Path) -> None:
    """Our engines' speed over our fp32, one group of bars per workload; earlier ones hatched."""
    rows: list[tuple[float, str, str, Spread]] = []
    at = 0.0
    for title, engines in made.items():
        for place, (name, each) in enumerate(engines.items()):
            rows.append((at, title if place == 0 else "", name, each))
            at -= 1.0
        at -= _GAP
    figure, axes = plots.subplots(figsize=(8, 0.8 + 0.32 * -at), layout="constrained")
    for place, title, name, each in rows:
        precision = name.rpartition(" ")[2]
        is_now = name == f"rerankd {precision}"
        bar = axes.barh(
            place,
            each.median,
            xerr=[[each.median - each.low], [each.high - each.median]],
            color=_BY_PRECISION[precision] if is_now else "white",
            edgecolor=_BY_PRECISION[precision],
            hatch="" if is_now else "///",
            capsize=2,
        )
        axes.bar_label(bar, [f"{each.median:.2f}"], padding=4)
        axes.text(0.0, place + 0.6, title, fontsize=8, fontweight="bold")
    axes.set_yticks([row[0] for row in rows], [row[2] for row in rows], fontsize=8)
    axes.set_xlabel("times as fast as rerankd in fp32: median, range")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plots.close(figure)
