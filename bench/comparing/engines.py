"""Engines side by side on the same requests, in turns: throughput with agreement, and latency."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared import workers
from shared.workers import DEFAULT_PEER, NOTHING, Peer, Worker

from comparing.progress import REST_S, Figures, say
from rerankd.core.agreement import agreement
from rerankd.measure.flops import layer_cost
from rerankd.measure.workload import Maker, Mix, Request, lengths, long_tailed, pair_tokens
from rerankd.models.base import pointwise
from rerankd.models.load import load, resolve


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who is compared on what."""

    title: str
    folder: Path  # of the checkpoint
    peers: Path  # what setup_peers.sh made
    chosen: Mapping[str, Peer]
    texts: Sequence[str]
    mix: Mix = long_tailed
    documents: int = 50
    rounds: int = 10
    reference: str = DEFAULT_PEER  # whose scores are the truth and whose time the yardstick
    more: Mapping[str, str] = field(default_factory=lambda: NOTHING)  # to every environment


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


def gemm_worker(more: Mapping[str, str] = NOTHING) -> Worker:
    """A process that measures matrix products, ready."""
    made = Worker("gemm", Path(sys.executable), "gemm_worker.py", more=more)
    made.wait()
    return made


def compare(contest: Contest) -> Figures:
    """Alternate engines on the same requests; one uncounted round first."""
    requests, tokens = make_requests(
        contest.folder,
        contest.texts,
        contest.mix,
        count=contest.rounds + 1,
        documents=contest.documents,
    )
    say(f"{contest.title}: starting {len(contest.chosen)} engines")
    engines = workers.start(contest.peers, contest.chosen, contest.folder, contest.more)
    gemm, draw = gemm_worker(contest.more), random.Random(0)
    for engine in engines:
        engine.ask(requests[0])
    answers: dict[str, list[workers.Answer]] = {name: [] for name in contest.chosen}
    peaks: list[dict[str, float]] = []
    for number, request in enumerate(requests[1:], 1):
        time.sleep(REST_S)
        peaks.append(gemm.told("measure"))
        for engine in draw.sample(engines, len(engines)):
            time.sleep(REST_S)
            answers[engine.label].append(engine.ask(request))
        say(f"{contest.title}: round {number} of {contest.rounds}")
    for running in (gemm, *engines):
        running.close()
    cost = layer_cost(contest.folder)
    return {
        "title": contest.title,
        "lengths": str(lengths([n for row in tokens[1:] for n in row])),
        "documents": contest.documents,
        "reference": contest.reference,
        "peaks_gflops": {name: [peak[name] for peak in peaks] for name in peaks[0]},
        "nominal_gflop": [1e-9 * cost.nominal(row) for row in tokens[1:]],
        "needed_gflop": [1e-9 * cost.needed(row) for row in tokens[1:]],
        "engines": _figures(contest, engines, answers),
    }


def _figures(
    contest: Contest, engines: Sequence[Worker], answers: Mapping[str, Sequence[workers.Answer]]
) -> Figures:
    """Of every engine: the seconds of each round, and how its scores agree with the reference."""
    truth = [answer["scores"] for answer in answers[contest.reference]]
    made: Figures = {}
    for engine in engines:
        turns = answers[engine.label]
        same = agreement(truth, [answer["scores"] for answer in turns])
        made[engine.label] = {
            "precision": contest.chosen[engine.label].precision,
            "ready_s": engine.ready_s,
            "wall_s": [answer["wall_s"] for answer in turns],
            "cpu_s": [answer["cpu_s"] for answer in turns],
            "spearman": same.spearman,
            "top_10": same.top_overlap,
            "max_difference": same.max_difference,
        }
    return made


def compare_latency(contest: Contest, repeats: Mapping[int, int]) -> Figures:
    """Seconds of one request at a time, engines in turns.

    Args:
        contest: its documents, mix and rounds are not used.
        repeats: documents of a request -> how many requests of so many.
    """
    engines = workers.start(contest.peers, contest.chosen, contest.folder)
    draw = random.Random(0)
    made: dict[str, dict[str, list[float]]] = {name: {} for name in contest.chosen}
    for place, (documents, count) in enumerate(repeats.items()):
        requests, _ = make_requests(
            contest.folder, contest.texts, long_tailed, count=count, documents=documents
        )
        if place == 0:
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
