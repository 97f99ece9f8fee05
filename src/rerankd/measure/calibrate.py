"""Floors for models' scores, from judged collections. What `rerankd calibrate` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from msgspec import Struct

from rerankd.core.errors import StartError
from rerankd.measure.collection import Collection
from rerankd.measure.evaluation import VECTOR_CACHE_BYTES, Step
from rerankd.measure.threshold import (
    LEAST_OF_EACH,
    LEVEL,
    SEED,
    AtFloor,
    Criterion,
    CriterionName,
    JudgedScores,
    Separation,
    at_floor,
    auc_of,
    find_floor,
)
from rerankd.models.base import is_listwise
from rerankd.models.load import Spec, load
from rerankd.models.space import space_of
from rerankd.service.reranker import Reranker

LEAST_RESAMPLES: Final = 1_000
MOST_CANDIDATES: Final = 1_000_000
MOST_DRAWN: Final = 4_000_000_000  # candidates times resamples: about a minute

Rank = Callable[[str, Sequence[str]], Sequence[float]]  # query, documents (C,) -> scores (C,)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorAsk:
    """What is looked for."""

    criterion: Criterion
    grade: int = 1  # the least that is relevant
    only_judged: bool = False  # candidates that nobody judged are left out, else not relevant
    resamples: int = 2_000


class OfSet(Struct, frozen=True, kw_only=True):
    """What the floor of all collections does on one of them."""

    name: str
    queries: int
    relevant: int
    others: int
    unjudged: int  # of the others
    auc: float | None
    at_floor: AtFloor | None


class ModelFloor(Struct, frozen=True, kw_only=True):
    """One model's floor: of its score space, for no other."""

    model: str  # as it was asked for
    name: str  # as it is served
    space: str
    found: Separation
    sets: tuple[OfSet, ...]
    remarks: tuple[str, ...] = ()


class CalibrationReport(Struct, frozen=True, kw_only=True):
    """All models, each by itself."""

    criterion: CriterionName
    precision: float | None  # that is asked for
    grade: int
    only_judged: bool
    resamples: int
    models: list[ModelFloor]
    seed: int = SEED
    level: float = LEVEL  # of the intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCandidates:
    """The candidates of one collection as they are judged; of one query after the other."""

    name: str
    queries: Sequence[str]  # (Q,) ids
    documents: Sequence[Sequence[str]]  # (Q, …) ids
    texts: Collection
    relevant: Sequence[bool]  # (C,)
    unjudged: int


def labelled(collection: Collection, wanted: FloorAsk) -> JudgedCandidates:
    """Who of the candidates is relevant.

    Queries are those that somebody judged, also those without anything relevant: a floor is there
    to leave them empty.
    """
    queries: list[str] = []
    documents: list[Sequence[str]] = []
    relevant: list[bool] = []
    unjudged = 0
    for query, found in (*collection.candidates.items(), *collection.unanswered.items()):
        grades = collection.qrels[query]
        counted = [each for each in found if each in grades or not wanted.only_judged]
        if not counted:
            continue
        queries.append(query)
        documents.append(counted)
        relevant += [grades.get(each, 0) >= wanted.grade for each in counted]
        unjudged += sum(each not in grades for each in counted)
    return JudgedCandidates(
        name=collection.name,
        queries=queries,
        documents=documents,
        texts=collection,
        relevant=relevant,
        unjudged=unjudged,
    )


def calibrate(
    collections: Sequence[Collection],
    models: Sequence[tuple[str, Spec]],
    wanted: FloorAsk,
    step: Step = lambda _, __, ___: None,
) -> CalibrationReport:
    """A floor for each model.

    Args:
        collections: all together; resamples draw within each, if none is small.
        models: as they are called, and what they are.
        wanted: what is looked for.
        step: told of every query.

    Raises:
        StartError: more than can be counted, nothing is judged, or a model cannot be loaded.
    """
    sets = [labelled(collection, wanted) for collection in collections]
    _check(sets, wanted)
    criterion = wanted.criterion
    return CalibrationReport(
        criterion=criterion.name,
        precision=criterion.precision if criterion.name == "precision" else None,
        grade=wanted.grade,
        only_judged=wanted.only_judged,
        resamples=wanted.resamples,
        models=[_of_model(label, spec, sets, wanted, step) for label, spec in models],
    )


def scored(
    sets: Sequence[JudgedCandidates], rank: Rank, told: Callable[[int, int], None]
) -> list[JudgedScores]:
    """Let a model score all candidates, collection by collection."""
    made: list[JudgedScores] = []
    done, of = 0, sum(len(each.queries) for each in sets)
    for each in sets:
        scores: list[float] = []
        owners: list[int] = []
        for place, (query, documents) in enumerate(zip(each.queries, each.documents, strict=True)):
            told(done, of)
            texts = [each.texts.documents[document] for document in documents]
            scores += rank(each.texts.queries[query], texts)
            owners += [place] * len(documents)
            done += 1
        made.append(
            JudgedScores(
                scores=np.asarray(scores, dtype=np.float64),
                relevant=np.asarray(each.relevant, dtype=np.bool_),
                query=np.asarray(owners, dtype=np.intp),
                stratum=np.zeros(len(each.queries), dtype=np.intp),
            )
        )
    return made


def together(parts: Sequence[JudgedScores]) -> JudgedScores:
    """Several collections as one, each a stratum.

    If one is small, such as of a single query, which is always drawn, there is one stratum.
    """
    is_parted = all(part.stratum.size >= LEAST_OF_EACH for part in parts)
    begins = np.cumsum([0, *(part.stratum.size for part in parts)])
    return JudgedScores(
        scores=np.concatenate([part.scores for part in parts]),
        relevant=np.concatenate([part.relevant for part in parts]),
        query=np.concatenate([p.query + b for p, b in zip(parts, begins, strict=False)]),
        stratum=np.concatenate(
            [np.full(p.stratum.size, i * is_parted) for i, p in enumerate(parts)]
        ),
    )


def _check(sets: Sequence[JudgedCandidates], wanted: FloorAsk) -> None:
    """Refuse what would take too long, before a model works. Raises StartError."""
    for each in sets:
        if not each.queries:
            raise StartError(f"{each.name}: no query has a judged candidate.")
    candidates = sum(len(each.relevant) for each in sets)
    if candidates > MOST_CANDIDATES:
        raise StartError(f"{candidates} candidates: at most {MOST_CANDIDATES} at once.")
    most = max(LEAST_RESAMPLES, MOST_DRAWN // candidates)
    if not LEAST_RESAMPLES <= wanted.resamples <= most:
        raise StartError(
            f"--resamples {wanted.resamples}: from {LEAST_RESAMPLES} to {most} for {candidates} "
            "candidates."
        )


def _of_model(
    label: str, spec: Spec, sets: Sequence[JudgedCandidates], wanted: FloorAsk, step: Step
) -> ModelFloor:
    remembering = replace(spec, vector_cache_bytes=VECTOR_CACHE_BYTES)
    with Reranker.of(load(remembering)) as reranker:

        def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
            hits = sorted(reranker.rank(query, documents), key=lambda hit: hit.index)
            return [hit.score for hit in hits]

        parts = scored(sets, rank, lambda done, of: step(label, done, of))
        space = space_of(reranker.model, spec.folder, spec.options.prompt)
        remarks = (_LISTWISE,) if is_listwise(reranker.model) else ()
    found = find_floor(together(parts), wanted.criterion, wanted.resamples)
    return ModelFloor(
        model=label,
        name=spec.name,
        space=space,
        found=found,
        sets=tuple(_of_set(*both, found) for both in zip(sets, parts, strict=True)),
        remarks=remarks,
    )


def _of_set(given: JudgedCandidates, part: JudgedScores, found: Separation) -> OfSet:
    relevant = int(part.relevant.sum())
    return OfSet(
        name=given.name,
        queries=len(given.queries),
        relevant=relevant,
        others=part.relevant.size - relevant,
        unjudged=given.unjudged,
        auc=auc_of(part),
        at_floor=None if found.floor is None else at_floor(part, found.floor.value),
    )


_LISTWISE: Final = (
    "Listwise: a score depends on the documents beside it, so the floor holds for lists like these."
)
