"""Charts as shapes in a box of 1000 by 200: the templates draw them, tables say the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

WIDTH: Final = 1000.0
HEIGHT: Final = 200.0
COLOURS: Final = 6  # classes s1 to s6; what is left is "rest"
REST: Final = "the rest"
_GAP: Final = 0.18  # of a column


class ChartBar(NamedTuple):
    """A rectangle, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    css: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Columns of bars, one upon the other."""

    bars: Sequence[ChartBar]
    top: str  # what the upper edge stands for
    middle: str
    zero: float  # height of the line of nothing, from above
    bottom: str | None  # what the lower edge stands for, where it is below zero
    legend: Sequence[tuple[str, str]]  # css class, name
    first: str  # under the first column
    last: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not self.bars


def stacked(
    columns: Sequence[str],
    series: Mapping[str, Sequence[float]],
    show: Callable[[float], str],
) -> Chart:
    """A chart.

    Args:
        columns: a label of each, in their order.
        series: a value per column, by name; below zero hangs down.
        show: a value as text.
    """
    above = [sum(max(v[i], 0) for v in series.values()) for i in range(len(columns))]
    below = [sum(min(v[i], 0) for v in series.values()) for i in range(len(columns))]
    top, bottom = ceiling(max(above, default=0)), -ceiling(-min(below, default=0))
    if top == bottom == 0:
        top = 1.0
    scale = HEIGHT / (top - bottom)
    zero = top * scale
    step = WIDTH / max(len(columns), 1)
    bars: list[ChartBar] = []
    up, down = [zero] * len(columns), [zero] * len(columns)
    css = {name: colour(i, name) for i, name in enumerate(series)}
    for name, values in series.items():
        for i, value in enumerate(values):
            if not value:
                continue
            height = abs(value) * scale
            if value > 0:
                up[i] -= height
                y = up[i]
            else:
                y, down[i] = down[i], down[i] + height
            x, width = (i + _GAP / 2) * step, (1 - _GAP) * step
            title = f"{columns[i]} · {name}: {show(value)}"
            bars.append(
                ChartBar(
                    round(x, 2), round(y, 2), round(width, 2), round(height, 2), css[name], title
                )
            )
    return Chart(
        bars=bars,
        top=show(top),
        middle=show((top + bottom) / 2),
        zero=round(zero, 2),
        bottom=show(bottom) if bottom else None,
        legend=[(css[name], name) for name, values in series.items() if any(values)],
        first=columns[0] if columns else "",
        last=columns[-1] if columns else "",
    )


def colour(place: int, name: str) -> str:
    """The class of a series by its place."""
    return "s0" if name == REST or place >= COLOURS else f"s{place + 1}"


def largest(series: Mapping[str, Sequence[float]], most: int = COLOURS) -> dict[str, list[float]]:
    """The largest series, the rest of them added up to one."""
    ordered = sorted(series.items(), key=lambda each: -sum(map(abs, each[1])))
    found = {name: list(values) for name, values in ordered[:most]}
    if len(ordered) > most:
        found[REST] = [sum(column) for column in zip(*(v for _, v in ordered[most:]), strict=True)]
    return found


def ceiling(value: float) -> float:
    """1, 2 or 5 times a power of ten, not below a value; 0 stays."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
