"""The loop that every worker runs: requests on stdin, scores and their cost on stdout.

Standard library only: it runs in each peer's own environment. One JSON object a line:
{"query": str, "documents": [str]} in, {"scores": [float], "wall_s": float, "cpu_s": float} out,
scores in document order, as logits. The first line out says that the model is loaded. cpu_s counts
all threads of the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence

Score = Callable[[str, Sequence[str]], Sequence[float]]


def cores() -> int:
    """How many threads a worker is told to use."""
    return len(os.sched_getaffinity(0))


def run(load: Callable[[], Score]) -> None:
    """Load, then answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    started = time.perf_counter()
    score = load()
    print(json.dumps({"ready_s": time.perf_counter() - started}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        scores = [float(s) for s in score(request["query"], request["documents"])]
        cost = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        print(json.dumps({"scores": scores, **cost}), file=answers, flush=True)
