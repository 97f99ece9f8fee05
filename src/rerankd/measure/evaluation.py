"""Ranking quality of systems side by side. What `rerankd eval` prints.

Every system is measured on the same queries and compared with the first one, the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rerankd.core.errors import StartError
from rerankd.measure.baselines import Baseline, features, rankers
from rerankd.measure.benchmark import scores
from rerankd.measure.collection import Collection, Qrels, Run, answerable
from rerankd.measure.metrics import Ranker, Vector, measure, rerank_scored
from rerankd.measure.significance import holm, interval, p_value
from rerankd.models.load import Spec, load
from rerankd.service.reranker import Reranker

# A set's queries share candidates. With the server's bytes, 800 long documents would push one
# another out of the cache before they come again, and be encoded once per query.
VECTOR_CACHE_BYTES: Final = 1 << 30

Values = dict[str, Vector]  # measure -> one value per query
Say = Callable[[str], None]  # told what is being measured
Step = Callable[[str, int, int], None]  # told of every query: what is measured, done, of how many
Ranked = Mapping[str, Sequence[tuple[str, float]]]  # query -> documents and scores, best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One measure of one system: the mean over queries, in [0, 1]."""

    mean: float
    low: float | None  # 95 % interval; None = fewer than two queries
    high: float | None
    p: float | None = None  # against the reference, not adjusted; None = it is the reference
    p_holm: float | None = None  # adjusted for the other systems of the same table and measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All systems on one set of queries, or the mean over such sets."""

    name: str
    queries: int
    systems: dict[str, dict[str, Estimate]]  # system -> measure -> estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One system on one set: what it ranked, and what that is worth."""

    set: str
    system: str
    orders: tuple[Ranked, ...]  # several: they differ by their seed only; none: made elsewhere
    queries: tuple[str, ...]  # (Q,)
    values: Values  # the mean over the orders


Keep = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One table per set, and their mean when there are several."""

    reference: str
    measures: tuple[str, ...]
    sets: list[Table]
    mean: Table | None

    @property
    def tables(self) -> list[Table]:
        """The sets, then the mean."""
        return [*self.sets, self.mean] if self.mean else self.sets


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What ranks. Opened when its turn comes, so that one model at a time is in memory."""

    label: str
    # Label -> rankers; of several, values are averaged. More than one label: they share a model.
    open: Callable[[], AbstractContextManager[Mapping[str, Sequence[Ranker]]]]


def baseline_system(name: Baseline) -> System:
    """A simple order."""
    return System(label=name, open=lambda: nullcontext({name: rankers(name)}))


def model_system(label: str, spec: Spec, *, with_features: bool = False) -> System:
    """A model as the server would rank with it. Opening it raises StartError.

    Args:
        label: what it is called in the tables.
        spec: the model.
        with_features: also each feature of a late-interaction model alone, as `label feature`.
    """
    remembering = replace(spec, vector_cache_bytes=VECTOR_CACHE_BYTES)

    @contextmanager
    def open_model() -> Generator[Mapping[str, Sequence[Ranker]]]:
        with Reranker.of(load(remembering)) as reranker:

            def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
                return scores(reranker, query, documents).tolist()

            opened: dict[str, Sequence[Ranker]] = {label: [rank]}
            if with_features:
                for name, alone in features(reranker.model).items():
                    opened[f"{label} {name}"] = [alone]
            yield opened

    return System(label=label, open=open_model)


def evaluate(
    collections: Sequence[Collection],
    systems: Sequence[System],
    k: int,
    say: Say,
    *,
    step: Step = lambda _, __, ___: None,
    keep: Keep = lambda _: None,
) -> Report:
    """Let every system order every collection's candidates, and compare.

    Args:
        collections: the sets.
        systems: the first is the reference.
        k: cutoff of the measures.
        say: told what was measured.
        step: told of every query.
        keep: given every system's rankings and values, as soon as they are there.

    Raises:
        StartError: a collection has nothing to measure, a model cannot be loaded, or the extra
            `rerankd[eval]` is not installed.
    """
    for collection in collections:
        if not collection.candidates:
            raise StartError(f"{collection.name} has no query with a relevant document.")
    values: dict[str, dict[str, Values]] = {collection.name: {} for collection in collections}
    for system in systems:
        with system.open() as opened:
            for collection in collections:
                for label, alike in opened.items():
                    outcome = _measured(collection, label, alike, k, step)
                    values[collection.name][label] = outcome.values
                    keep(outcome)
                say(f"{system.label}: {collection.name}")
    return report(values)


def evaluate_runs(
    name: str,
    qrels: Qrels,
    runs: Mapping[str, Run],
    k: int,
    say: Say,
    *,
    keep: Keep = lambda _: None,
) -> Report:
    """Compare rankings that other programs made; `keep` is given every run's values.

    Raises:
        StartError: nothing is relevant, a run has no judged query, or the extra is not installed.
    """
    judged = [query for query, grades in qrels.items() if answerable(grades)]
    if not judged:
        raise StartError(f"{name}: no query has a relevant document (a grade above 0).")
    if len(judged) < len(qrels):
        say(f"{len(qrels) - len(judged)} queries have no relevant document: left out")
    for label, run in runs.items():
        missing = sum(query not in run for query in judged)
        if missing == len(judged):
            raise StartError(f"{label}: none of its queries is judged in {name}.")
        if missing:
            say(f"{label}: {missing} judged queries are not in it and count 0")
    values = {label: measure(qrels, run, k) for label, run in runs.items()}
    for label, found in values.items():
        keep(Outcome(set=name, system=label, orders=(), queries=tuple(judged), values=found))
    return report({name: values})


def report(values: Mapping[str, Mapping[str, Values]]) -> Report:
    """Means, intervals and p-values.

    Args:
        values: set -> system -> measure -> (Q,). The first system is the reference; all have the
            same queries in the same order.
    """
    first = next(iter(values.values()))
    reference = next(iter(first))
    tables = [_table(name, [systems]) for name, systems in values.items()]
    return Report(
        reference=reference,
        measures=tuple(first[reference]),
        sets=tables,
        mean=_table("mean", list(values.values())) if len(tables) > 1 else None,
    )


def _measured(
    collection: Collection, label: str, alike: Sequence[Ranker], k: int, step: Step
) -> Outcome:
    """What rankers that differ by their seed only rank, and per query the mean of their values."""
    qrels = {qid: collection.qrels[qid] for qid in collection.candidates}
    what, of = f"{label}: {collection.name}", len(alike) * len(qrels)
    orders: list[dict[str, list[tuple[str, float]]]] = []
    step(what, 0, of)
    for rank in alike:
        ranked: dict[str, list[tuple[str, float]]] = {}
        for qid, found in rerank_scored(collection, rank):
            ranked[qid] = found
            step(what, len(orders) * len(qrels) + len(ranked), of)
        orders.append(ranked)
    repeats = [
        measure(qrels, {qid: [document for document, _ in found] for qid, found in each.items()}, k)
        for each in orders
    ]
    return Outcome(
        set=collection.name,
        system=label,
        orders=tuple(orders),
        queries=tuple(qrels),
        values={name: np.mean([repeat[name] for repeat in repeats], axis=0) for name in repeats[0]},
    )


def _table(name: str, sets: Sequence[Mapping[str, Values]]) -> Table:
    labels = list(sets[0])
    measures = list(sets[0][labels[0]])
    systems: dict[str, dict[str, Estimate]] = {label: {} for label in labels}
    for each in measures:
        strata = {label: [systems_of[label][each] for systems_of in sets] for label in labels}
        raw = [p_value(strata[labels[0]], strata[label]) for label in labels[1:]]
        p_values = [(None, None), *zip(raw, holm(raw), strict=True)]
        for label, (p, adjusted) in zip(labels, p_values, strict=True):
            low, high = interval(strata[label]) or (None, None)
            mean = float(np.mean([values.mean() for values in strata[label]]))
            systems[label][each] = Estimate(mean=mean, low=low, high=high, p=p, p_holm=adjusted)
    queries = sum(next(iter(systems_of[labels[0]].values())).size for systems_of in sets)
    return Table(name=name, queries=queries, systems=systems)
