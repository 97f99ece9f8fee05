"""Measures loaded models side by side: speed, latency, agreement. What `rerankd bench` prints.

All variants of a model are loaded at once and take turns in shuffled order within every round, so
that a slow minute of the machine hits each of them; compare figures of one run only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from rerankd.core.agreement import Agreement, agreement
from rerankd.core.request import Content, RerankRequest
from rerankd.core.trial import PrecisionTrial
from rerankd.measure.collection import Collection
from rerankd.measure.flops import LayerCost, layer_cost
from rerankd.measure.metrics import mean_ndcg
from rerankd.measure.spread import Spread, percentile, spread
from rerankd.measure.workload import Request, row_tokens
from rerankd.models.load import Loaded, Spec, load
from rerankd.service.reranker import Reranker

Scores = npt.NDArray[np.float64]  # (documents,), logits in document order
Step = Callable[[int, int], None]  # told how far it is: done, of how many
_REST_S = 0.1  # threads that multiplied for the peak spin a little before they sleep


@dataclass(slots=True, eq=False)
class Variant:
    """One way to run a model, loaded."""

    label: str
    reranker: Reranker
    cost: LayerCost | None  # None = not a checkpoint
    load_s: float  # self-check included
    trials: tuple[PrecisionTrial, ...] = ()  # of precision = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Throughput of one variant over the rounds."""

    pairs_per_s: Spread
    pairs_per_cpu_s: Spread
    peak_share: Spread | None  # of the fp32 GEMM peak of its round; every layer counted whole
    needed_share: Spread | None  # the same, the last layer counted only where it is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds of requests with so many documents, one at a time."""

    documents: int
    repeats: int
    p50_s: float
    p99_s: float  # the maximum when there are fewer than 100 repeats


@dataclass(slots=True, kw_only=True)
class Round:
    """One variant's turn on one request."""

    pairs: int
    wall_s: float
    cpu_s: float
    scores: Scores


@dataclass(slots=True)
class Rounds:
    """Every variant's turns, round by round, and the machine's peak in each round."""

    requests: list[Request]
    turns: dict[str, list[Round]] = field(default_factory=dict[str, list[Round]])
    peaks: list[float] = field(default_factory=list[float])  # GFLOP/s; empty = not measured


@contextmanager
def loaded(
    specs: Mapping[str, Spec], open_spec: Callable[[Spec], Loaded] = load
) -> Generator[dict[str, Variant]]:
    """All variants by label, freed at the end. Raises StartError."""
    variants: dict[str, Variant] = {}
    try:
        for label, spec in specs.items():
            started = time.perf_counter()
            opened = open_spec(spec)
            reranker = Reranker.of(opened)
            took = time.perf_counter() - started
            cost = layer_cost(spec.folder) if spec.folder else None
            variants[label] = Variant(label, reranker, cost, took, opened.trials)
        yield variants
    finally:
        for variant in variants.values():
            variant.reranker.close()


def scores(reranker: Reranker, query: str, documents: Sequence[str]) -> Scores:
    """Logits (documents,) in document order."""
    request = RerankRequest(
        query=Content(value=query),
        documents=tuple(Content(value=text) for text in documents),
        raw_scores=True,
    )
    made = np.empty(len(documents))
    for hit in reranker.rerank(request).hits:
        made[hit.index] = hit.logit
    return made


def run_rounds(
    variants: Mapping[str, Variant],
    requests: Sequence[Request],
    *,
    peak: Callable[[], float] | None,
    seed: int = 0,
    step: Step = lambda _, __: None,
) -> Rounds:
    """One round per request: every variant scores it, in shuffled order.

    Args:
        variants: by label; each is warmed by the first request, uncounted.
        requests: one per round.
        peak: measures the machine's GFLOP/s; called once per round. None = leave it out.
        seed: of the order.
        step: told of every round.
    """
    draw = random.Random(seed)
    rounds = Rounds(list(requests), {label: [] for label in variants})
    for variant in variants.values():
        scores(variant.reranker, requests[0].query, requests[0].documents)
    for number, request in enumerate(requests):
        step(number, len(requests))
        if peak is not None:
            rounds.peaks.append(peak())
            time.sleep(_REST_S)
        for label in draw.sample(sorted(variants), len(variants)):
            wall, cpu = time.perf_counter(), time.process_time()
            made = scores(variants[label].reranker, request.query, request.documents)
            turn = Round(
                pairs=len(request.documents),
                wall_s=time.perf_counter() - wall,
                cpu_s=time.process_time() - cpu,
                scores=made,
            )
            rounds.turns[label].append(turn)
    step(len(requests), len(requests))
    return rounds


def speed(variant: Variant, rounds: Rounds) -> Speed:
    """What the rounds say of one variant."""
    turns = rounds.turns[variant.label]
    nominal: list[float] = []
    needed: list[float] = []
    if variant.cost is not None:
        for turn, request, peak in zip(turns, rounds.requests, rounds.peaks, strict=False):
            tokens = row_tokens(variant.reranker.model, request)
            available = turn.wall_s * peak * 1e9
            nominal.append(variant.cost.nominal(tokens) / available)
            needed.append(variant.cost.needed(tokens) / available)
    return Speed(
        pairs_per_s=spread([turn.pairs / turn.wall_s for turn in turns]),
        pairs_per_cpu_s=spread([turn.pairs / max(turn.cpu_s, 1e-9) for turn in turns]),
        peak_share=spread(nominal) if nominal else None,
        needed_share=spread(needed) if needed else None,
    )


def agreements(rounds: Rounds, reference: str) -> dict[str, Agreement]:
    """Every other variant's scores against the reference's."""
    of = {label: [turn.scores for turn in turns] for label, turns in rounds.turns.items()}
    return {
        label: agreement(of[reference], made) for label, made in of.items() if label != reference
    }


def latency(
    reranker: Reranker, requests: Iterator[Request], *, seconds: float, repeats: int
) -> Latency:
    """Time requests one after the other.

    Args:
        reranker: what is timed; warm.
        requests: all with the same number of documents; at least one is taken.
        seconds: stop after so long.
        repeats: stop after so many.
    """
    taken: list[float] = []
    documents = 0
    for request in islice(requests, repeats):
        documents = len(request.documents)
        started = time.perf_counter()
        scores(reranker, request.query, request.documents)
        taken.append(time.perf_counter() - started)
        if sum(taken) > seconds:
            break
    return Latency(
        documents=documents,
        repeats=len(taken),
        p50_s=percentile(taken, 0.5),
        p99_s=percentile(taken, 0.99),
    )


def quality(reranker: Reranker, collection: Collection, queries: int) -> float:
    """Mean nDCG@10, in [0, 1], over the collection's first `queries` queries."""
    some = dict(islice(collection.candidates.items(), queries))
    return mean_ndcg(
        replace(collection, candidates=some),
        lambda query, documents: scores(reranker, query, documents).tolist(),
    )
