"""rerankd beside what people install today, in one run on this machine: figures as JSON.

    bench/setup_peers.sh PEERS
    python bench/make_checkpoint.py MINILM PAIRS MODELS
    PEERS/st-onnx/bin/python bench/peers/export_onnx.py MODELS/minilm-l6
    PEERS/st-openvino/bin/python bench/peers/export_openvino.py MODELS/minilm-l6
    python bench/compare.py PEERS MODELS --texts DIR --before CHECKOUT --out compare.json
    python bench/compare.py PEERS MODELS --texts DIR --out compare.json --only latency
    python bench/report.py compare.json --write docs/benchmarks.md
    python bench/compare.py PEERS MODELS --texts DIR --out encoders.json --only ettin gte

Every round brings a new request; all engines score it in shuffled order, each in a process of its
own with both the wall clock and the CPU time of that process, while the others sleep. The machine
must be idle otherwise. CHECKOUT is an earlier commit with its .venv: it then runs beside.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from comparing import serving
from comparing.engines import Contest, compare, compare_latency
from comparing.machine import machine
from comparing.progress import Figures, say
from shared.workers import AVX2_ONLY, DEFAULT_PEER, OURS, PEERS, Peer, before

from rerankd.measure.texts import read_texts
from rerankd.measure.workload import uniform
from tests.checkpoints import gte, module_head

COUNTS = (1, 10, 100, 1000)  # documents, for latency
PRECISIONS = ("fp32", "bf16", "int8")
BY_DEFAULT = ("long-tailed", "uniform", "xlmr", "avx2", "http", "latency", "stages", "start")
WHEN_NAMED = ("ettin", "gte")


def made_up(name: str, folder: Path) -> Path:
    """A checkpoint of the true shape but for its words, in a form that the peer reads."""
    if name == "ettin":
        return module_head.write(folder, module_head.ETTIN_32M)
    shape = dataclasses.replace(gte.GTE_MULTILINGUAL, is_published=False)
    return gte.write(folder, shape)


def compare_encoder(
    name: str, contest: Callable[..., Contest], backends: Sequence[str], ours: Mapping[str, Peer]
) -> Figures:
    """ettin-reranker-32m or gte-multilingual beside sentence-transformers' backends."""
    title = {"ettin": "ettin-reranker-32m", "gte": "gte-multilingual-reranker-base"}[name]
    chosen = {**ours, **{each: PEERS[each] for each in backends}}
    with tempfile.TemporaryDirectory() as made:
        folder = made_up(name, Path(made))
        return compare(contest(title=f"{title}, long-tailed lengths", folder=folder, chosen=chosen))


def steps(args: argparse.Namespace) -> dict[str, Callable[[], Figures]]:
    """Every part by name."""
    minilm, xlmr = args.models / "minilm-l6", args.models / "xlmr-base"
    texts = [text for folder in args.texts for text in read_texts(folder)]
    now = {f"rerankd {each}": PEERS[f"rerankd {each}"] for each in args.precisions}
    ours = {**now, **(before(args.before) if args.before else {})}
    peers = {name: peer for name, peer in PEERS.items() if not name.startswith("rerankd")}
    torch = {name: peers[name] for name in (DEFAULT_PEER, "torch, sorted")}
    few = {name: peers[name] for name in (DEFAULT_PEER, "sentence-transformers OpenVINO")}
    # bf16 is not there, and an earlier int8 that is compiled for VNNI does not run without
    old = {n: p for n, p in now.items() if p.precision != "bf16"} | few
    old |= {n: p for n, p in ours.items() if p.precision == "fp32"}
    contest = partial(
        Contest, peers=args.peers, texts=texts, documents=args.documents, rounds=args.rounds
    )
    minilm_mix = partial(contest, folder=minilm)
    return {
        "long-tailed": lambda: compare(
            minilm_mix(title="MiniLM-L6, long-tailed lengths", chosen=ours | peers)
        ),
        "uniform": lambda: compare(
            minilm_mix(title="MiniLM-L6, uniform lengths", chosen=ours | peers, mix=uniform)
        ),
        "xlmr": lambda: compare(
            contest(
                title="XLM-R base, long-tailed lengths",
                folder=xlmr,
                chosen=ours | torch,
                documents=args.xlmr_documents,
            )
        ),
        "avx2": lambda: compare(
            minilm_mix(
                title="AVX2 only: MiniLM-L6, uniform lengths",
                chosen=old,
                mix=uniform,
                more=AVX2_ONLY,
            )
        ),
        "http": lambda: serving.compare_http(
            serving.Burst(
                folder=minilm,
                peers=args.peers,
                texts=texts,
                precisions=args.precisions,
                clients=args.clients,
                requests=args.http_requests,
                documents=args.http_documents,
                rounds=args.rounds,
            )
        ),
        "latency": lambda: compare_latency(
            minilm_mix(title="latency", chosen=now | peers),
            {count: n for count, n in zip(COUNTS, args.latency_repeats, strict=True) if n},
        ),
        "stages": lambda: serving.stages(minilm, texts, args.rounds),
        "start": lambda: serving.start_up(minilm, xlmr, args.peers, args.rounds),
        **{
            name: partial(compare_encoder, name, contest, args.backends, {OURS: PEERS[OURS]})
            for name in WHEN_NAMED
        },
    }


def main() -> None:
    """Run the chosen parts and write the file after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", type=Path, help="what setup_peers.sh made")
    parser.add_argument("models", type=Path, help="what make_checkpoint.py made")
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="read first when it is there")
    parser.add_argument("--before", type=Path, help="an earlier checkout with its .venv")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--xlmr-documents", type=int, default=16)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--http-requests", type=int, default=2, help="per client and round")
    parser.add_argument("--http-documents", type=int, default=6)
    parser.add_argument("--backends", nargs="+", default=[DEFAULT_PEER], help="of ettin and gte")
    parser.add_argument(
        "--latency-repeats", type=int, nargs=4, default=(100, 20, 5, 1), help="0 leaves one out"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*BY_DEFAULT, *WHEN_NAMED),
        default=BY_DEFAULT,
        help="ettin and gte run only when they are named",
    )
    args = parser.parse_args()
    figures: Figures = json.loads(args.out.read_text("utf-8")) if args.out.exists() else {}
    known = steps(args)
    figures["machine"] = machine(args.peers)
    figures["rounds"] = args.rounds
    for name in args.only:
        figures[name] = known[name]()
        args.out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    say(f"written: {args.out}")


if __name__ == "__main__":
    main()
