"""`rerankd bench`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from rerankd.cli.options import spec, split
from rerankd.cli.terminal import Bar, console
from rerankd.core.errors import StartError
from rerankd.measure import benchmark
from rerankd.measure.benchmark import Rounds, Variant
from rerankd.measure.collection import Collection, read_collection
from rerankd.measure.spread import Spread, spread
from rerankd.measure.texts import read_texts, standard_library
from rerankd.measure.workload import (
    Maker,
    Request,
    lengths,
    long_tailed,
    pair_tokens,
    uniform,
)
from rerankd.models import catalog
from rerankd.models.load import Spec, resolve

_REFERENCE = "fp32"
_COUNTS = (1, 10, 100, 1000)
_REPEATS = 100  # of a latency, when the time allows


def bench(  # noqa: PLR0913 - a parameter is a flag
    model: str = catalog.DEFAULT,
    /,
    *,
    variant: Annotated[list[str] | None, Parameter(negative=())] = None,
    texts: Annotated[list[Path] | None, Parameter(negative=())] = None,
    collection: Path | None = None,
    queries: int = 50,
    rounds: int = 5,
    documents: int = 50,
    latency_s: float = 10.0,
    json: Path | None = None,
) -> None:
    """Measure a model on this machine: speed, latency, and how far other ways to run it agree.

    Parameters
    ----------
    model
        Catalog name or checkpoint folder. Default: rerankd-multi where it is installed, else
        rerankd-mini.
    variant
        Another way to run it, as in its settings: precision=int8, precision=auto or
        engine=torch,precision=bf16; repeatable. Compared with the settings' defaults (fp32 on the
        CPU): speed, and agreement of the scores.
    texts
        Folder whose text is scored (docs.jsonl or text files); repeatable. Default: the
        documentation in Python's standard library.
    collection
        Test collection (queries.jsonl, docs.jsonl, qrels.tsv, candidates.jsonl): adds nDCG@10.
    queries
        How many of its queries.
    rounds
        Requests per length mix; every variant scores each.
    documents
        Documents per request.
    latency_s
        Seconds per number of documents; 0 = leave latency out.
    json
        File to write all figures to.
    """
    for name, value in (("rounds", rounds), ("documents", documents), ("queries", queries)):
        if value < 1:
            raise StartError(f"--{name} {value}: at least 1.")
    specs = _specs(model, variant or [])
    source = [t for folder in texts for t in read_texts(folder)] if texts else standard_library()
    judged = read_collection(collection) if collection else None
    out = console()
    figures: dict[str, Any] = {"model": model, "speed": {}, "latency": {}, "quality": {}}
    with Bar() as bar, benchmark.loaded(specs) as variants, _Peak(variants) as peak:
        for label, each in variants.items():
            for trial in each.trials:
                out.print(f"{label}: {trial.sentence}", markup=False)
        for name, mix in (("long-tailed", long_tailed), ("uniform", uniform)):
            maker = Maker(variants[_REFERENCE].reranker.model, source)
            requests = [maker.request(documents, mix) for _ in range(rounds)]
            step = partial(_round, bar, name)
            made = benchmark.run_rounds(variants, requests, peak=peak, step=step)
            figures["speed"][name] = _show_speed(out, name, variants, made)
        if latency_s > 0:
            figures["latency"] = _show_latency(out, variants, source, latency_s, bar)
        if judged is not None:
            figures["quality"] = _show_quality(out, variants, judged, queries)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


def _specs(model: str, written: Sequence[str]) -> dict[str, Spec]:
    """The model as it is, and each other way to run it. Raises StartError."""
    plain, settings = split(model)
    if settings:
        raise StartError(
            f"{model}: settings are variants here: `rerankd bench {plain} --variant {settings}`."
        )
    others = {each: spec(model, each, f"--variant {each}") for each in written}
    return {_REFERENCE: resolve(model)} | others


def _round(bar: Bar, name: str, done: int, of: int) -> None:
    bar.step(f"{name} lengths", done, of)
    if done < of:
        bar.note(f"{name}: round {done + 1} of {of}")


class _Peak:
    """The machine's fp32 GEMM speed, measured anew for every round; for checkpoints only."""

    def __init__(self, variants: Mapping[str, Variant]) -> None:
        self._gemm: Any = None
        if any(variant.cost for variant in variants.values()):
            from rerankd.engines.cores import usable_cores
            from rerankd.engines.openvino.gemm import GemmPeak  # here: 0.4 s to import

            self._gemm = GemmPeak(usable_cores())

    def __enter__(self) -> Any:
        return self._gemm.measure if self._gemm else None

    def __exit__(self, *_: object) -> None:
        if self._gemm:
            self._gemm.close()


def _show_speed(
    out: Console, name: str, variants: Mapping[str, Variant], rounds: Rounds
) -> dict[str, Any]:
    """Print the table of one length mix and return its figures."""
    reference = variants[_REFERENCE].reranker.model
    measured = lengths([n for r in rounds.requests for n in pair_tokens(reference, r)])
    agreed = benchmark.agreements(rounds, _REFERENCE)
    table = Table(box=None, pad_edge=False, title=f"{name} lengths, {measured}")
    for heading in ("variant", "pairs/s", "pairs/CPU s", "of GEMM peak", "of peak, needed work"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for heading in ("Spearman", "same top 10", "max Δlogit"):
        table.add_column(heading, justify="right")
    figures: dict[str, Any] = {"lengths": measured, "peaks_gflops": rounds.peaks, "variants": {}}
    for label, variant in variants.items():
        speed, same = benchmark.speed(variant, rounds), agreed.get(label)
        table.add_row(
            label,
            f"{speed.pairs_per_s:.1f}",
            f"{speed.pairs_per_cpu_s:.1f}",
            _percent(speed.peak_share),
            _percent(speed.needed_share),
            f"{same.spearman:.4f}" if same else "",
            f"{same.top_overlap:.3f}" if same else "",
            f"{same.max_difference:.1e}" if same else "",
        )
        figures["variants"][label] = {"speed": speed, "agreement": same, "load_s": variant.load_s}
    out.print(table)
    if rounds.peaks:
        out.print(f"fp32 GEMM peak of this machine: {spread(rounds.peaks):.0f} GFLOP/s\n")
    return figures


def _percent(share: Spread | None) -> str:
    return f"{100 * share.median:.0f} %" if share else ""


def _show_quality(
    out: Console, variants: Mapping[str, Variant], judged: Collection, queries: int
) -> dict[str, Any]:
    """Print nDCG@10 of every variant and return it."""
    values = {
        label: benchmark.quality(each.reranker, judged, queries) for label, each in variants.items()
    }
    for label, value in values.items():
        change = value - values[_REFERENCE]
        out.print(f"nDCG@10 of {judged.name}, {label}: {value:.4f} ({change:+.4f})")
    return {"collection": judged.name, "queries": queries, "ndcg": values}


def _show_latency(
    out: Console,
    variants: Mapping[str, Variant],
    texts: list[str],
    seconds: float,
    bar: Bar,
) -> dict[str, Any]:
    """Print p50 and p99 by number of documents and return them."""
    table = Table(box=None, pad_edge=False, title="latency, one request at a time, long-tailed")
    for heading in ("variant", "documents", "p50", "p99", "repeats"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    figures: dict[str, Any] = {}
    done = 0
    for label, variant in variants.items():
        maker = Maker(variant.reranker.model, texts, seed=1)
        for count in _COUNTS:
            bar.note(f"latency of {count} documents, {label}")
            bar.step("latency", done, len(variants) * len(_COUNTS))
            done += 1
            made = benchmark.latency(
                variant.reranker, _requests(maker, count), seconds=seconds, repeats=_REPEATS
            )
            p50, p99 = f"{1e3 * made.p50_s:.1f} ms", f"{1e3 * made.p99_s:.1f} ms"
            table.add_row(label, str(count), p50, p99, str(made.repeats))
            figures.setdefault(label, []).append(made)
    out.print(table)
    out.print("p99 of fewer than 100 repeats is their maximum.\n", style="dim")
    return figures


def _requests(maker: Maker, documents: int) -> Iterator[Request]:
    while True:
        yield maker.request(documents)
