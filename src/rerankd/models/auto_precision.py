"""`precision = "auto"`: the fastest of fp32, bf16 and int8 that agrees with fp32 on this machine.

The model is loaded in fp32, then in each other precision, one at a time, each with its whole
self-check, and scores the same pairs. So a start takes up to four loads, and the memory of fp32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import numpy as np
from msgspec.structs import replace

from rerankd.core.agreement import Vector, agreement
from rerankd.core.errors import EngineFailed, StartError
from rerankd.core.options import Precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.trial import PrecisionTrial
from rerankd.models.agreement_texts import DOCUMENTS, QUERIES
from rerankd.models.base import AnyModel, document_logits, outputs_of

# What must hold of a precision's scores against fp32's. The largest difference of a logit is held
# against the standard deviation of fp32's logits, as models differ in the size of theirs.
SPEARMAN: Final = 0.99
TOP_OVERLAP: Final = 0.95
DIFFERENCE: Final = 0.25
# A coarser precision must be faster than a finer one by so much: a difference that is not noise.
GAIN: Final = 1.1
CANDIDATES: Final[tuple[Precision, ...]] = ("bf16", "int8")  # from fine to coarse

TIME_S: Final = 10.0  # of one precision's pairs; the first query's are scored in any case
_TIMINGS: Final = 3  # of pairs as long; the fastest counts


class SelfChecked(Protocol):
    """A model that passed its self-check."""

    @property
    def model(self) -> AnyModel:
        """The model; its engine is to be closed."""
        ...


Found = TypeVar("Found", bound=SelfChecked)


def fastest(open_in: Callable[[Precision], Found]) -> tuple[Found, tuple[PrecisionTrial, ...]]:
    """The model in the fastest precision that agrees, and what was tried, fp32 first.

    Args:
        open_in: loads and checks the model in a precision; a StartError of any but fp32 is a
            reason not to take that one.

    Raises:
        StartError: it cannot be loaded in fp32, or not once more in what was chosen.
        EngineFailed: it cannot score in fp32.
    """
    held = _Held(open_in)
    try:
        exact = _scored(held.open("fp32").model, QUERIES)
        pairs = len(exact.logits) * len(DOCUMENTS)
        trials = [PrecisionTrial(precision="fp32", taken=False, pairs=pairs, speed=1.0)]
        best = trials[0]
        for precision in CANDIDATES:
            trial = _tried(held, precision, exact)
            if trial.reason is None and not _is_faster(trial, best):
                trial = replace(trial, reason=f"not {GAIN} times as fast as {best.precision}")
            if trial.reason is None:
                best = trial
            trials.append(trial)
        return held.open(best.precision), tuple(
            replace(trial, taken=trial is best) for trial in trials
        )
    except BaseException:
        held.close()
        raise


class _Held(Generic[Found]):
    """One model at a time, in one precision after the other."""

    def __init__(self, open_in: Callable[[Precision], Found]) -> None:
        self._open_in = open_in
        self._held: tuple[Precision, Found] | None = None

    def open(self, precision: Precision) -> Found:
        """The model in that precision; one in another is closed before. Raises StartError."""
        if self._held is None or self._held[0] != precision:
            self.close()
            self._held = precision, self._open_in(precision)
        return self._held[1]

    def close(self) -> None:
        """Free what is open."""
        if self._held is not None:
            self._held[1].model.engine.close()
        self._held = None


@dataclass(frozen=True, slots=True)
class _Scored:
    """Logits of the first queries, (documents,) each, and the seconds that one of them takes."""

    logits: list[Vector]
    seconds: float


def _tried(held: _Held[Found], precision: Precision, exact: _Scored) -> PrecisionTrial:
    """How a precision does beside fp32; with a reason if it must not be taken."""
    trial = PrecisionTrial(precision=precision, taken=False)
    try:
        found = _scored(held.open(precision).model, QUERIES[: len(exact.logits)])
    except (StartError, EngineFailed) as error:
        return replace(trial, reason=str(error).partition(". ")[0].removesuffix("."))
    count = len(found.logits)
    agreed = agreement(exact.logits[:count], found.logits)
    spread = float(np.std(np.concatenate(exact.logits[:count])))
    is_near = (
        agreed.spearman >= SPEARMAN
        and agreed.top_overlap >= TOP_OVERLAP
        and agreed.max_difference <= DIFFERENCE * spread
    )
    return replace(
        trial,
        pairs=count * len(DOCUMENTS),
        speed=exact.seconds / found.seconds,
        spearman=agreed.spearman,
        top_overlap=agreed.top_overlap,
        max_difference=agreed.max_difference,
        spread=spread,
        reason=None
        if is_near
        else (
            f"it must have Spearman {SPEARMAN} and same top 10 {TOP_OVERLAP} at least, and max "
            f"Δlogit {DIFFERENCE} of the standard deviation at most"
        ),
    )


def _is_faster(trial: PrecisionTrial, best: PrecisionTrial) -> bool:
    """By more than noise."""
    return trial.speed is not None and best.speed is not None and trial.speed >= GAIN * best.speed


def _scored(model: AnyModel, queries: Sequence[str]) -> _Scored:
    """Score the documents for as many of the queries as the time allows, then take their time.

    Raises EngineFailed.
    """
    started, took, logits = time.perf_counter(), 0.0, list[Vector]()
    for query in queries:
        if logits and time.perf_counter() - started + took > TIME_S:
            break
        found, took = _run(model, query, DOCUMENTS)
        logits.append(found)
    whole = time.perf_counter() - started
    timings = [whole]  # with what an engine prepares for lengths that it meets for the first time
    for turn in range(_TIMINGS):
        if time.perf_counter() - started + timings[-1] > TIME_S:
            break
        timings.append(
            sum(
                _run(model, query, [f"{text} {turn}{number}" for text in DOCUMENTS])[1]
                for number, query in enumerate(queries[: len(logits)])
            )  # other texts each time: an engine may remember those that it has seen
        )
    return _Scored(logits, min(timings) / len(logits))


def _run(model: AnyModel, query: str, documents: Sequence[str]) -> tuple[Vector, float]:
    """Logits (documents,), and the seconds that the engine took. Raises EngineFailed."""
    request = RerankRequest(
        query=Content(value=query),
        documents=tuple(Content(value=text) for text in documents),
        max_chunks_per_doc=1,
    )
    prepared = model.prepare(request)
    started = time.perf_counter()
    outputs = outputs_of(model, prepared.rows)
    took = time.perf_counter() - started
    return document_logits(model, prepared, outputs, len(documents)), took
