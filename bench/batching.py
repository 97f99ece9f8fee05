"""How many tokens in a micro-batch, and how to use the cores: streams of one thread, or threads.

    uv run python bench/batching.py [--rounds 3]

MiniLM shape, made-up weights. First the throughput of a full scheduler batch for each micro-batch
budget and each way to use the cores; then the latency of requests of 1, 4 and 10 documents, alone.
All ways alternate in every round of one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from shared.serving import Texts, checkpoint, parsed, percentile

from rerankd.core.options import LoadOptions
from rerankd.core.rows import Row
from rerankd.engines.openvino import engine as openvino
from rerankd.models.base import Model, pointwise
from rerankd.models.load import load, resolve

BUDGETS = (512, 1024, 2048)
SMALL = (1, 4, 10)


def loaded(folder: Path, *, streams: int, threads: int) -> Model:
    """The checkpoint on so many streams that share so many threads."""
    compile_graph = openvino.compile_graph

    def compiled(graph: Any, **asked: Any) -> Any:
        changed: dict[str, Any] = {**asked, "streams": streams, "threads": threads}
        return compile_graph(graph, **changed)

    options = LoadOptions(streams=streams)
    with mock.patch.object(openvino, "compile_graph", compiled):
        return pointwise(load(resolve(str(folder), options)).model)


def prepared(model: Model, body: bytes) -> list[Row]:
    """The rows of a request."""
    return list(model.prepare(parsed(body)).rows)


def timed(model: Model, rows: Sequence[Row], budget: int) -> tuple[float, float]:
    """Wall and CPU seconds of one forward() with that micro-batch budget."""
    with mock.patch.object(openvino, "MICRO_BATCH_TOKENS", budget):
        wall, cpu = time.perf_counter(), time.process_time()
        model.engine.forward(rows)
        return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10, help="of a small request in a round")
    args = parser.parse_args()
    cores, texts = openvino.usable_cores(), Texts(5)
    shapes = sorted({(cores, 1), (1, cores), (1, 1)}, reverse=True)
    with tempfile.TemporaryDirectory() as made:
        folder = checkpoint(Path(made))
        models = {
            f"{streams} x {threads}": loaded(folder, streams=streams, threads=streams * threads)
            for streams, threads in shapes
        }
        throughput(models, texts, args.rounds)
        latency(models, texts, args.rounds, args.repeats)
        for model in models.values():
            model.engine.close()


def throughput(models: dict[str, Model], texts: Texts, rounds: int) -> None:
    """Pairs per second and per CPU second, by budget and by streams x threads."""
    spent: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    pairs = 0
    for _ in range(rounds + 1):
        body = texts.body(40)
        for name, model in models.items():
            rows = prepared(model, body)
            pairs = len(rows)
            for budget in BUDGETS:
                spent[name, budget].append(timed(model, rows, budget))
    print(
        "| streams x threads | budget | pairs/s, median (range) | pairs/CPU s |\n|---|---|---|---|"
    )
    for (name, budget), times in spent.items():
        walls = [pairs / wall for wall, _ in times[1:]]
        cpus = [pairs / cpu for _, cpu in times[1:]]
        print(
            f"| {name} | {budget} | {statistics.median(walls):.1f} "
            f"({min(walls):.1f}-{max(walls):.1f}) | {statistics.median(cpus):.1f} |"
        )


def latency(models: dict[str, Model], texts: Texts, rounds: int, repeats: int) -> None:
    """Milliseconds of small requests, alone on the engine, with the engine's own budget."""
    spent: dict[tuple[int, str], list[float]] = defaultdict(list)
    for _ in range(rounds):
        for documents in SMALL:
            bodies = [texts.body(documents) for _ in range(repeats)]
            for name, model in models.items():
                for body in bodies:
                    rows = prepared(model, body)
                    wall, _ = timed(model, rows, openvino.MICRO_BATCH_TOKENS)
                    spent[documents, name].append(wall * 1000)
    print("\n| documents | streams x threads | p50 ms | p90 ms |\n|---|---|---|---|")
    for (documents, name), times in spent.items():
        print(
            f"| {documents} | {name} | {statistics.median(times):.1f} "
            f"| {percentile(times, 0.9):.1f} |"
        )


if __name__ == "__main__":
    main()
