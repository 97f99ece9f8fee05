"""What HTTP, parsing, tokenising, scheduling and rendering cost beside the engine.

    uv run python bench/http_cost.py [--rounds 3]

Pairs per CPU second of the server process, 16 clients with requests of 100 documents, against the
engine alone on the same rows, in alternating rounds of one run; then one request's steps, timed by
themselves in this process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from shared.serving import Client, Server, Texts, checkpoint, parsed, serving

from rerankd.core.batch import distinct
from rerankd.core.rows import Logits, Row
from rerankd.dialects import superset
from rerankd.dialects.wire import Envelope
from rerankd.models.base import Model, pointwise
from rerankd.models.load import load, resolve
from rerankd.service.ranking import rank

CLIENTS = 16


def over_http(server: Server, bodies: Sequence[bytes]) -> dict[str, float]:
    """CPU seconds of the server, by its threads, while 16 clients send the bodies."""

    def send(mine: Sequence[bytes]) -> None:
        client = Client(server.port)
        for body in mine:
            client.rerank(body)
        client.close()

    threads = [
        threading.Thread(target=send, args=(bodies[first::CLIENTS],)) for first in range(CLIENTS)
    ]
    before = server.cpu_s()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = server.cpu_s()
    return {name: after[name] - before[name] for name in after}


def engine_alone(model: Model, requests: Sequence[Sequence[Row]]) -> float:
    """CPU seconds of the engine for the same rows: request by request, in full batches."""
    started = time.process_time()
    for rows in requests:
        forward(model, rows)
    return time.process_time() - started


def forward(model: Model, rows: Sequence[Row]) -> Logits:
    """Longest first, a full batch at a time, as the scheduler does; logits in that order."""
    waiting = sorted(rows, key=lambda row: -row.tokens)
    outputs: list[Logits] = []
    while waiting:
        batch: list[Row] = []
        left = model.engine.info.batch_tokens
        while waiting and (not batch or waiting[0].tokens <= left):
            left -= waiting[0].tokens
            batch.append(waiting.pop(0))
        outputs.append(model.engine.forward(batch))
    return np.concatenate(outputs)


def steps(model: Model, body: bytes, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each step of one request."""
    request = parsed(body)
    prepared = model.prepare(request)
    rows, inverse = distinct(prepared.rows)
    logits = list(forward(model, rows)[inverse])
    ranking = rank(request, prepared, logits, model)
    envelope = Envelope(request_id="x", created=0)
    timed: dict[str, Callable[[], object]] = {
        "parse": lambda: parsed(body),
        "tokenise": lambda: model.prepare(request),
        "equal pairs": lambda: distinct(prepared.rows),
        "engine": lambda: forward(model, rows),
        "rank": lambda: rank(request, prepared, logits, model),
        "render": lambda: superset.render(request, ranking, envelope),
    }
    return {
        name: 1000 * cpu_s(work, 1 if name == "engine" else 20, rounds)
        for name, work in timed.items()
    }


def cpu_s(work: Callable[[], object], repeats: int, rounds: int) -> float:
    """Median CPU seconds of one call, all threads of this process counted."""
    spent: list[float] = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            work()
        spent.append((time.process_time() - started) / repeats)
    return statistics.median(spent)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=100, help="of each client")
    args = parser.parse_args()
    texts = Texts(11)
    bodies = [texts.body(args.documents) for _ in range(CLIENTS)]
    with tempfile.TemporaryDirectory() as made:
        folder = checkpoint(Path(made))
        model = pointwise(load(resolve(str(folder))).model)
        requests = [model.prepare(parsed(body)).rows for body in bodies]
        pairs = sum(len(rows) for rows in requests)
        engine_alone(model, requests[:2])
        raw: list[float] = []
        served: list[float] = []
        with serving(folder) as server:
            over_http(server, bodies[:2])
            for _ in range(args.rounds):
                raw.append(pairs / engine_alone(model, requests))
                spent = over_http(server, bodies)
                served.append(pairs / sum(spent.values()))
                print(f"engine {raw[-1]:.1f}, HTTP {served[-1]:.1f} pairs per CPU s; {spent}")
        ratios = [http / engine for http, engine in zip(served, raw, strict=True)]
        print(
            f"HTTP over engine: median {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f}-{max(ratios):.3f})\n\n| step | CPU ms | share |\n|---|---|---|"
        )
        spent_ms = steps(model, texts.body(100), args.rounds)
        for name, each in spent_ms.items():
            print(f"| {name} | {each:.2f} | {each / sum(spent_ms.values()):.2%} |")
        model.engine.close()


if __name__ == "__main__":
    main()
