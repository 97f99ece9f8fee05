"""How sure a mean over queries is, and whether two systems differ: scipy's resampling tests.

Values come in strata: the queries of each test collection. A statistic is the mean over the strata
of their means, so that a large collection counts no more than a small one; one stratum is the
usual mean. Needs the extra `rerankd[eval]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rerankd.extras import library
from rerankd.measure.metrics import Vector

LEVEL = 0.95
RESAMPLES = 2000  # of the bootstrap
FLIPS = 9999  # of the randomisation test; exact when there are no more sign patterns
SEED = 0
_BATCH = 500  # resamples at once: some megabytes


def interval(strata: Sequence[Vector]) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean; None when a stratum has < 2 queries.

    Queries are drawn again within each stratum. Source: Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, ch. 13; for IR: Sakai, SIGIR 2006, doi:10.1145/1148170.1148261.
    """
    if any(values.size < 2 for values in strata):
        return None

    def statistic(*drawn: Vector, axis: int = -1) -> Any:
        return np.mean([values.mean(axis=axis) for values in drawn], axis=0)

    found = library("scipy.stats").bootstrap(
        tuple(strata),
        statistic,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        vectorized=True,
        paired=False,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def p_value(first: Sequence[Vector], second: Sequence[Vector]) -> float:
    """Two-sided paired randomisation test: how often chance alone parts the means so far.

    Each query's difference keeps or changes its sign at random. Source: Fisher; for IR: Smucker,
    Allan & Carterette, CIKM 2007, doi:10.1145/1321440.1321528.

    Args:
        first: values per query, by stratum.
        second: of another system, the same queries in the same order.
    """
    shares = [(a - b) / a.size for a, b in zip(first, second, strict=True)]
    differences = np.concatenate(shares) / len(shares)
    differences = differences[differences != 0.0]  # their sign changes nothing
    if differences.size < 2:
        return 1.0  # of one query that differs, either sign is as likely
    found = library("scipy.stats").permutation_test(
        (differences,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        batch=_BATCH,
        rng=np.random.default_rng(SEED),
    )
    return min(1.0, float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of tests, adjusted so that the chance of any false alarm stays p.

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for done, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[i]))
        adjusted[i] = least
    return adjusted
