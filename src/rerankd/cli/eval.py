"""`rerankd eval`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from rerankd.cli.eval_files import Files
from rerankd.cli.eval_page import RUN_TIES, TIES, floor_text, page, tables
from rerankd.cli.eval_plot import draw
from rerankd.cli.options import model_spec, split
from rerankd.cli.terminal import Bar, console
from rerankd.core.errors import StartError
from rerankd.extras import library
from rerankd.measure.baselines import FEATURE_NOTES, NOTES, Baseline
from rerankd.measure.collection import Collection, read_collection
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
from rerankd.measure.floors import check_systems, read_floors, verdicts
from rerankd.measure.trec import read_trec_qrels, read_trec_run
from rerankd.models import catalog

_QUERIES = "queries.jsonl"  # a folder with it is a collection


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
        Catalog name or checkpoint folder, with settings if need be: NAME,quantization=int8.
        Repeatable; the others are compared with the first. Default: the model that ships inside.
    features
        Late-interaction models: also what cosine and MaxSim alone would rank.
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
    if k < 1:
        raise StartError(f"--k {k}: at least 1.")
    library("ir_measures")  # before a model works for minutes
    if plot:
        library("matplotlib")
    asked = read_floors(floors) if floors else ()
    files = Files.of(run_out, runs_are_given=bool(run), per_query=per_query)
    with Bar() as bar:
        if run or qrels:
            if folders or model or baseline or features:
                raise StartError(
                    "--run and --qrels go without folders, --model, --features and --baseline."
                )
            check_systems(asked, [path.name for path in run or []])
            made = _runs(run or [], qrels, k, bar.say, files.keep)
            flags = [("run", "RUN") for _ in run or []] + [("qrels", "QRELS")]
        else:
            models = model or ([] if baseline else [catalog.DEFAULT])
            systems = _systems(models, baseline or [], with_features=features)
            shown = [name for name in models if features and _has_features(name)]
            alone = [f"{name} {what}" for name in shown for what in FEATURE_NOTES]
            check_systems(asked, [*models, *(baseline or []), *alone])
            made = evaluate_systems(
                _collections(folders), systems, k, bar.say, step=bar.step, keep=files.keep
            )
            flags = [("model", name) for name in models] + [("features", "")] * features
            flags += [("baseline", name) for name in baseline or []]
    ties = RUN_TIES if run else TIES
    _show(made)
    console().print(ties, style="dim")
    found = list(verdicts(made, asked))
    if json:
        _write(json, msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    if plot:
        _write(plot, draw(made))
    if write:
        remarks = [f"{name}: {NOTES[name]}." for name in baseline or []]
        remarks += [f"{name}: {what}." for name, what in FEATURE_NOTES.items() if features]
        flags.append(("k", str(k)))
        flags += [("floors", floors.name)] if floors else []
        flags += [("plot", plot.name)] if plot else []
        command = " ".join(f"--{flag} {value}".rstrip() for flag, value in flags)
        where = "" if run else "DIR "
        picture = os.path.relpath(plot, write.parent) if plot else None
        made_by = f"rerankd eval {where}{command}"
        text = page(made, found, made_by, remarks, picture, ties=ties)
        _write(write, text.encode())
    missed = [f"{v.set}: {floor_text(v)}; found {v.found:.2f}" for v in found if not v.holds]
    if missed:
        raise StartError("Below the floor: " + ". ".join(missed) + ".")


def _show(made: Report) -> None:
    out = console()
    for table in tables(made):
        out.print(table)
        out.print()
    if len(made.sets[0].systems) > 1:
        out.print(
            f"p: against {made.reference}; two-sided paired randomisation test on "
            f"{made.measures[0]}, Holm-adjusted for the systems of a table.",
            style="dim",
        )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StartError(f"Cannot write {path}: {error.strerror}.") from None


def _systems(models: list[str], baselines: list[Baseline], *, with_features: bool) -> list[System]:
    """What is measured, the reference first. Raises StartError."""
    if with_features and not any(_has_features(written) for written in models):
        raise StartError("--features: no --model is a late-interaction model.")
    _no_twins([*models, *baselines], "--model or --baseline")
    return [
        *(model_system(name, model_spec(name), with_features=with_features) for name in models),
        *(baseline_system(name) for name in baselines),
    ]


def _has_features(written: str) -> bool:
    entry = catalog.find(split(written)[0])
    return entry is not None and entry.family == "late-interaction"


def _collections(folders: tuple[Path, ...]) -> list[Collection]:
    """Each folder that is a collection, or the collections in it. Raises StartError."""
    if not folders:
        raise StartError(
            "rerankd eval needs a folder with a test collection, or --run and --qrels."
        )
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise StartError(f"{folder}: no such folder.")
        inside = sorted(path.parent for path in folder.glob(f"*/{_QUERIES}"))
        found += [folder] if (folder / _QUERIES).exists() or not inside else inside
    collections = [read_collection(folder) for folder in found]
    _no_twins([collection.name for collection in collections], "collection")
    return collections


def _runs(runs: list[Path], qrels: Path | None, k: int, say: Say, keep: Keep) -> Report:
    if not runs or qrels is None:
        raise StartError("--run and --qrels go together.")
    _no_twins([path.name for path in runs], "run")
    judgements = read_trec_qrels(qrels)
    read = {path.name: read_trec_run(path) for path in runs}
    return evaluate_runs(qrels.name, judgements, read, k, say, keep=keep)


def _no_twins(names: list[str], what: str) -> None:
    twin = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twin is not None:
        raise StartError(f"{what} {twin}: given twice; results are told apart by name.")
