"""Servers under clients beside the engine alone, where a request's CPU goes, and start-up."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from shared import servers, workers
from shared.workers import OURS, PEERS

from comparing.engines import make_requests
from comparing.progress import REST_S, Figures, say
from rerankd.core.batch import distinct
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.dialects import superset
from rerankd.dialects.wire import Envelope, Options, WireRequest
from rerankd.measure.workload import Request, lengths, long_tailed
from rerankd.models.base import Model, pointwise
from rerankd.models.load import load, resolve
from rerankd.service.ranking import rank

START_ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What the servers get, and how often."""

    folder: Path  # of the checkpoint
    peers: Path  # what setup_peers.sh made
    texts: Sequence[str]
    precisions: Sequence[str]  # of rerankd
    clients: int
    requests: int  # per client and round
    documents: int  # per request
    rounds: int


def batches(rows: Sequence[Row], budget: int) -> list[list[Row]]:
    """Rows in the order they came, as the server's queue hands them to the engine."""
    made: list[list[Row]] = [[]]
    used = 0
    for row in rows:
        if made[-1] and used + row.tokens > budget:
            made.append([])
            used = 0
        made[-1].append(row)
        used += row.tokens
    return made


def canonical(request: Request) -> RerankRequest:
    """The request as the service gets it."""
    documents = tuple(Content(value=text) for text in request.documents)
    return RerankRequest(query=Content(value=request.query), documents=documents)


def raw_engine(model: Model, requests: Sequence[Request]) -> Figures:
    """The engine alone on the rows of all requests, tokenised beforehand."""
    rows = [row for request in requests for row in model.prepare(canonical(request)).rows]
    cut = batches(rows, model.engine.info.batch_tokens)
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in cut:
        model.engine.forward(batch)
    return {
        "pairs": len(rows),
        "wall_s": time.perf_counter() - wall,
        "server_cpu_s": time.process_time() - cpu,
    }


def compare_http(burst: Burst) -> Figures:
    """Servers under so many clients, and our engine without a server, in turns."""
    count = burst.clients * burst.requests
    requests, tokens = make_requests(
        burst.folder,
        burst.texts,
        long_tailed,
        count=(burst.rounds + 1) * count,
        documents=burst.documents,
    )
    bursts = [requests[i : i + count] for i in range(0, len(requests), count)]
    model = pointwise(load(resolve(str(burst.folder))).model)
    say(f"HTTP: {burst.clients} clients, {burst.documents} documents per request")
    running = {f"rerankd {each}": servers.rerankd(burst.folder, each) for each in burst.precisions}
    python = burst.peers / "infinity" / "bin" / "python"
    running["infinity"] = servers.infinity(python, burst.folder)
    turns: dict[str, Callable[[Sequence[Request]], Any]] = {
        **{name: partial(send, server, burst.clients) for name, server in running.items()},
        "raw engine fp32": partial(raw_engine, model),
    }
    made: dict[str, list[Figures]] = {name: [] for name in turns}
    draw = random.Random(0)
    try:
        for turn in turns.values():
            turn(bursts[0])
        for number, each in enumerate(bursts[1:], 1):
            for name in draw.sample(sorted(turns), len(turns)):
                time.sleep(REST_S)
                made[name].append(turns[name](each))
            say(f"HTTP: round {number} of {burst.rounds}")
    finally:
        for server in running.values():
            server.close()
        model.engine.close()
    return {
        "clients": burst.clients,
        "documents": burst.documents,
        "requests": count,
        "lengths": str(lengths([n for row in tokens[count:] for n in row])),
        "turns": made,
    }


def send(server: servers.Server, clients: int, burst: Sequence[Request]) -> Figures:
    """A burst to a server; its cost as JSON."""
    return dataclasses.asdict(server.load(burst, clients=clients))


def stages(folder: Path, texts: Sequence[str], rounds: int) -> Figures:
    """CPU seconds of the steps of a request with 100 documents, in this process."""
    requests, _ = make_requests(folder, texts, long_tailed, count=rounds + 1, documents=100)
    model = pointwise(load(resolve(str(folder))).model)
    dialect, envelope = superset.DIALECT, Envelope(request_id="bench", created=0)
    made: dict[str, list[float]] = {n: [] for n in ("parse", "tokenise", "engine", "render")}
    for number, request in enumerate(requests):
        body = json.dumps({"query": request.query, "documents": request.documents}).encode()
        marks = [time.process_time()]
        parsed = dialect.parse(WireRequest(path="/v1/rerank", body=body), Options())
        marks.append(time.process_time())
        prepared = model.prepare(parsed)
        rows, inverse = distinct(prepared.rows)
        marks.append(time.process_time())
        cut = batches(rows, model.engine.info.batch_tokens)
        logits = [row for batch in cut for row in model.engine.forward(batch)]
        marks.append(time.process_time())
        ranking = rank(parsed, prepared, [logits[place] for place in inverse], model)
        dialect.render(parsed, ranking, envelope)
        marks.append(time.process_time())
        if number:  # the first warms up
            for name, start, end in zip(made, marks, marks[1:], strict=False):
                made[name].append(end - start)
    model.engine.close()
    return made


def start_up(folder: Path, xlmr: Path, peers: Path, rounds: int) -> Figures:
    """Seconds from process start to ready, and of loading the large checkpoint, files in cache."""
    made: dict[str, list[float]] = {"rerankd": [], "infinity": [], "xlmr-base load": []}
    for _ in range(min(rounds, START_ROUNDS)):
        with servers.rerankd(folder, "fp32") as server:
            made["rerankd"].append(server.ready_s)
        with servers.infinity(peers / "infinity" / "bin" / "python", folder) as server:
            made["infinity"].append(server.ready_s)
        loading = workers.start(peers, {OURS: PEERS[OURS]}, xlmr)[0]
        loading.close()
        made["xlmr-base load"].append(loading.ready_s)
        say("start-up: a round")
    return made
