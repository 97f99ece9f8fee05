"""Floors of scores whose best one is known, and of scores that have none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from rerankd.measure.threshold import (
    LEAST_AUC,
    LEAST_OF_EACH,
    Criterion,
    JudgedScores,
    Separation,
    at_floor,
    auc_of,
    find_floor,
    plain_between,
)

YOUDEN, F1 = Criterion(name="youden"), Criterion(name="f1")


def scored(
    scores: ArrayLike, relevant: ArrayLike, *, per_query: int = 1, sets: ArrayLike = 0
) -> JudgedScores:
    """Candidates, so many of each query after the other."""
    values = np.asarray(scores, dtype=np.float64)
    queries = values.size // per_query
    return JudgedScores(
        scores=values,
        relevant=np.asarray(relevant, dtype=np.bool_),
        query=np.arange(values.size) // per_query,
        stratum=np.broadcast_to(np.asarray(sets, dtype=np.intp), queries).copy(),
    )


def pairs(good: ArrayLike, bad: ArrayLike, queries: int = 30) -> JudgedScores:
    """Queries with one relevant and one other candidate each, all alike or one after the other."""
    both = np.empty((queries, 2))
    both[:, 0], both[:, 1] = good, bad
    return scored(both.ravel(), [True, False] * queries, per_query=2)


def drawn(seed: int, queries: int = 120, per_query: int = 10, apart: float = 3.0) -> JudgedScores:
    """Two normal distributions with a shift of each query; the best floor is half of `apart`."""
    draw = np.random.default_rng(seed)
    relevant = np.arange(queries * per_query) % per_query < per_query // 2
    shift = np.repeat(0.5 * draw.standard_normal(queries), per_query)
    scores = draw.standard_normal(relevant.size) + shift + apart * relevant
    return scored(scores, relevant, per_query=per_query)


def told(found: Separation) -> str:
    return " ".join(found.reasons)


@pytest.mark.parametrize("criterion", [YOUDEN, F1, Criterion(name="precision", precision=0.9)])
def test_what_is_apart_is_parted_in_the_middle_by_a_plain_number(criterion: Criterion) -> None:
    found = find_floor(pairs(0.9, 0.1), criterion, 1000)
    assert found.reasons == ()
    assert found.floor is not None
    assert (found.floor.low, found.floor.value, found.floor.high) == (0.5, 0.5, 0.5)
    assert found.auc is not None
    assert (found.auc.low, found.auc.value) == (1.0, 1.0)
    assert found.at_floor is not None
    assert (found.at_floor.precision, found.at_floor.recall, found.at_floor.kept) == (1, 1, 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_every_criterion_is_the_best_of_all_cuts(seed: int) -> None:
    """Compared with trying each one, with scores that tie."""
    given = drawn(seed, queries=40)
    given = scored(np.round(given.scores, 1), given.relevant, per_query=10)

    def worth(floor: float) -> tuple[float, float, float]:
        at = at_floor(given, floor)
        others = (~given.relevant) & (given.scores >= floor)
        fallout = others.sum() / (~given.relevant).sum()
        precision, recall = at.precision or 0.0, at.recall or 0.0
        f1 = 2 * precision * recall / ((precision + recall) or 1)
        return recall - fallout, f1, recall if precision >= 0.95 else 0.0

    cuts = [worth(cut) for cut in np.unique(given.scores)]
    for place, criterion in enumerate((YOUDEN, F1, Criterion(name="precision", precision=0.95))):
        found = find_floor(given, criterion, 1000)
        assert found.floor is not None, found.reasons
        best = max(cut[place] for cut in cuts)
        assert worth(found.floor.value)[place] == pytest.approx(best)
    wins = [
        (good > bad) + (good == bad) / 2
        for good in given.scores[given.relevant]
        for bad in given.scores[~given.relevant]
    ]
    assert auc_of(given) == pytest.approx(float(np.mean(wins)))


def test_a_precision_is_reached_with_as_much_kept_as_can_be() -> None:
    good = [0.9] * 28 + [0.5] * 12
    bad = [0.2] * 30 + [0.6] * 10
    given = pairs(good, bad, 40)
    strict = find_floor(given, Criterion(name="precision", precision=0.95), 1000)
    assert strict.at_floor is not None
    assert (strict.at_floor.precision, strict.at_floor.recall) == (1.0, 0.7)
    loose = find_floor(given, Criterion(name="precision", precision=0.7), 1000)
    assert loose.at_floor is not None
    assert (loose.at_floor.precision, loose.at_floor.recall) == (0.8, 1.0)


def test_equally_good_floors_give_the_lowest() -> None:
    """Of 0.3 and 0.8 Youden's J is the same, in each resample: what can be kept is kept."""
    given = pairs([0.9, 0.9, 0.9, 0.9, 0.5] * 8, [0.1, 0.1, 0.1, 0.1, 0.6] * 8, 40)
    both = [at_floor(given, floor) for floor in (0.3, 0.8)]
    assert [(at.recall, at.precision) for at in both] == [(1.0, 40 / 48), (0.8, 1.0)]
    found = find_floor(given, YOUDEN, 1000)
    assert found.floor is not None, found.reasons
    assert (found.floor.low, found.floor.value, found.floor.high) == (0.3, 0.3, 0.3)


def test_a_floor_that_may_be_anywhere_is_none() -> None:
    """The same with more of them and drawn apart: half of the resamples choose the one."""
    good, bad = [0.9] * 28 + [0.5] * 12, [0.6] * 12 + [0.1] * 28
    found = find_floor(pairs(good, bad, 40), YOUDEN, 1000)
    assert found.floor is None
    assert found.auc is not None
    assert found.auc.low > LEAST_AUC
    assert "30 % of the others score between the ends of the floor's interval" in told(found)


def test_scores_that_all_tie_part_nothing() -> None:
    found = find_floor(pairs(0.5, 0.5), YOUDEN, 1000)
    assert found.floor is None
    assert found.auc is not None
    assert found.auc.value == 0.5
    assert "No floor is any better than none." in found.reasons


@pytest.mark.parametrize("missing", ["others", "relevant candidates"])
def test_one_class_alone_has_no_floor(missing: str) -> None:
    given = scored(np.linspace(0, 1, 40), [missing == "others"] * 40)
    found = find_floor(given, YOUDEN, 1000)
    assert (found.auc, found.floor, found.at_floor) == (None, None, None)
    assert f"0 {missing}: at least" in told(found)
    assert auc_of(given) is None


def test_few_queries_are_no_evidence_however_far_apart() -> None:
    enough = find_floor(pairs(0.9, 0.1, LEAST_OF_EACH), YOUDEN, 1000)
    assert enough.floor is not None
    few = find_floor(pairs(0.9, 0.1, LEAST_OF_EACH - 1), YOUDEN, 1000)
    assert few.floor is None
    assert "9 relevant candidates: at least 10 are needed." in few.reasons
    scores = np.tile([0.9, 0.1], 100)
    of_two = find_floor(scored(scores, scores > 0.5, per_query=100), YOUDEN, 1000)
    assert of_two.reasons == ("2 queries with a relevant candidate: at least 10 are needed.",)


def test_scores_that_know_nothing_have_no_floor() -> None:
    draw = np.random.default_rng(7)
    given = scored(draw.random(2000), draw.random(2000) < 0.3, per_query=10)
    found = find_floor(given, YOUDEN, 1000)
    assert found.floor is None
    assert found.auc is not None
    assert found.auc.low < 0.5 < found.auc.high
    assert f"below {LEAST_AUC:g}" in told(found)


def test_a_precision_that_is_not_reached_has_no_floor() -> None:
    given = pairs([0.9] * 40, [0.95] * 10 + [0.1] * 30, 40)
    found = find_floor(given, Criterion(name="precision", precision=0.99), 1000)
    assert found.floor is None
    assert "No floor is any better than none." in found.reasons


def test_the_same_scores_give_the_same_figures() -> None:
    assert find_floor(drawn(3), YOUDEN, 1000) == find_floor(drawn(3), YOUDEN, 1000)


def test_queries_are_drawn_whole() -> None:
    """A query's candidates are alike: taken as independent they would say more than they know."""
    draw = np.random.default_rng(1)
    relevant = np.repeat(np.arange(40) % 2 == 0, 20)
    shift = np.repeat(draw.standard_normal(40), 20)
    given = scored(shift + 2 * relevant + draw.standard_normal(800), relevant, per_query=20)
    alone = scored(given.scores, given.relevant)
    widths = [
        found.auc.high - found.auc.low
        for found in (find_floor(each, YOUDEN, 1000) for each in (given, alone))
        if found.auc is not None
    ]
    assert widths[0] > 1.5 * widths[1]


def test_sets_are_drawn_within_themselves() -> None:
    """One set scores low, the other high: their shares never change, so the AUC hardly does."""
    low, high = pairs(0.2, 0.1, 20), pairs(0.9, 0.8, 20)
    scores = np.concatenate([low.scores, high.scores])
    relevant = np.concatenate([low.relevant, high.relevant])
    within = find_floor(
        scored(scores, relevant, per_query=2, sets=[0] * 20 + [1] * 20), YOUDEN, 1000
    )
    across = find_floor(scored(scores, relevant, per_query=2), YOUDEN, 1000)
    assert within.auc is not None
    assert across.auc is not None
    assert within.auc.high == within.auc.low == within.auc.value == 0.75
    assert across.auc.high > across.auc.low


@pytest.mark.parametrize("apart", [2.5, 4.0])
def test_the_interval_holds_the_true_floor_about_as_often_as_it_says(apart: float) -> None:
    """100 collections of two normal distributions, whose best floor is in their middle."""
    held = 0
    for seed in range(100):
        found = find_floor(drawn(seed, queries=60, apart=apart), YOUDEN, 1000)
        assert found.floor is not None, found.reasons
        held += found.floor.low <= apart / 2 <= found.floor.high
    assert held >= 88, "95 expected; 88 or fewer in 1 of 250 such tests"


@pytest.mark.parametrize(
    ("below", "kept", "floor"),
    [
        (0.1, 0.9, 0.5),
        (0.2, 0.9, 0.6),
        (0.2, 1.0, 0.6),
        (0.31, 0.33, 0.32),
        (0.999998, 1.0, 0.999999),
        (-3.2, 4.1, 0.0),
        (None, 0.1234567, 0.1234567),
        (0.5, math.nextafter(0.5, 1), math.nextafter(0.5, 1)),
    ],
)
def test_a_floor_is_a_short_number_that_parts_the_same(
    below: float | None, kept: float, floor: float
) -> None:
    found = plain_between(below, kept)
    assert found == floor
    assert below is None or below < found <= kept
