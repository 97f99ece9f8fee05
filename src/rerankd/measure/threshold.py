"""A floor for scores: which one parts relevant from other candidates best, and how sure that is.

Everything is counted over candidates: they are what a floor keeps or drops. Resamples draw whole
queries, since the candidates of one query are alike: Efron & Tibshirani, An Introduction to the
Bootstrap, 1993, ch. 13. Scores of one space only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
CriterionName = Literal["youden", "f1", "precision"]

LEVEL: Final = 0.95
SEED: Final = 0
LEAST_OF_EACH: Final = 10  # relevant candidates, others, and queries that have a relevant one
LEAST_AUC: Final = 0.8  # of the lower end of its interval
MOST_BETWEEN: Final = 0.25  # of the relevant, or of the others, between the ends of the interval
_MOST_WITHOUT: Final = 0.05  # of the resamples that have no floor
_CELLS: Final = 1 << 21  # counts at once: some tens of megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedScores:
    """Candidates with scores, C of Q queries."""

    scores: Floats  # (C,)
    relevant: Bools  # (C,)
    query: Ints  # (C,), from 0 to Q - 1
    stratum: Ints  # (Q,): resamples draw queries within each


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """What the best floor is."""

    name: CriterionName = "youden"
    precision: float = 0.0  # "precision": what is kept has at least so much


class Interval(Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


class AtFloor(Struct, frozen=True, kw_only=True):
    """What a floor does, in shares of 1; None where there is nothing to take a share of."""

    precision: float | None  # of what is kept: how much is relevant
    recall: float | None  # of what is relevant: how much is kept
    kept: float | None  # of all candidates


class Separation(Struct, frozen=True, kw_only=True):
    """A floor, or why there is none."""

    queries: int
    relevant: int
    others: int
    auc: Interval | None  # None: relevant ones or others are missing
    floor: Interval | None  # None: no clean separation, for the reasons below
    at_floor: AtFloor | None
    reasons: tuple[str, ...] = ()


def find_floor(scored: JudgedScores, criterion: Criterion, resamples: int) -> Separation:
    """The best floor of scores; a candidate is kept when its score is at least that.

    youden: the largest difference of the shares that are kept of the relevant and of the others
    (Youden, Cancer 3(1), 1950). f1: the largest F1. precision: the most relevant ones kept with at
    least that precision. Of equally good floors the lowest.

    There is none, and `reasons` say why, when there are fewer than LEAST_OF_EACH relevant ones,
    others, or queries with a relevant one; when the AUC's interval begins below LEAST_AUC; when
    over MOST_BETWEEN of the relevant, or of the others, score between the ends of the floor's
    interval; when over 5 % of the resamples have no floor.
    """
    relevant, others = int(scored.relevant.sum()), int((~scored.relevant).sum())
    nothing = Separation(
        queries=scored.stratum.size,
        relevant=relevant,
        others=others,
        auc=None,
        floor=None,
        at_floor=None,
        reasons=tuple(_too_few(scored)),
    )
    if not relevant or not others:
        return nothing
    levels = _Levels.of(scored)
    once = levels.counted(np.ones((1, scored.stratum.size)))
    drawn = [_drawn(each, criterion) for each in _resampled(levels, scored.stratum, resamples)]
    auc = _interval(float(_auc(once)[0]), np.concatenate([aucs for aucs, _ in drawn]))
    best = float(_floors(once, criterion)[0])
    floor, doubts = _judged(scored, best, np.concatenate([floors for _, floors in drawn]))
    reasons = (*nothing.reasons, *_blurred(auc), *doubts)
    if floor is None or reasons:
        return replace(nothing, auc=auc, reasons=reasons)
    return replace(nothing, auc=auc, floor=floor, at_floor=at_floor(scored, floor.value))


def _too_few(scored: JudgedScores) -> Iterator[str]:
    counts = {
        "relevant candidates": scored.relevant.sum(),
        "others": (~scored.relevant).sum(),
        "queries with a relevant candidate": np.unique(scored.query[scored.relevant]).size,
    }
    for what, count in counts.items():
        if count < LEAST_OF_EACH:
            yield f"{count} {what}: at least {LEAST_OF_EACH} are needed."


def _blurred(auc: Interval) -> Iterator[str]:
    if auc.low < LEAST_AUC:
        yield f"The AUC's interval begins at {auc.low:.3f}: below {LEAST_AUC:g}."


def at_floor(scored: JudgedScores, floor: float) -> AtFloor:
    """What a floor keeps."""
    kept = scored.scores >= floor
    both = float((kept & scored.relevant).sum())

    def share(of: float, whole: float) -> float | None:
        return of / whole if whole else None

    return AtFloor(
        precision=share(both, float(kept.sum())),
        recall=share(both, float(scored.relevant.sum())),
        kept=share(float(kept.sum()), float(kept.size)),
    )


def auc_of(scored: JudgedScores) -> float | None:
    """How often a relevant candidate scores above another one, ties half; None: one class only."""
    if scored.relevant.all() or not scored.relevant.any():
        return None
    return float(_auc(_Levels.of(scored).counted(np.ones((1, scored.stratum.size))))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Candidates by score: B resamples, G distinct scores."""

    levels: Floats  # (G,), rising
    relevant: Floats  # (B, G)
    others: Floats  # (B, G)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """Candidates in the order of their scores."""

    levels: Floats  # (G,), rising
    starts: Ints  # (G,), where each begins in what follows
    query: Ints  # (C,)
    relevant: Floats  # (C,), 1 or 0

    @classmethod
    def of(cls, scored: JudgedScores) -> _Levels:
        order = np.argsort(scored.scores, kind="stable")
        levels, starts = np.unique(scored.scores[order], return_index=True)
        relevant = scored.relevant[order].astype(np.float64)
        return cls(levels=levels, starts=starts, query=scored.query[order], relevant=relevant)

    def counted(self, weights: Floats) -> _Counts:
        """How many there are of each score, if queries count as often as `weights` (B, Q) say."""
        each = weights[:, self.query]
        relevant = np.add.reduceat(each * self.relevant, self.starts, axis=1)
        everything = np.add.reduceat(each, self.starts, axis=1)
        return _Counts(levels=self.levels, relevant=relevant, others=everything - relevant)


def _resampled(levels: _Levels, stratum: Ints, resamples: int) -> Iterator[_Counts]:
    """Queries drawn again, within each stratum."""
    draw = np.random.default_rng(SEED)
    at_once = max(1, _CELLS // levels.query.size)
    strata = [np.flatnonzero(stratum == each) for each in np.unique(stratum)]
    for begin in range(0, resamples, at_once):
        count = min(at_once, resamples - begin)
        weights = np.zeros((count, stratum.size))
        for queries in strata:
            even = np.full(queries.size, 1 / queries.size)
            weights[:, queries] = draw.multinomial(queries.size, even, size=count)
        yield levels.counted(weights)


def _drawn(counts: _Counts, criterion: Criterion) -> tuple[Floats, Floats]:
    """AUCs and floors of resamples, (B,) each, NaN where there is none."""
    return _auc(counts), _floors(counts, criterion)


def _auc(counts: _Counts) -> Floats:
    """(B,): Mann and Whitney's U, as a share; NaN where a class is missing."""
    below = np.cumsum(counts.others, axis=1) - counts.others
    won = (counts.relevant * (below + counts.others / 2)).sum(axis=1)
    pairs = counts.relevant.sum(axis=1) * counts.others.sum(axis=1)
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


def _floors(counts: _Counts, criterion: Criterion) -> Floats:
    """(B,): the best floor, NaN where there is none."""
    kept = np.cumsum(counts.relevant[:, ::-1], axis=1)[:, ::-1]
    kept_others = np.cumsum(counts.others[:, ::-1], axis=1)[:, ::-1]
    relevant, others = kept[:, :1], kept_others[:, :1]
    match criterion.name:
        case "youden":  # times relevant times others: whole numbers, so that ties are ties
            worth = kept * others - kept_others * relevant
        case "f1":
            worth = 2 * kept / np.maximum(kept + kept_others + relevant, 1)
        case "precision":
            share = kept / np.maximum(kept + kept_others, 1)
            worth = np.where(share >= criterion.precision, kept, 0.0)
    places: list[int] = worth.argmax(axis=1).tolist()  # the first: the lowest
    found = np.full(len(places), np.nan)
    present: Bools = (counts.relevant + counts.others) > 0
    has_one = (worth.max(axis=1) > 0) & (relevant[:, 0] > 0) & (others[:, 0] > 0)
    for row in np.flatnonzero(has_one).tolist():
        there = np.flatnonzero(present[row])
        place = int(np.searchsorted(there, places[row]))
        lowest_kept = float(counts.levels[there[place]])
        below = float(counts.levels[there[place - 1]]) if place else None
        found[row] = plain_between(below, lowest_kept)
    return found


def plain_between(below: float | None, kept: float) -> float:
    """The shortest decimal in the middle half of (below, kept]: drops `below`, keeps `kept`."""
    if below is None:
        return kept
    half = (kept - below) / 2
    for digits in range(17):
        short = round(below + half, digits)
        if below < short <= kept and abs(short - below - half) <= half / 2:
            return short
    return kept


def _interval(value: float, drawn: Floats) -> Interval:
    """Percentiles of what resamples say, of those that say something."""
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(drawn, (tail, 100 - tail))
    return Interval(value=value, low=float(low), high=float(high))


def _judged(scored: JudgedScores, best: float, floors: Floats) -> tuple[Interval | None, list[str]]:
    """The floor with its interval, and why it is none."""
    without = float(np.isnan(floors).mean())
    if np.isnan(best):
        return None, ["No floor is any better than none."]
    if without > _MOST_WITHOUT:
        return None, [f"In {100 * without:.0f} % of the resamples no floor does what is asked."]
    floor = _interval(best, floors)
    between = (scored.scores >= floor.low) & (scored.scores < floor.high)
    shares = {
        "relevant candidates": float(between[scored.relevant].mean()),
        "others": float(between[~scored.relevant].mean()),
    }
    return floor, [
        f"{100 * share:.0f} % of the {what} score between the ends of the floor's interval: over "
        f"{100 * MOST_BETWEEN:.0f} %."
        for what, share in shares.items()
        if share > MOST_BETWEEN
    ]
