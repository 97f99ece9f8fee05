"""rerankd beside what people install today, in one run on this machine: figures as JSON.

    bench/setup_peers.sh PEERS
    python bench/make_checkpoint.py MINILM PAIRS MODELS
    PEERS/st-onnx/bin/python bench/peers/export_onnx.py MODELS/minilm-l6
    python bench/compare.py PEERS MODELS --texts DIR --out compare.json
    python bench/compare.py PEERS MODELS --texts DIR --out compare.json --only latency
    python bench/report.py compare.json --write docs/benchmarks.md
    python bench/compare.py PEERS MODELS --texts DIR --out encoders.json --only ettin gte

Every round brings a new request; all engines score it in shuffled order, each in a process of its
own with both the wall clock and the CPU time of that process, while the others sleep. The machine
must be idle otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from shared import servers, workers
from shared.workers import DEFAULT_PEER, OURS

from rerankd import __version__
from rerankd.core.agreement import agreement
from rerankd.core.batch import distinct
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.dialects import superset
from rerankd.dialects.wire import Envelope, Options, WireRequest
from rerankd.engines.cores import usable_cores
from rerankd.engines.openvino.gemm import GemmPeak
from rerankd.measure.flops import layer_cost
from rerankd.measure.texts import read_texts
from rerankd.measure.workload import Maker, Mix, Request, lengths, long_tailed, pair_tokens, uniform
from rerankd.models.base import Model, pointwise
from rerankd.models.load import load, resolve
from rerankd.service.ranking import rank
from tests.checkpoints import gte, module_head

COUNTS = (1, 10, 100, 1000)  # documents, for latency
REST_S = 0.2  # between turns: the last engine's threads go to sleep
Figures = dict[str, Any]


def say(text: str) -> None:
    """Progress, with the minutes since the start."""
    print(f"{(time.perf_counter() - STARTED) / 60:5.1f} min  {text}", file=sys.stderr, flush=True)


STARTED = time.perf_counter()


def make_requests(
    folder: Path, texts: Sequence[str], mix: Mix, *, count: int, documents: int
) -> tuple[list[Request], list[list[int]]]:
    """Requests and their pairs' tokens under the model's tokenizer."""
    model = pointwise(load(resolve(str(folder))).model)
    maker = Maker(model, texts)
    requests = [maker.request(documents, mix) for _ in range(count)]
    tokens = [pair_tokens(model, request) for request in requests]
    model.engine.close()
    return requests, tokens


def compare_engines(  # noqa: PLR0913 - one call per table
    title: str,
    folder: Path,
    names: Sequence[str],
    *,
    mix: Mix,
    documents: int,
    args: argparse.Namespace,
    texts: Sequence[str],
) -> Figures:
    """Alternate engines on the same requests; one uncounted round first."""
    requests, tokens = make_requests(folder, texts, mix, count=args.rounds + 1, documents=documents)
    say(f"{title}: starting {len(names)} engines")
    engines = workers.start(args.peers, names, folder)
    gemm, draw = GemmPeak(usable_cores()), random.Random(0)
    for engine in engines:
        engine.ask(requests[0])
    answers: dict[str, list[workers.Answer]] = {name: [] for name in names}
    peaks: list[float] = []
    for number, request in enumerate(requests[1:], 1):
        time.sleep(REST_S)
        peaks.append(gemm.measure())
        for engine in draw.sample(engines, len(engines)):
            time.sleep(REST_S)
            answers[engine.label].append(engine.ask(request))
        say(f"{title}: round {number} of {args.rounds}")
    gemm.close()
    for engine in engines:
        engine.close()
    cost = layer_cost(folder)
    truth = [answer["scores"] for answer in answers[DEFAULT_PEER]]
    made: Figures = {}
    for engine in engines:
        turns = answers[engine.label]
        same = agreement(truth, [answer["scores"] for answer in turns])
        made[engine.label] = {
            "ready_s": engine.ready_s,
            "wall_s": [answer["wall_s"] for answer in turns],
            "cpu_s": [answer["cpu_s"] for answer in turns],
            "spearman": same.spearman,
            "top_10": same.top_overlap,
            "max_difference": same.max_difference,
        }
    measured = lengths([n for row in tokens[1:] for n in row])
    return {
        "title": title,
        "lengths": str(measured),
        "documents": documents,
        "reference": DEFAULT_PEER,
        "peaks_gflops": peaks,
        "nominal_gflop": [1e-9 * cost.nominal(row) for row in tokens[1:]],
        "needed_gflop": [1e-9 * cost.needed(row) for row in tokens[1:]],
        "engines": made,
    }


def compare_latency(
    folder: Path, names: Sequence[str], texts: Sequence[str], args: argparse.Namespace
) -> Figures:
    """Seconds of one request at a time, by number of documents, engines in turns."""
    engines, draw = workers.start(args.peers, names, folder), random.Random(0)
    made: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for documents, repeats in zip(COUNTS, args.latency_repeats, strict=True):
        requests, _ = make_requests(folder, texts, long_tailed, count=repeats, documents=documents)
        if documents == COUNTS[0]:
            for engine in engines:
                engine.ask(requests[0])
        for request in requests:
            for engine in draw.sample(engines, len(engines)):
                time.sleep(REST_S / 10)
                taken = made[engine.label].setdefault(str(documents), [])
                taken.append(engine.ask(request)["wall_s"])
        say(f"latency of {documents} documents")
    for engine in engines:
        engine.close()
    return {"engines": made}


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


def compare_http(folder: Path, texts: Sequence[str], args: argparse.Namespace) -> Figures:
    """Servers under so many clients, and our engine without a server, in turns."""
    count = args.clients * args.http_requests
    requests, tokens = make_requests(
        folder, texts, long_tailed, count=(args.rounds + 1) * count, documents=args.http_documents
    )
    bursts = [requests[i : i + count] for i in range(0, len(requests), count)]
    model = pointwise(load(resolve(str(folder))).model)
    say(f"HTTP: {args.clients} clients, {args.http_documents} documents per request")
    running = {OURS: servers.rerankd(folder, "fp32")}
    if args.int8:
        running["rerankd int8"] = servers.rerankd(folder, "int8")
    running["infinity"] = servers.infinity(args.peers / "infinity" / "bin" / "python", folder)
    turns: dict[str, Callable[[Sequence[Request]], Any]] = {
        **{name: partial(send, server, args.clients) for name, server in running.items()},
        "raw engine fp32": partial(raw_engine, model),
    }
    made: dict[str, list[Figures]] = {name: [] for name in turns}
    draw = random.Random(0)
    try:
        for turn in turns.values():
            turn(bursts[0])
        for number, burst in enumerate(bursts[1:], 1):
            for name in draw.sample(sorted(turns), len(turns)):
                time.sleep(REST_S)
                made[name].append(turns[name](burst))
            say(f"HTTP: round {number} of {args.rounds}")
    finally:
        for server in running.values():
            server.close()
        model.engine.close()
    return {
        "clients": args.clients,
        "documents": args.http_documents,
        "requests": count,
        "lengths": str(lengths([n for row in tokens[count:] for n in row])),
        "turns": made,
    }


def send(server: servers.Server, clients: int, burst: Sequence[Request]) -> Figures:
    """A burst to a server; its cost as JSON."""
    return dataclasses.asdict(server.load(burst, clients=clients))


def stages(folder: Path, texts: Sequence[str], args: argparse.Namespace) -> Figures:
    """CPU seconds of the steps of a request with 100 documents, in this process."""
    (first, *requests), _ = make_requests(
        folder, texts, long_tailed, count=args.rounds + 1, documents=100
    )
    model = pointwise(load(resolve(str(folder))).model)
    dialect, envelope = superset.DIALECT, Envelope(request_id="bench", created=0)
    made: dict[str, list[float]] = {n: [] for n in ("parse", "tokenise", "engine", "render")}
    for number, request in enumerate([first, *requests]):
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


def start_up(folder: Path, xlmr: Path, args: argparse.Namespace) -> Figures:
    """Seconds from process start to ready, and of loading the large checkpoint, files in cache."""
    made: dict[str, list[float]] = {"rerankd": [], "infinity": [], "xlmr-base load": []}
    for _ in range(min(args.rounds, 5)):
        with servers.rerankd(folder, "fp32") as server:
            made["rerankd"].append(server.ready_s)
        with servers.infinity(args.peers / "infinity" / "bin" / "python", folder) as server:
            made["infinity"].append(server.ready_s)
        loading = workers.start(args.peers, [OURS], xlmr)[0]
        loading.close()
        made["xlmr-base load"].append(loading.ready_s)
        say("start-up: a round")
    return made


def machine(peers: Path) -> Figures:
    """What the run ran on."""
    before = os.getloadavg()[0]
    command = [peers / "st" / "bin" / "python", workers.BENCH / "peers" / "torch_gemm.py"]
    torch = subprocess.run(command, env=workers.environment(), capture_output=True, check=True)  # noqa: S603
    gemm = GemmPeak(usable_cores())
    peak = max(gemm.measure() for _ in range(3))
    gemm.close()
    info = Path("/proc/cpuinfo").read_text("utf-8")
    fields = [line.partition(":") for line in info.splitlines()]
    named = {name.strip(): value.strip() for name, _, value in fields}
    flags = named.get("flags", "").split()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return {
        "cpu": named.get("model name", platform.machine()),
        "features": [flag for flag in wanted if flag in flags],
        "cores": usable_cores(),
        "python": platform.python_version(),
        "rerankd": __version__,
        "gemm_gflops": peak,
        "torch_gemm_gflops": float(torch.stdout),
        "load_at_start": before,
    }


def made_up(name: str, folder: Path) -> Path:
    """A checkpoint of the true shape but for its words, in a form that the peer reads."""
    if name == "ettin":
        return module_head.write(folder, module_head.ETTIN_32M)
    shape = dataclasses.replace(gte.GTE_MULTILINGUAL, is_published=False)
    return gte.write(folder, shape)


def compare_encoder(name: str, texts: Sequence[str], args: argparse.Namespace) -> Figures:
    """ettin-reranker-32m or gte-multilingual beside sentence-transformers' backends."""
    title = {"ettin": "ettin-reranker-32m", "gte": "gte-multilingual-reranker-base"}[name]
    with tempfile.TemporaryDirectory() as made:
        return compare_engines(
            f"{title}, long-tailed lengths",
            made_up(name, Path(made)),
            [OURS, *args.backends],
            mix=long_tailed,
            documents=args.documents,
            args=args,
            texts=texts,
        )


def main() -> None:
    """Run the chosen parts and write the file after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", type=Path, help="what setup_peers.sh made")
    parser.add_argument("models", type=Path, help="what make_checkpoint.py made")
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="read first when it is there")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--xlmr-documents", type=int, default=16)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--http-requests", type=int, default=2, help="per client and round")
    parser.add_argument("--http-documents", type=int, default=6)
    parser.add_argument("--int8", action="store_true", help="rerankd's int8 beside its fp32")
    parser.add_argument("--backends", nargs="+", default=[DEFAULT_PEER], help="of ettin and gte")
    parser.add_argument("--latency-repeats", type=int, nargs=4, default=(100, 20, 5, 1))
    parts = ("long-tailed", "uniform", "xlmr", "http", "stages", "start")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*parts, "latency", "ettin", "gte"),
        default=parts,
        help="latency, ettin and gte run only when they are named",
    )
    args = parser.parse_args()
    minilm, xlmr = args.models / "minilm-l6", args.models / "xlmr-base"
    texts = [text for folder in args.texts for text in read_texts(folder)]
    ours = [OURS, "rerankd int8"] if args.int8 else [OURS]
    peers = [name for name in workers.COMMANDS if not name.startswith("rerankd")]

    def engines(title: str, folder: Path, names: list[str], mix: Mix, documents: int) -> Figures:
        return compare_engines(
            title,
            folder,
            names,
            mix=mix,
            documents=documents,
            args=args,
            texts=texts,
        )

    steps: dict[str, Callable[[], Figures]] = {
        "long-tailed": lambda: engines(
            "MiniLM-L6, long-tailed lengths", minilm, [*ours, *peers], long_tailed, args.documents
        ),
        "uniform": lambda: engines(
            "MiniLM-L6, uniform lengths", minilm, [*ours, *peers], uniform, args.documents
        ),
        "xlmr": lambda: engines(
            "XLM-R base, long-tailed lengths",
            xlmr,
            [*ours, DEFAULT_PEER, "torch, sorted"],
            long_tailed,
            args.xlmr_documents,
        ),
        "http": lambda: compare_http(minilm, texts, args),
        "latency": lambda: compare_latency(minilm, [*ours, *peers], texts, args),
        "stages": lambda: stages(minilm, texts, args),
        "start": lambda: start_up(minilm, xlmr, args),
        "ettin": lambda: compare_encoder("ettin", texts, args),
        "gte": lambda: compare_encoder("gte", texts, args),
    }
    figures: Figures = json.loads(args.out.read_text("utf-8")) if args.out.exists() else {}
    figures["machine"] = machine(args.peers)
    figures["rounds"] = args.rounds
    for name in args.only:
        figures[name] = steps[name]()
        args.out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    say(f"written: {args.out}")


if __name__ == "__main__":
    main()
