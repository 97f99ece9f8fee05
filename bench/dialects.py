"""CPU time of each dialect's parse + render, and of choosing one at the root.

`uv run python bench/dialects.py`: microseconds of CPU per request for 100 and 1000 documents of
400 characters, best of five rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rerankd.core.answer import Hit, Ranking
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import superset
from rerankd.dialects.base import Dialect
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options

ROUNDS, OPTIONS = 5, Options()
ENVELOPE = Envelope(request_id="bench", created=1700000000)


def cpu_us(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU per call, best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(times):
            work()
        best = min(best, (time.process_time_ns() - started) / times / 1000)
    return best


def asked(count: int) -> RerankRequest:
    """A request that every dialect can carry."""
    documents = tuple(Content(value=f"{i} " + "word " * 80) for i in range(count))
    return RerankRequest(query=Content(value="a query"), documents=documents, return_documents=True)


def cost(dialect: Dialect, count: int) -> float:
    """Parse and render, all documents in the answer."""
    wire = dialect.encode(asked(count))
    hits = tuple(Hit(i, 0.5, 0.0) for i in range(count))
    ranking = Ranking(model="m", hits=hits, documents=count, input_tokens=9)

    def work() -> None:
        dialect.render(dialect.parse(wire, OPTIONS), ranking, ENVELOPE)

    return cpu_us(work, max(1, 2000 // count))


def main() -> None:
    """Print the table."""
    print("| dialect | 100 documents, us | 1000 documents, us |\n|---|---|---|")
    for dialect in SERVED.served:
        if isinstance(dialect, Dialect):
            print(f"| {dialect.name} | {cost(dialect, 100):.0f} | {cost(dialect, 1000):.0f} |")
    print(f"| choosing at the root | {choosing(100):.0f} | {choosing(1000):.0f} |")


def choosing(count: int) -> float:
    """Reading the keys of a body at a path that dialects share."""
    route = next(found for found in SERVED.routes if found.path == "/v1/rerank")
    raw = superset.encode(asked(count)).body
    return cpu_us(lambda: route.by_body({}, raw), 2000 // count)


if __name__ == "__main__":
    main()
