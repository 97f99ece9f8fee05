"""The plot of `rerankd eval`: the first measure of every set and system, with its interval."""

from __future__ import annotations

from io import BytesIO

from rerankd.extras import library
from rerankd.measure.evaluation import Report

_SPREAD = 0.7  # share of a set's row that its systems take


def draw(report: Report) -> bytes:
    """A PNG: sets from top to bottom, a dot and a 95 % interval per system.

    Raises:
        StartError: matplotlib is not installed.
    """
    library("matplotlib").use("agg")
    plots = library("matplotlib.pyplot")
    rows, labels = report.tables, list(report.sets[0].systems)
    height = 1.2 + len(rows) * (0.25 + 0.1 * len(labels))
    figure, axes = plots.subplots(figsize=(8, height), layout="constrained")
    for i, label in enumerate(labels):
        found = [table.systems[label][report.measures[0]] for table in rows]
        shift = _SPREAD * ((i + 0.5) / len(labels) - 0.5)
        below = [100 * max(0.0, e.mean - (e.mean if e.low is None else e.low)) for e in found]
        above = [100 * max(0.0, (e.mean if e.high is None else e.high) - e.mean) for e in found]
        axes.errorbar(
            [100 * e.mean for e in found],
            [row + shift for row in range(len(rows))],
            xerr=[below, above],
            fmt="o",
            markersize=4,
            capsize=2,
            label=label,
        )
    axes.set_yticks(range(len(rows)), [table.name for table in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"{report.measures[0]}, percent; 95 % intervals")
    axes.grid(axis="x", color="0.9")
    axes.margins(y=0.02)
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=120)
    plots.close(figure)
    return png.getvalue()
