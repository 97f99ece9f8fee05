"""`rerankd bulk`."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

from cyclopts import Parameter

from rerankd import __version__
from rerankd.bulk.folder_of_job import finished, taken_up
from rerankd.bulk.inputs import Input
from rerankd.bulk.job import Job
from rerankd.bulk.local import LocalScorer, window_limits
from rerankd.bulk.local_model import check_kind, facts_of, machine_of
from rerankd.bulk.manifest import Manifest, input_files, read_manifest
from rerankd.bulk.output import JobCounts, OutputFolder
from rerankd.bulk.wishes import Wishes
from rerankd.cli.bulk_progress import BulkProgress
from rerankd.cli.options import model_spec
from rerankd.cli.terminal import Bar
from rerankd.core.errors import StartError
from rerankd.models import catalog
from rerankd.models.load import load
from rerankd.service.reranker import Reranker

HAS_FAILED: Final = 3  # exit status: done, and some rows are in errors.jsonl
_INTERRUPTED: Final = 128  # and the number of the signal


InputFile = Annotated[
    Path,
    Parameter(
        help='JSON lines of requests {"id": …, "query": …, "documents": […]}, or of pairs '
        '{"id": …, "query": …, "document": …}, or tab-separated pairs (.tsv); gzipped ones end '
        "in .gz. Or Parquet of either, a TREC run, or a folder with a test collection."
    ),
]
Out = Annotated[Path, Parameter(help="Folder for part-*.jsonl, errors.jsonl and manifest.json.")]
ModelName = Annotated[
    str | None,
    Parameter(
        help="Catalog name or checkpoint folder, with settings if need be: NAME,precision=int8. "
        "Default: rerankd-multi where it is installed, else rerankd-mini."
    ),
]
ColumnNames = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help="Which keys or columns of pairs hold what: id=…, query=…, document=…. Repeatable.",
    ),
]
Topics = Annotated[
    Path | None,
    Parameter(help="IN is a TREC run: its queries, JSON lines {id, text} or a table (.tsv)."),
]
Documents = Annotated[
    Path | None, Parameter(help="IN is a TREC run: its documents, in the same forms.")
]
TopN = Annotated[
    int | None,
    Parameter(
        name=["--top-n", "-n"],
        help="How many documents of each request are written; default all.",
    ),
]
Instruction = Annotated[
    str | None, Parameter(help="For models with a place for one; for every row.")
]
RawScores = Annotated[bool, Parameter(negative=(), help="Write logits instead of scores.")]
Sample = Annotated[
    float | None,
    Parameter(
        help="Score only this share of the rows, spread over the input: 0.01 is one of a hundred."
    ),
]
KeepGoing = Annotated[
    bool,
    Parameter(negative=(), help="Go on when more than a hundredth of the first 1000 rows fail."),
]
Restart = Annotated[
    bool,
    Parameter(
        negative=(), help="Begin again, and remove what an earlier job wrote into the folder."
    ),
]


def bulk(  # noqa: PLR0913 - a parameter is a flag
    input: InputFile,
    out: Out,
    /,
    *,
    model: ModelName = None,
    columns: ColumnNames = None,
    topics: Topics = None,
    documents: Documents = None,
    top_n: TopN = None,
    instruction: Instruction = None,
    raw_scores: RawScores = False,
    sample: Sample = None,
    keep_going: KeepGoing = False,
    restart: Restart = False,
) -> None:
    """Score a large file into a folder; run again, it goes on where it was."""
    _check(top_n, sample)
    written = Input(path=input, columns=tuple(columns or ()), topics=topics, documents=documents)
    spec = model_spec(model or catalog.DEFAULT)
    wishes = Wishes(
        model=None if model is None else spec.name,
        serves=(spec.name, *spec.aliases),
        top_n=top_n,
        instruction=instruction,
        raw_scores=raw_scores,
    )
    source = written.source(wishes)
    options = {
        "columns": " ".join(columns or ()),
        "top_n": str(top_n or ""),
        "instruction": instruction or "",
        "raw_scores": "yes" if raw_scores else "",
        "sample": "" if sample is None else str(sample),
    }
    with Bar() as bar:
        bar.step(f"loading {spec.name}", 0, None)
        with (
            closing(source),
            Reranker.of(load(spec)) as reranker,
            closing(OutputFolder(out)) as folder,
        ):
            check_kind(reranker.model, is_pairs=source.kind == "pairs")
            known = None if restart else read_manifest(out)
            now = Manifest(
                kind=source.kind,
                inputs=input_files(written.files(), known),
                options={name: said for name, said in options.items() if said},
                scorer=facts_of(spec, reranker.model, __version__),
                machine=machine_of(reranker.model),
                window=window_limits(reranker.model.engine),
            )
            manifest = taken_up(folder, now, restart=restart, say=bar.say)
            with closing(LocalScorer(reranker.model)) as scorer:
                job = Job(
                    source=source,
                    scorer=scorer,
                    folder=folder,
                    limits=manifest.window,
                    sample=sample,
                    is_patient=keep_going,
                )
                status = _worked(job, manifest, bar)
    sys.exit(status)


def _worked(job: Job, manifest: Manifest, bar: Bar) -> int:
    """Run a job to its end, or until a signal; the exit status."""
    folder = job.folder
    if manifest.state == "complete" and manifest.counts is not None:
        bar.say(f"{folder.path} is complete: {_sums(manifest.counts)}.")
        return HAS_FAILED if manifest.counts.failed else 0
    progress = BulkProgress(bar, job.source, copy(folder.progress.counts), job.costs.currency)
    job.step = lambda counts: progress.step(counts, folder.progress.place)
    with _signals() as caught:
        job.stops = lambda: bool(caught)
        is_done = job.run()
    counts = folder.progress.counts
    if not is_done:
        command = shlex.join(["rerankd", *sys.argv[1:]])
        bar.say(f"Stopped after {_sums(counts)}. Go on with: {command}")
        return _INTERRUPTED + caught[0]
    finished(folder, manifest)
    bar.say(f"{folder.path}: {_sums(counts)}.")
    return HAS_FAILED if counts.failed else 0


def _sums(counts: JobCounts) -> str:
    failed = f", {counts.failed} failed (errors.jsonl)" if counts.failed else ""
    return f"{counts.rows} rows, {counts.pairs} pairs, {counts.tokens} tokens{failed}"


@contextmanager
def _signals() -> Generator[list[int]]:
    """SIGINT and SIGTERM that came; a second one ends the program at once."""
    caught: list[int] = []

    def take(number: int, _: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(top_n: int | None, sample: float | None) -> None:
    if top_n is not None and top_n < 1:
        raise StartError(f"--top-n {top_n}: at least 1, or leave it out for all.")
    if sample is not None and not 0 < sample < 1:
        raise StartError(f"--sample {sample}: between 0 and 1, or leave it out for all.")
