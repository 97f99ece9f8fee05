"""Decoders in bf16 and int8 against fp32 of another checkout, and against llama.cpp.

A made-up checkpoint of Qwen3-Reranker-0.6B's shape is written once, in bf16, and every way reads it
in a process of its own; rounds alternate, CPU seconds of the process, per document.

    python bench/decoders.py --before CHECKOUT --llama PYTHON --rounds 10 --markdown decoders.md

CHECKOUT has an environment in .venv; PYTHON is that of bench/setup_peers.sh's llama. Either may be
left out: without a checkout fp32 is this one's.

"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from made_decoder import (
    EPS,
    HEAD_DIM,
    NO,
    SIZES,
    THETA,
    VOCAB,
    YES,
    config,
    documents,
    write,
)

Run = Callable[[list[list[int]]], list[float]]


def cpu_s() -> float:
    """Of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> dict[str, float]:
    """Megabytes by kind: private ("RssAnon"), and pages of files ("RssFile")."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = dict(line.split(":", 1) for line in lines)
    kinds = ("VmRSS", "RssAnon", "RssFile", "VmHWM")
    return {kind: int(found[kind].split()[0]) / 1024 for kind in kinds}


class Ours:
    """DecoderEngine of the checkout that this process imports."""

    def __init__(self, folder: Path, precision: str, *, before: bool) -> None:
        from rerankd.engines.decoder import DecoderConfig
        from rerankd.engines.openvino.decoder_engine import DecoderEngine
        from rerankd.models.weights import SafetensorsFolder

        made = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes = DecoderConfig(
            architecture="qwen3",
            hidden=made["hidden_size"],
            layers=made["num_hidden_layers"],
            heads=made["num_attention_heads"],
            kv_heads=made["num_key_value_heads"],
            head_dim=HEAD_DIM,
            intermediate=made["intermediate_size"],
            vocab=VOCAB,
            max_length=40960,
            rms_norm_eps=EPS,
            rope_theta=THETA,
            attention_bias=False,
            output_bias=False,
            tied=True,
        )
        more: dict[str, Any] = {} if before else {"precision": precision}
        kept: dict[str, Any] = {} if precision != "int8" else {"are_kept": False}
        weights: Any = SafetensorsFolder(folder, prefix="model.", **kept)
        words = "types" if before else "rows"
        self._row: Any = importlib.import_module(f"rerankd.core.{words}").Row
        self._engine: Any = DecoderEngine(sizes, weights, yes=YES, no=NO, **more)
        if precision == "int8":  # as models.causal_yes_no does
            weights.let_go()

    def __call__(self, rows: list[list[int]]) -> list[float]:
        """Logits; nothing of an earlier call is remembered."""
        self._engine._cache.clear()  # noqa: SLF001
        made = [self._row(np.array(ids, dtype=np.int32), len(ids)) for ids in rows]
        return self._engine.forward(made)[:, 0].tolist()


def work(folder: Path, way: str) -> None:
    """One way: a line of rows in, a line of logits and CPU seconds out."""
    answers, sys.stdout = sys.stdout, sys.stderr
    started = cpu_s()
    kind, _, precision = way.partition(":")
    run: Run
    if kind == "llama":
        run = importlib.import_module("peers.llama").Llama(folder, precision)
    else:
        run = Ours(folder, precision, before=kind == "before")
    report: dict[str, Any] = {"load_s": cpu_s() - started, **resident()}
    print(json.dumps(report), file=answers, flush=True)
    for line in sys.stdin:
        rows = json.loads(line)
        began, clock = cpu_s(), time.perf_counter()
        logits = run(rows)
        found = {"cpu_s": cpu_s() - began, "wall_s": time.perf_counter() - clock}
        print(json.dumps({"logits": logits, **found, **resident()}), file=answers, flush=True)


@dataclass
class Worker:
    """A way in a process of its own."""

    name: str
    process: subprocess.Popen[str]
    loaded: dict[str, float]
    seconds: list[float]  # CPU, per document
    walls: list[float]
    last: dict[str, Any]

    @classmethod
    def start(cls, name: str, way: str, python: str, folder: Path, source: Path) -> Worker:
        """Load, one after the other, so that loads do not disturb one another."""
        process = subprocess.Popen(  # noqa: S603 - what the caller names
            [python, str(Path(__file__).resolve()), "--worker", way, "--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source)},
        )
        worker = cls(name, process, {}, [], [], {})
        worker.loaded = worker.read()
        return worker

    def read(self) -> dict[str, Any]:
        """The next line."""
        out: IO[str] | None = self.process.stdout
        line = out.readline() if out is not None else ""
        if not line:
            raise RuntimeError(f"{self.name} ended")
        return json.loads(line)

    def run(self, rows: list[list[int]]) -> dict[str, Any]:
        """Logits and seconds of rows."""
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(rows) + "\n")
            self.process.stdin.flush()
        self.last = self.read()
        return self.last

    def timed(self, rows: list[list[int]]) -> None:
        """One round."""
        found = self.run(rows)
        self.seconds.append(found["cpu_s"] / len(rows))
        self.walls.append(found["wall_s"] / len(rows))

    def stop(self) -> None:
        """End it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(30)


def agreed(found: list[list[float]], wanted: list[list[float]]) -> str:
    """Spearman, overlap of the ten best, and largest difference, of some requests."""
    from rerankd.core.agreement import agreement  # here: the peer's environment has no rerankd

    each = agreement(wanted, found)
    return f"{each.spearman:.4f} | {each.top_overlap:.2f} | {each.max_difference:.3f}"


def table(workers: list[Worker], agreements: dict[str, str]) -> list[str]:
    """One line a way."""
    first = workers[0]
    peers = [worker for worker in workers if worker.name.startswith("llama")]
    best = min(peers, key=lambda peer: statistics.median(peer.seconds), default=None)

    def over(worker: Worker, other: Worker | None) -> str:
        if other is None:
            return "-"
        ratios = [b / a for a, b in zip(worker.seconds, other.seconds, strict=True)]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"

    head = (
        f"| way | documents per CPU s | × {first.name} | × llama.cpp's best | Spearman | top 10 "
        "| max Δ logit | private MB after load | after a batch | pages of files, MB |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for worker in workers:
        lines += [
            (
                f"| {worker.name} | {1 / statistics.median(worker.seconds):.2f} "
                f"| {over(worker, first)} "
                f"| {over(worker, best)} | {agreements[worker.name]} "
                f"| {worker.loaded['RssAnon']:.0f} "
                f"| {worker.last['RssAnon']:.0f} | {worker.last['RssFile']:.0f} |"
            )
        ]
    return lines


def main() -> None:
    """Write the checkpoint, run all ways in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout with .venv, for fp32")
    parser.add_argument("--llama", help="a Python that has llama-cpp-python")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--peer-documents", type=int, default=11)
    parser.add_argument("--agreement-requests", type=int, default=5)
    parser.add_argument("--agreement-documents", type=int, default=24, help="of each request")
    parser.add_argument("--tokens", type=int, default=120, help="of each document")
    parser.add_argument("--prefix", type=int, default=60)
    parser.add_argument("--size", choices=tuple(SIZES), default="0.6B")
    parser.add_argument("--layers", type=int, help="as many as the model has, if left out")
    parser.add_argument("--precisions", default="bf16,int8")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--folder", type=Path, help="where the checkpoint lies or is written to")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.folder, args.worker)
        return
    with tempfile.TemporaryDirectory() as made:
        folder: Path = args.folder or Path(made)
        if not (folder / "model.safetensors").exists():
            folder.mkdir(exist_ok=True)
            write(folder, config(args.size, args.layers))
        text = compare(args, folder)
    if args.markdown is not None:
        args.markdown.write_text(text, encoding="utf-8")
    print(text)


def compare(args: argparse.Namespace, folder: Path) -> str:
    """The section."""
    here = Path(__file__).resolve().parents[1] / "src"
    ways = [("fp32", "ours:fp32", sys.executable, here)]
    if args.before is not None:
        python = str(args.before / ".venv" / "bin" / "python")
        ways = [("before (fp32)", "before:fp32", python, args.before / "src")]
    ways += [(each, f"ours:{each}", sys.executable, here) for each in args.precisions.split(",")]
    if args.llama:
        ways += [
            (f"llama.cpp {each}", f"llama:{each}", args.llama, here) for each in ("bf16", "Q8_0")
        ]
    workers = [Worker.start(*way[:3], folder, way[3]) for way in ways]
    agreements: dict[str, str] = {}
    wanted: list[list[float]] = []
    requests = [
        documents(args.prefix + each, args.agreement_documents, args.tokens)
        for each in range(1, args.agreement_requests + 1)
    ]
    for worker in workers:
        count = args.peer_documents if worker.name.startswith("llama") else None
        asked = requests[:1] if count else requests
        found = [worker.run(rows[:count])["logits"] for rows in asked]
        wanted = wanted or found
        agreements[worker.name] = agreed(found, [each[:count] for each in wanted[: len(asked)]])
    rows = documents(args.prefix, args.documents, args.tokens)
    for _ in range(args.rounds):
        for worker in workers:
            is_peer = worker.name.startswith("llama")
            worker.timed(rows[: args.peer_documents] if is_peer else rows)
    for worker in workers:
        worker.stop()
    made = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    lines = [
        "## Decoders: bf16 and int8",
        "",
        (
            f"Qwen3-Reranker-{args.size}'s shape, {made['num_hidden_layers']} layers, made-up "
            f"weights with loud channels (bench/made_decoder.py), {args.documents} documents of "
            f"{args.tokens} tokens behind {args.prefix}, {args.rounds} alternating rounds, "
            f"{len(os.sched_getaffinity(0))} threads; llama.cpp by {args.peer_documents} documents "
            f"a round, per document. Agreement with fp32 over {args.agreement_requests} requests "
            f"of {args.agreement_documents} documents, whose logits' standard deviation is "
            f"{np.std(wanted, axis=1).mean():.2f}; llama.cpp's over {args.peer_documents}."
        ),
        "",
        *table(workers, agreements),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
