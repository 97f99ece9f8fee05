"""What `rerankd bulk` does with its flags: one job, to its end or until a signal."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from rerankd.accounts.price import Terms
from rerankd.bulk.cost import Costs
from rerankd.bulk.estimate import estimated, surveyed
from rerankd.bulk.folder_of_job import finished, taken_up
from rerankd.bulk.inputs import Input
from rerankd.bulk.job import Job
from rerankd.bulk.manifest import Manifest, input_files, read_manifest
from rerankd.bulk.output import JobCounts, OutputFolder
from rerankd.bulk.rows import InputPlace, Kind, sampled
from rerankd.bulk.wishes import Wishes
from rerankd.cli.bulk_progress import BulkProgress
from rerankd.cli.bulk_scorers import (
    ASKED_WINDOW,
    OpenScorer,
    of_model,
    of_server,
    of_settings,
    settings_of,
    terms_of,
)
from rerankd.cli.options import model_spec
from rerankd.cli.terminal import Bar
from rerankd.core.errors import StartError
from rerankd.core.money import nano, shown
from rerankd.models import catalog

HAS_FAILED: Final = 3  # exit status: done, and some rows are in errors.jsonl
_INTERRUPTED: Final = 128  # and the number of the signal


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkCommand:
    """The flags."""

    input: Input
    out: Path
    model: str | None
    top_n: int | None
    instruction: str | None
    raw_scores: bool
    server: str | None
    key_env: str | None
    route: str | None
    workers: int | None
    config: Path | None
    in_flight: int
    sample: float | None
    price: str | None
    max_cost: str | None
    keep_going: bool
    restart: bool

    def run(self) -> int:
        """Run the job; the exit status. Raises StartError."""
        self._check()
        costs = self._costs()
        with Bar() as bar, closing(self.input.source(self._wishes())) as source:
            bar.step("loading", 0, None)
            with self._scorer(source.kind) as opened, closing(OutputFolder(self.out)) as folder:
                known = None if self.restart else read_manifest(self.out)
                now = Manifest(
                    kind=source.kind,
                    inputs=input_files(self.input.files(), known),
                    options=self._options(),
                    scorer=opened.facts,
                    machine=opened.machine,
                    window=opened.window,
                )
                manifest = taken_up(folder, now, restart=self.restart, say=bar.say)
                costs.spent_nano = folder.progress.counts.cost_nano
                job = Job(
                    source=source,
                    scorer=opened.scorer,
                    folder=folder,
                    limits=manifest.window,
                    costs=costs,
                    sample=self.sample,
                    is_patient=self.keep_going,
                )
                return worked(job, manifest, bar)

    def tried(self) -> int:
        """Say what the job would take; the exit status. Raises StartError."""
        self._check()
        costs = self._costs()
        with Bar() as bar, closing(self.input.source(self._wishes())) as source:
            bar.step("reading", 0, None)
            survey = surveyed(sampled(source.rows(InputPlace()), self.sample))
            bar.step("scoring a sample", 0, None)
            if self.server or self.route:
                found = estimated(survey, source.kind, costs.terms, None, ASKED_WINDOW)
            else:
                with self._scorer(source.kind) as opened:
                    found = estimated(
                        survey, source.kind, costs.terms, opened.scorer, opened.window
                    )
        print(f"rows       {survey.rows}, {survey.failed} of them cannot be used")
        print(f"pairs      {survey.pairs}")
        print(f"tokens     about {found.tokens}")
        if found.seconds is not None:
            print(f"time       about {_duration(found.seconds)} on this machine")
        if found.cost_nano is not None:
            print(f"price      about {shown(found.cost_nano)} {costs.currency}".rstrip())
        return 0

    def _check(self) -> None:
        """Raises StartError."""
        if self.top_n is not None and self.top_n < 1:
            raise StartError(f"--top-n {self.top_n}: at least 1, or leave it out for all.")
        if self.sample is not None and not 0 < self.sample < 1:
            raise StartError(f"--sample {self.sample}: between 0 and 1, or leave it out for all.")
        if self.in_flight < 1:
            raise StartError(f"--in-flight {self.in_flight}: at least 1.")
        if self.workers is not None and self.workers < 1:
            raise StartError(f"--workers {self.workers}: at least 1, or leave it out.")
        who = {"--server": self.server, "--route": self.route, "--workers": self.workers}
        given = [name for name, value in who.items() if value is not None]
        if self.server is not None and len(given) > 1:
            raise StartError(f"{' and '.join(given)} do not go together.")
        if self.route is not None and self.model is not None:
            raise StartError("--route and --model do not go together: the route says who answers.")
        if self.key_env is not None and self.server is None:
            raise StartError("--key-env is the key for --server.")

    def _wishes(self) -> Wishes:
        """What is asked of every row. Raises StartError: there is no such model."""
        model, serves = self.model, None
        if self.server is None and self.route is None:
            spec = model_spec(self.model or catalog.DEFAULT)
            serves = (spec.name, *spec.aliases)
            model = None if self.model is None else spec.name
        return Wishes(
            model=self.route or model,
            serves=serves,
            top_n=self.top_n,
            instruction=self.instruction,
            raw_scores=self.raw_scores,
        )

    def _options(self) -> dict[str, str]:
        """What changes the lines, as it was given."""
        options = {
            "columns": " ".join(self.input.columns),
            "top_n": str(self.top_n or ""),
            "instruction": self.instruction or "",
            "raw_scores": "yes" if self.raw_scores else "",
            "sample": "" if self.sample is None else str(self.sample),
        }
        return {name: said for name, said in options.items() if said}

    def _scorer(self, kind: Kind) -> AbstractContextManager[OpenScorer]:
        """Who scores. Raises StartError."""
        if self.server is not None:
            return of_server(self.server, self.model, self.key_env, self.in_flight)
        if self.route is not None or self.workers is not None:
            settings = settings_of(self.config, self._served(), self.workers)
            return of_settings(settings, self.route, self.in_flight)
        return of_model(model_spec(self.model or catalog.DEFAULT), kind)

    def _served(self) -> str | None:
        return None if self.route is not None else self.model or catalog.DEFAULT

    def _costs(self) -> Costs:
        """By the price. Raises StartError: a sum cannot be kept without one."""
        terms, currency = self._terms()
        if self.max_cost is None:
            return Costs(terms=terms, currency=currency)
        if terms is None:
            raise StartError("--max-cost needs a price: --price, or one in the file of --config.")
        return Costs(terms=terms, currency=currency, most_nano=_amount("--max-cost", self.max_cost))

    def _terms(self) -> tuple[Terms | None, str]:
        if self.price is not None:
            return Terms(per_1m_input=_amount("--price", self.price)), ""
        if self.config is None:
            return None, ""
        return terms_of(self.config, self.route or self.model or catalog.DEFAULT)


def worked(job: Job, manifest: Manifest, bar: Bar) -> int:
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


def _amount(flag: str, text: str) -> int:
    try:
        return nano(text)
    except ValueError as error:
        raise StartError(f"{flag}: {error}") from None


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
