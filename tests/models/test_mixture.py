"""Features weighed by how much of the query the vocabulary covers."""

from __future__ import annotations

import numpy as np
import pytest

from rerankd.core.rows import TokenIds
from rerankd.models.mixture import COUNTED, FOREIGN, OTHER_SCRIPT, ForeignShare, Mixture


def foreign_share() -> ForeignShare:
    kinds = np.full(200, COUNTED, np.uint8)
    kinds[100:150] |= FOREIGN
    kinds[150:] |= FOREIGN | OTHER_SCRIPT
    return ForeignShare(kinds)


def pieces(first: int) -> TokenIds:
    return np.arange(first, first + 20, dtype=np.int32)


def test_foreign_share_is_of_the_query() -> None:
    share = foreign_share()
    shares = [share(pieces(first)) for first in (10, 110, 160)]
    assert shares[0] < 0.05
    assert 0.9 < shares[1] < 0.95
    assert shares[2] == 1.0
    assert share(pieces(10)[:0]) < 0.1


def test_weights_and_bias_lie_between_the_knots() -> None:
    knots, weights = np.array([0.0, 1.0]), np.array([[0.0] * 6, [2.0] * 6])
    mixture = Mixture(foreign_share(), knots, weights, np.array([1.0, 3.0]))
    found = np.ones((4, 7))
    found[:, -1] = 0.5, 5.0, 0.0, 0.5
    assert mixture(found).tolist() == [8.0, 15.0, 1.0, 8.0]


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_a_row_weighs_the_same_in_any_company(rows: int) -> None:
    draw = np.random.default_rng(rows)
    knots = np.array([0.1, 0.3, 0.9])
    mixture = Mixture(foreign_share(), knots, draw.random((3, 6)), draw.random(3))
    found = draw.random((rows, 7))
    alone = [float(mixture(row[None, :])[0]) for row in found]
    assert mixture(found).tolist() == alone


def test_what_differs_below_32_bits_is_a_tie() -> None:
    mixture = Mixture(foreign_share(), np.array([0.5]), np.ones((1, 6)), np.array([0.0]))
    found = np.full((2, 7), 0.3)
    found[1, 0] += 1e-12
    first, second = mixture(found).tolist()
    assert first == second == float(np.float32(first))


def test_rows_of_one_query_are_weighed_as_those_of_many() -> None:
    drawn = np.random.default_rng(5)
    knots = np.array([0.1, 0.4, 0.9])
    mixture = Mixture(foreign_share(), knots, drawn.random((3, 6)), drawn.random(3))
    for share in (*knots, 0.0, 0.25, 1.0, *drawn.random(20)):
        found = drawn.random((7, 7))
        found[:, -1] = share
        other = found[:1].copy()
        other[0, -1] = share / 2 + 0.01
        beside = mixture(np.concatenate((found, other)))[:-1]
        assert mixture(found).tolist() == beside.tolist()
