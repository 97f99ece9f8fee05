"""The tables of `rerankd eval`: for the terminal, and as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import rich.table
from rich.text import Text

from rerankd.measure.evaluation import Estimate, Report, Table
from rerankd.measure.floors import Verdict
from rerankd.measure.significance import FLIPS, RESAMPLES

_DIFFERS = 0.05
TIES = "Ties keep the candidates' order, as the product answers."
RUN_TIES = (
    "Scores of a run are read as trec_eval reads them, in 32 bits; ties go to the later document "
    "id. Every measure sees that order, MRR too, where ir_measures' RR@k breaks ties its own way."
)


def tables(report: Report) -> Iterator[rich.table.Table]:
    """One table per set, systems below one another, in percent."""
    for table in report.tables:
        shown = rich.table.Table(
            box=None, pad_edge=False, title=Text(f"{table.name}, {table.queries} queries")
        )
        shown.add_column("system", min_width=12)
        shown.add_column(report.measures[0], justify="right")
        shown.add_column("95 %", justify="right")
        shown.add_column("p", justify="right")
        for name in report.measures[1:]:
            shown.add_column(name, justify="right")
        for label, found in table.systems.items():
            first = found[report.measures[0]]
            shown.add_row(
                Text(label),
                f"{100 * first.mean:.1f}",
                _interval(first),
                "" if first.p_holm is None else f"{first.p_holm:.4f}",
                *(f"{100 * found[name].mean:.1f}" for name in report.measures[1:]),
            )
        yield shown


def page(
    report: Report,
    floors: Sequence[Verdict],
    command: str,
    remarks: Sequence[str],
    picture: str | None = None,
    *,
    ties: str = TIES,
) -> str:
    """The page: the first measure with intervals, then the other measures.

    Args:
        report: what was measured.
        floors: what the reference had to reach, and whether it did; none = no such table.
        command: what made it.
        remarks: what else the reader should know, one sentence each.
        picture: where the plot is, seen from the page; None = there is none.
        ties: what became of equal scores.
    """
    labels = list(report.sets[0].systems)
    first, *others = report.measures
    last = report.tables[-1]
    parts = [
        "# Quality\n",
        f"Made by `{command}`; do not edit.\n",
        f"## {first}, percent\n",
        _by_set(report, labels),
        *([f"![{first} and its intervals]({picture})\n"] if picture else []),
        *_floors(report, floors),
        f"## Other measures, percent, {last.name}\n",
        _by_measure(last, others),
        "## How it was measured\n",
    ]
    lines = [
        f"""Every query with a relevant document; one that the candidates lack counts as missed.
  {ties}""",
        """By ir_measures: nDCG with linear gain (trec_eval's `ndcg_cut`); for MRR, MAP and recall
  every grade above 0 is relevant.""",
        f"""In brackets: 95 % percentile bootstrap over the queries ({RESAMPLES} resamples, seeded);
  for the mean, within each set.""",
    ]
    if len(labels) > 1:
        lines.append(
            f"""\\*: differs from {report.reference}, p < {_DIFFERS}: two-sided paired randomisation
  test ({FLIPS} sign patterns, seeded), Holm-adjusted for the systems of that set and measure."""
        )
    lines += remarks
    parts.append("\n".join(f"- {line}" for line in lines) + "\n")
    return "\n".join(parts)


def _by_set(report: Report, labels: Sequence[str]) -> str:
    """Sets below one another, systems side by side."""
    rows = [["set", "queries", *labels]]
    for table in report.tables:
        cells = [_cell(table.systems[label][report.measures[0]]) for label in labels]
        rows.append([table.name, str(table.queries), *cells])
    return _markdown(rows)


def _floors(report: Report, floors: Sequence[Verdict]) -> list[str]:
    if not floors:
        return []
    rows = [["set", report.reference, "floor", "", "goal"]]
    for v in floors:
        goal = v.floor.goal
        reached = "" if goal is None else f"{goal:g}: {'yes' if v.found >= goal else 'no'}"
        held = "holds" if v.holds else "**missed**"
        rows.append([v.set, f"{v.found:.2f}", floor_text(v), held, reached])
    return [f"## Floors of {report.reference}, {report.measures[0]}\n", _markdown(rows)]


def floor_text(verdict: Verdict) -> str:
    """A floor in words, with its value on the set."""
    floor = verdict.floor
    if not floor.over:
        return f"{verdict.wanted:g}"
    best = " or ".join(floor.over)
    which = f"the better of {best}" if len(floor.over) > 1 else best
    margin = f" {'+' if floor.margin > 0 else '-'} {abs(floor.margin):g}" if floor.margin else ""
    return f"{which}{margin} = {verdict.wanted:.2f}"


def _by_measure(table: Table, measures: Sequence[str]) -> str:
    """Systems below one another, measures side by side."""
    rows = [["system", *measures]]
    for label, found in table.systems.items():
        rows.append([label, *(_cell(found[name]) for name in measures)])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines) + "\n"


def _cell(found: Estimate) -> str:
    star = "\\*" if found.p_holm is not None and found.p_holm < _DIFFERS else ""
    return f"{100 * found.mean:.1f}{star} ({_interval(found)})"


def _interval(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "one query"
    return f"{100 * found.low:.1f}–{100 * found.high:.1f}"
