"""Best chunk, best document, ties."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.answer import Hit
from rerankd.core.rank import best_chunk, top_hits

logits = st.lists(st.floats(-20, 20), min_size=1, max_size=50)


def hits(values: list[float]) -> list[Hit]:
    return [Hit(i, value, value) for i, value in enumerate(values)]


@given(logits, st.integers(1, 60))
def test_top_n_is_a_prefix_of_the_full_ranking(values: list[float], n: int) -> None:
    assert top_hits(hits(values), n) == top_hits(hits(values))[:n]


@given(logits)
def test_equal_logits_keep_the_lower_index_first(values: list[float]) -> None:
    ranked = top_hits(hits([float(round(v)) for v in values]))
    assert all(a.logit >= b.logit for a, b in pairwise(ranked))
    assert all(a.index < b.index for a, b in pairwise(ranked) if a.logit == b.logit)


def test_order_is_by_logit_where_saturated_scores_tie() -> None:
    ranked = top_hits([Hit(0, 1.0, 40.0), Hit(1, 1.0, 50.0)])
    assert [hit.index for hit in ranked] == [1, 0]


def test_a_document_scores_as_its_best_chunk() -> None:
    assert best_chunk([0.1, 0.7, -0.3], [0, 0, 1], 2) == [0.7, -0.3]


def test_negative_logits_are_kept() -> None:
    assert best_chunk([-5.0, -7.0], [0, 0], 1) == [-5.0]


def test_a_document_without_a_chunk_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\[1\]"):
        best_chunk([0.1], [0], 2)
