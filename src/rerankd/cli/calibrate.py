"""`rerankd calibrate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import rich.table
from cyclopts import Parameter
from rich.text import Text

from rerankd.cli.options import model_spec
from rerankd.cli.terminal import Bar, console
from rerankd.core.errors import StartError
from rerankd.measure.calibrate import CalibrationReport, FloorAsk, ModelFloor
from rerankd.measure.calibrate import calibrate as find_floors
from rerankd.measure.collection import collections_in, no_twins
from rerankd.measure.threshold import AtFloor, Criterion, Interval
from rerankd.models import catalog

_NO_FLOOR = 3  # status: there is a model without a floor


def calibrate(  # noqa: PLR0913 - a parameter is a flag
    *folders: Path,
    model: Annotated[list[str] | None, Parameter(negative=())] = None,
    criterion: Literal["youden", "f1"] = "youden",
    precision: float | None = None,
    grade: int = 1,
    only_judged: Annotated[bool, Parameter(negative=())] = False,
    resamples: int = 2_000,
    json: Path | None = None,
) -> None:
    """Find a floor for relevance_score: from which on a document is worth keeping.

    Status 3 when a model has none, for its scores part relevant from other documents badly.

    Parameters
    ----------
    folders
        Test collections as for `rerankd eval`, or folders of such; all count together.
    model
        Catalog name or checkpoint folder, with settings if need be: NAME,precision=int8.
        Repeatable; each has a floor of its own. Default: rerankd-multi where it is installed, else
        rerankd-mini.
    criterion
        What the best floor is: the largest difference of what is kept of relevant and of other
        candidates (Youden's J), or the largest F1.
    precision
        Instead: the lowest floor above which this share of what is kept is relevant, 0 to 1.
    grade
        The least grade that is relevant.
    only_judged
        Leave candidates out that nobody judged; else they are not relevant.
    resamples
        Of the bootstrap over queries, at least 1000.
    json
        File to write all figures to.
    """
    wanted = FloorAsk(
        criterion=_criterion(criterion, precision),
        grade=grade,
        only_judged=only_judged,
        resamples=resamples,
    )
    if grade < 1:
        raise StartError(f"--grade {grade}: at least 1.")
    if not folders:
        raise StartError("rerankd calibrate needs a folder with a test collection.")
    models = model or [catalog.DEFAULT]
    no_twins(models, "--model")
    specs = [(written, model_spec(written)) for written in models]
    with Bar() as bar:
        report = find_floors(collections_in(folders), specs, wanted, bar.step)
    _show(report)
    if json is not None:
        _write(json, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    if any(found.found.floor is None for found in report.models):
        sys.exit(_NO_FLOOR)


def _criterion(name: Literal["youden", "f1"], precision: float | None) -> Criterion:
    """Raises StartError."""
    if precision is None:
        return Criterion(name=name)
    if name != "youden":
        raise StartError("--criterion and --precision do not go together.")
    if not 0.0 < precision <= 1.0:
        raise StartError(f"--precision {precision:g}: above 0, at most 1.")
    return Criterion(name="precision", precision=precision)


def _show(report: CalibrationReport) -> None:
    """One block per model: scores of two are on no one axis."""
    out = console()
    for each in report.models:
        out.print(Text(f"{each.model}, scores of the space {each.space}"))
        for line in _lines(each):
            out.print(Text(f"  {line}"))
        out.print(_sets(each))
        out.print()


def _lines(each: ModelFloor) -> Iterator[str]:
    found = each.found
    yield f"{found.queries} queries, {found.relevant} relevant candidates, {found.others} others"
    if found.auc is not None:
        yield f"AUC {_shown(found.auc, '.3f')}"
    if found.floor is None or found.at_floor is None:
        yield "no clean separation"
        yield from (f"- {reason}" for reason in found.reasons)
    else:
        yield f"floor {_shown(found.floor, '.10g')}: {', '.join(_at(found.at_floor))}"
        yield f'[model."{each.name}"] floor = {found.floor.value!r}'
    yield from each.remarks


def _sets(each: ModelFloor) -> rich.table.Table:
    table = rich.table.Table(box=None, padding=(0, 0, 0, 2), pad_edge=True)
    names = ("set", "queries", "relevant", "others", "unjudged", "AUC")
    columns = names if each.found.floor is None else (*names, "precision", "recall", "kept")
    for name in columns:
        table.add_column(name, justify="left" if name == "set" else "right")
    for one in each.sets:
        counts = (one.queries, one.relevant, one.others, one.unjudged)
        cells = [*map(str, counts), "" if one.auc is None else f"{one.auc:.3f}"]
        if one.at_floor is not None:
            at = one.at_floor
            cells += [_percent(share) for share in (at.precision, at.recall, at.kept)]
        table.add_row(Text(one.name), *cells)
    return table


def _at(at: AtFloor) -> Iterator[str]:
    yield f"precision {_percent(at.precision)}"
    yield f"recall {_percent(at.recall)}"
    yield f"{_percent(at.kept)} kept"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _shown(found: Interval, form: str) -> str:
    return f"{found.value:{form}} (95 %: {found.low:{form}} to {found.high:{form}})"


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StartError(f"Cannot write {path}: {error.strerror}.") from None
