"""Does a small request get its answer while large ones run?

    uv run python bench/fairness.py [--samples 100] [--only same-key]

Starts `rerankd serve` on a MiniLM-shaped checkpoint, measures a request of 4 documents alone, then
while requests of 1000 documents are answered without a pause. The bound is three times the idle
p99 plus two full batches, each measured in the same run.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.serving import KEYS, Client, Server, Texts, checkpoint, parsed, percentile, serving

from rerankd.core.rows import Row
from rerankd.models.base import pointwise
from rerankd.models.load import load, resolve

SMALL, LARGE = 4, 1000


@dataclass(frozen=True)
class Scenario:
    """Who else is there: one connection per key, each with one large request after the other."""

    name: str
    keys: tuple[str, ...]


SCENARIOS = (
    Scenario("same-key", KEYS[:1]),
    Scenario("other-key", KEYS[1:2]),
    Scenario("many-clients", KEYS[:4] * 2),
)


class Background:
    """Large requests without a pause, until it is stopped."""

    def __init__(self, server: Server, scenario: Scenario, bodies: Sequence[bytes]) -> None:
        self._stopped = False
        self._clients = [Client(server.port, key) for key in scenario.keys]
        self._threads = [
            threading.Thread(target=self._send, args=(client, bodies), daemon=True)
            for client in self._clients
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, client: Client, bodies: Sequence[bytes]) -> None:
        at = 0
        while not self._stopped:
            try:
                client.rerank(bodies[at % len(bodies)])
            except (OSError, http.client.HTTPException):
                if not self._stopped:  # else hung up on purpose
                    raise
            at += 1

    def stop(self) -> None:
        """Leave in the middle of an answer, as clients do."""
        self._stopped = True
        for client in self._clients:
            client.hang_up()
        for thread in self._threads:
            thread.join()


def full_batch_s(folder: Path, texts: Texts) -> tuple[int, float]:
    """The engine's batch budget in tokens, and the median time of a batch that fills it."""
    model = pointwise(load(resolve(str(folder))).model)
    budget = model.engine.info.batch_tokens
    request = parsed(texts.body(200))
    rows = list(model.prepare(request).rows)
    times: list[float] = []
    for _ in range(8):
        batch: list[Row] = []
        while sum(row.tokens for row in batch) + rows[0].tokens <= budget:
            rows.append(rows.pop(0))
            batch.append(rows[-1])
        started = time.perf_counter()
        model.engine.forward(batch)
        times.append(time.perf_counter() - started)
    model.engine.close()
    return budget, statistics.median(times[2:])


def small_ms(server: Server, bodies: Sequence[bytes]) -> list[float]:
    """Milliseconds of small requests, one after the other."""
    client = Client(server.port)
    spent = [client.rerank(body)[0] * 1000 for body in bodies]
    client.close()
    return spent


def main() -> None:
    """Print one line per scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    args = parser.parse_args()
    texts = Texts(7)
    small = [texts.body(SMALL) for _ in range(args.samples)]
    with tempfile.TemporaryDirectory() as made:
        folder = checkpoint(Path(made))
        budget, batch_s = full_batch_s(folder, texts)
        with serving(folder) as server:
            small_ms(server, small[:10])
            idle = small_ms(server, small)
            bound = 3 * percentile(idle, 0.99) + 2 * batch_s * 1000
            print(
                f"full batch {budget} tokens: {batch_s * 1000:.0f} ms; bound for p99 under load "
                f"{bound:.0f} ms; {args.samples} samples\n\n"
                "| beside it | p50 ms | p99 ms | most ms | p99 / idle p99 | within |\n"
                "|---|---|---|---|---|---|"
            )
            line("nothing", idle, idle, bound)
            for scenario in SCENARIOS:
                if args.only in (None, scenario.name):
                    large = [texts.body(LARGE) for _ in range(3)]
                    background = Background(server, scenario, large)
                    time.sleep(1)  # tokenised, and its batches run
                    line(scenario.name, small_ms(server, small), idle, bound)
                    background.stop()
                    time.sleep(1)


def line(name: str, spent: Sequence[float], idle: Sequence[float], bound: float) -> None:
    """One scenario as a row of the table."""
    p99 = percentile(spent, 0.99)
    print(
        f"| {name} | {percentile(spent, 0.5):.0f} | {p99:.0f} | {max(spent):.0f} "
        f"| {p99 / percentile(idle, 0.99):.1f} | {'yes' if p99 <= bound else 'NO'} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
