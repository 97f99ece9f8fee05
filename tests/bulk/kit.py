"""Jobs in this process with a model that costs nothing, and inputs for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rerankd.bulk.cost import Costs
from rerankd.bulk.folder_of_job import finished, taken_up
from rerankd.bulk.inputs import Input
from rerankd.bulk.job import Job
from rerankd.bulk.local import LocalScorer
from rerankd.bulk.manifest import Manifest, input_files, read_manifest
from rerankd.bulk.output import JobCounts, OutputFolder
from rerankd.bulk.rows import InputPlace, InputRow, Source, WindowLimits
from rerankd.bulk.wishes import Wishes
from rerankd.engines.base import Engine
from tests.kit.support import BytesModel

SMALL = WindowLimits(pairs=7, characters=4000, rows=7)


def lines(path: Path, rows: Iterable[Any]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pair_rows(count: int) -> list[dict[str, Any]]:
    """Pairs of few queries and documents of many lengths."""
    return [
        {"id": f"p{i}", "query": f"query {i // 3}", "document": "word " * (i % 11) + str(i)}
        for i in range(count)
    ]


def request_rows(count: int) -> list[dict[str, Any]]:
    """Requests with one to four documents."""
    return [
        {
            "id": i,
            "query": f"query {i}",
            "documents": [f"{i} {j} " * (j + 1) for j in range(i % 4 + 1)],
        }
        for i in range(count)
    ]


def read(source: Source, start: InputPlace | None = None) -> list[InputRow]:
    """All rows."""
    return list(source.rows(start or InputPlace()))


def run(  # noqa: PLR0913 - what a job has
    path: Path,
    out: Path,
    *,
    engine: Engine | None = None,
    wishes: Wishes | None = None,
    columns: Sequence[str] = (),
    limits: WindowLimits = SMALL,
    restart: bool = False,
    costs: Costs | None = None,
    **rest: Any,
) -> JobCounts:
    """Run a job to its end, or until it raises; files as `rerankd bulk` leaves them."""
    model = BytesModel(engine=engine)
    written = Input(path=path, columns=columns)
    source = written.source(wishes or Wishes(serves=(model.card.name,)))
    with (
        closing(source),
        closing(OutputFolder(out, commit_s=0.0)) as folder,
        closing(LocalScorer(model)) as scorer,
    ):
        known = None if restart else read_manifest(out)
        now = Manifest(
            kind=source.kind,
            inputs=input_files(written.files(), known),
            options={"top_n": str(wishes.top_n or "")} if wishes else {},
            scorer={"model": model.card.name},
            machine={"cores": "2"},
            window=limits,
        )
        manifest = taken_up(folder, now, restart=restart, say=lambda _: None)
        if manifest.counts is not None:
            return manifest.counts
        job = Job(source=source, scorer=scorer, folder=folder, limits=manifest.window, **rest)
        job.costs = costs or Costs()
        if job.run():
            finished(folder, manifest)
        return folder.progress.counts


def parts(out: Path) -> bytes:
    """All that the parts hold, in order."""
    return b"".join(path.read_bytes() for path in sorted(out.glob("part-*.jsonl")))


def rows_of(out: Path) -> list[dict[str, Any]]:
    """The lines of all parts."""
    return [json.loads(line) for line in parts(out).splitlines()]


def errors_of(out: Path) -> list[dict[str, Any]]:
    """The lines of errors.jsonl; none if there is no such file."""
    path = out / "errors.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
