"""`rerankd eval`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from cyclopts import Parameter

from rerankd.cli.eval_files import Files
from rerankd.cli.eval_page import RUN_TIES, TIES, floor_text, page, tables
from rerankd.cli.eval_plot import draw
from rerankd.cli.options import model_spec, split
from rerankd.cli.terminal import Bar, console
from rerankd.core.errors import StartError
from rerankd.extras import library
from rerankd.measure.baselines import FEATURE_NOTES, NOTES, Baseline, feature_labels
from rerankd.measure.collection import Collection, collections_in, no_twins
from rerankd.measure.evaluation import (
    Keep,
    Report,
    Say,
    System,
    baseline_system,
    evaluate_runs,
    model_system,
)
from rerankd.measure.evaluation import evaluate as evaluate_systems
from rerankd.measure.floors import Floor, check_systems, read_floors, verdicts
from rerankd.measure.trec import read_trec_qrels, read_trec_run
from rerankd.models import catalog


def evaluate(  # noqa: PLR0913 - a parameter is a flag
    *folders: Path,
    model: Annotated[list[str] | None, Parameter(negative=())] = None,
    features: Annotated[bool, Parameter(negative=())] = False,
    baseline: Annotated[list[Baseline] | None, Parameter(negative=())] = None,
    run: Annotated[list[Path] | None, Parameter(negative=())] = None,
    qrels: Path | None = None,
    k: Annotated[int, Parameter(name=["--k", "-k"])] = 10,
    json: Path | None = None,
    plot: Path | None = None,
    write: Path | None = None,
    floors: Path | None = None,
    run_out: Path | None = None,
    per_query: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Measure ranking quality: nDCG, MRR, MAP and recall, with intervals and paired tests.

    Needs the extra: pip install 'rerankd[eval]'.

    Parameters
    ----------
    folders
        Test collections (queries.jsonl, docs.jsonl, qrels.tsv, candidates.jsonl), or folders of
        such; each model reranks their candidates.
    model
        Catalog name or checkpoint folder, with settings if need be: NAME,precision=int8.
        Repeatable; the others are compared with the first. Default: rerankd-multi where it is
        installed, else rerankd-mini.
    features
        Late-interaction models: also what cosine and MaxSim of each encoder alone would rank.
    baseline
        A simple order to compare with. Repeatable.
    run
        A ranking in TREC's form instead of folders. Repeatable; needs --qrels.
    qrels
        Judgements in TREC's form.
    k
        Cutoff of nDCG, MRR and recall.
    json
        File to write all figures to, p-values included.
    plot
        PNG to draw nDCG and its intervals to.
    write
        Markdown page to write.
    floors
        TOML file of what the first model must reach on each set; exit code 1 when one is missed.
    run_out
        Folder to write what was ranked to, a TREC run for each set and system: SET.SYSTEM.run.
        Measured again with --run it gives the same figures.
    per_query
        Write every query's values there too, as `trec_eval -q` prints them: SET.SYSTEM.eval.
    """
    _check(k, plot)
    asked = read_floors(floors) if floors else ()
    files = Files.of(run_out, runs_are_given=bool(run), per_query=per_query)
    with Bar() as bar:
        if run or qrels:
            if folders or model or baseline or features:
                raise StartError(
                    "--run and --qrels go without folders, --model, --features and --baseline."
                )
            check_systems(asked, [path.name for path in run or []])
            measured = _of_runs(run or [], qrels, k, bar.say, files.keep)
        else:
            chosen = _Chosen(model, baseline, features=features)
            systems = chosen.systems()
            check_systems(asked, chosen.names())
            measured = _of_systems(folders, chosen, systems, k, bar, files.keep)
    _show(measured)
    _report(measured, asked, k=k, to=_To(json, plot, write, floors))


def _check(k: int, plot: Path | None) -> None:
    """Refuse what would fail after a model has worked for minutes."""
    if k < 1:
        raise StartError(f"--k {k}: at least 1.")
    library("ir_measures")
    if plot:
        library("matplotlib")


class _Measured(NamedTuple):
    """What was found, and how a page says what it was asked."""

    report: Report
    flags: list[tuple[str, str]]
    ties: str
    where: str = ""  # "DIR " for folders
    remarks: tuple[str, ...] = ()


class _To(NamedTuple):
    """The files that a report goes to, and where its floors are."""

    json: Path | None
    plot: Path | None
    page: Path | None
    floors: Path | None


class _Chosen:
    """Models and baselines of the command line; without any, the default model."""

    def __init__(
        self, models: list[str] | None, baselines: list[Baseline] | None, *, features: bool
    ) -> None:
        self.models = models or ([] if baselines else [catalog.DEFAULT])
        self.baselines = baselines or []
        self.features = features

    def systems(self) -> list[System]:
        """What is measured, the reference first. Raises StartError."""
        if self.features and not any(_encoders(written) for written in self.models):
            raise StartError("--features: no --model is a late-interaction model.")
        no_twins([*self.models, *self.baselines], "--model or --baseline")
        return [
            *(model_system(n, model_spec(n), with_features=self.features) for n in self.models),
            *(baseline_system(name) for name in self.baselines),
        ]

    def names(self) -> list[str]:
        """Everything that is ranked by itself."""
        shown = self.models if self.features else []
        alone = [f"{name} {what}" for name in shown for what in feature_labels(_encoders(name))]
        return [*self.models, *self.baselines, *alone]

    def flags(self) -> list[tuple[str, str]]:
        """As they were given."""
        flags = [("model", name) for name in self.models] + [("features", "")] * self.features
        return [*flags, *(("baseline", name) for name in self.baselines)]

    def remarks(self) -> tuple[str, ...]:
        """What a page says about them."""
        found = [f"{name}: {NOTES[name]}." for name in self.baselines]
        found += [f"{name}: {what}." for name, what in FEATURE_NOTES.items() if self.features]
        return tuple(found)


def _of_systems(
    folders: tuple[Path, ...],
    chosen: _Chosen,
    systems: list[System],
    k: int,
    bar: Bar,
    keep: Keep,
) -> _Measured:
    collections = _collections(folders)
    made = evaluate_systems(collections, systems, k, bar.say, step=bar.step, keep=keep)
    return _Measured(made, chosen.flags(), TIES, "DIR ", chosen.remarks())


def _report(measured: _Measured, asked: Sequence[Floor], *, k: int, to: _To) -> None:
    """Write what was asked for. Raises StartError when a floor is missed."""
    made = measured.report
    found = list(verdicts(made, asked))
    if to.json:
        _write(to.json, msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    if to.plot:
        _write(to.plot, draw(made))
    if to.page:
        flags = [*measured.flags, ("k", str(k))]
        flags += [("floors", to.floors.name)] if to.floors else []
        flags += [("plot", to.plot.name)] if to.plot else []
        command = " ".join(f"--{flag} {value}".rstrip() for flag, value in flags)
        picture = os.path.relpath(to.plot, to.page.parent) if to.plot else None
        made_by = f"rerankd eval {measured.where}{command}"
        text = page(made, found, made_by, list(measured.remarks), picture, ties=measured.ties)
        _write(to.page, text.encode())
    missed = [f"{v.set}: {floor_text(v)}; found {v.found:.2f}" for v in found if not v.holds]
    if missed:
        raise StartError("Below the floor: " + ". ".join(missed) + ".")


def _show(measured: _Measured) -> None:
    out, made = console(), measured.report
    for table in tables(made):
        out.print(table)
        out.print()
    if len(made.sets[0].systems) > 1:
        out.print(
            f"p: against {made.reference}; two-sided paired randomisation test on "
            f"{made.measures[0]}, Holm-adjusted for the systems of a table.",
            style="dim",
        )
    out.print(measured.ties, style="dim")


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StartError(f"Cannot write {path}: {error.strerror}.") from None


def _encoders(written: str) -> Sequence[str]:
    """Of the tokens of a late-interaction model as it is written; none of others."""
    entry = catalog.find(split(written)[0])
    return () if entry is None else entry.encoders


def _collections(folders: tuple[Path, ...]) -> list[Collection]:
    """Raises StartError."""
    if not folders:
        raise StartError(
            "rerankd eval needs a folder with a test collection, or --run and --qrels."
        )
    return collections_in(folders)


def _of_runs(runs: list[Path], qrels: Path | None, k: int, say: Say, keep: Keep) -> _Measured:
    if not runs or qrels is None:
        raise StartError("--run and --qrels go together.")
    no_twins([path.name for path in runs], "run")
    judgements = read_trec_qrels(qrels)
    read = {path.name: read_trec_run(path) for path in runs}
    made = evaluate_runs(qrels.name, judgements, read, k, say, keep=keep)
    return _Measured(made, [*(("run", "RUN") for _ in runs), ("qrels", "QRELS")], RUN_TIES)
