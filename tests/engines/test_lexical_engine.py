"""BM25: the order it makes, what it may not depend on, and the shipped table."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.rows import Row
from rerankd.engines.lexical import (
    CHANNEL_BITS,
    NOTHING,
    STEM,
    STEP_TERMS,
    WORD,
    IdfTable,
    LexicalEngine,
    LexicalWeights,
    LongDocument,
    QueryTerms,
    features,
)
from rerankd.models.segment import Segmenter, term_id

ENGINE = LexicalEngine()
term_ids = st.lists(st.integers(0, 40).map(lambda n: (n % 4) << CHANNEL_BITS | n), max_size=30)
pairs = st.lists(st.tuples(term_ids, term_ids), min_size=1, max_size=8)


def row(query: list[int], document: list[int]) -> Row:
    return Row(ids=np.array(query + document or [NOTHING], np.int32), second=len(query))


def score(query: str, document: str) -> float:
    segmenter = Segmenter()
    q, d = segmenter.ids(query).tolist(), segmenter.ids(document).tolist()
    return float(ENGINE.forward([row(q, d)])[0, 0])


@given(pairs)
def test_a_row_scores_the_same_alone_and_in_any_batch(
    batch: list[tuple[list[int], list[int]]],
) -> None:
    rows = [row(q, d) for q, d in batch]
    together = ENGINE.forward(rows)
    assert together.shape == (len(rows), 1)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert np.array_equal(together, np.concatenate([ENGINE.forward([r]) for r in rows]))
    assert np.array_equal(together[::-1], ENGINE.forward(rows[::-1]))


@given(term_ids, term_ids)
def test_features_are_shares(query: list[int], document: list[int]) -> None:
    table = IdfTable.shipped()
    assert IdfTable.shipped() is table  # models that use it share it
    found = features(
        np.array(query, np.int32), [np.array(document, np.int32)], table, LexicalWeights()
    )
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()


def test_no_rows_no_scores() -> None:
    assert ENGINE.forward([]).shape == (0, 1)


def test_nothing_in_common_is_zero() -> None:
    assert score("capital of France", "12345") == 0.0
    assert score("", "some text") == 0.0
    assert score("", "") == 0.0


def test_bm25_is_the_formula() -> None:
    """One term, idf cancels: tf / (tf + k1 (1 - b + b dl / avgdl))."""
    weights = LexicalWeights(coverage=0.0, phrase=0.0)
    a, b = term_id(WORD, "a"), term_id(WORD, "b")
    found = LexicalEngine(weights=weights).forward([row([a], [a, b, a, b])])[0, 0]
    norm = weights.k1 * (1 - weights.b + weights.b * 4 / weights.average_terms)
    assert found == pytest.approx(2 / (2 + norm), rel=1e-6)


def test_rare_words_count_more_than_common_ones() -> None:
    query = "the photosynthesis"
    assert score(query, "photosynthesis works") > 2 * score(query, "the works")


def test_repeats_help_less_and_less() -> None:
    once, twice, thrice = (score("tiger", "tiger " * n + "grass " * (9 - n)) for n in (1, 2, 3))
    assert once < twice < thrice
    assert twice - once > thrice - twice


def test_a_shorter_document_with_the_same_match_wins() -> None:
    assert score("tiger", "a tiger") > score("tiger", "a tiger" + " and some grass" * 50)


def test_words_side_by_side_beat_words_apart() -> None:
    together = "about capital punishment and cities and law"
    apart = "about capital cities and law and punishment"
    assert score("capital punishment", together) > score("capital punishment", apart)


def test_a_phrase_does_not_reach_across_documents() -> None:
    a, b = term_id(STEM, "a"), term_id(STEM, "b")
    both = ENGINE.forward([row([a, b], [a]), row([a, b], [b])])
    assert both[0, 0] == ENGINE.forward([row([a, b], [a])])[0, 0]
    assert both[1, 0] == ENGINE.forward([row([a, b], [b])])[0, 0]


def test_the_shipped_table_knows_common_words_of_many_languages() -> None:
    table = IdfTable.shipped()
    common = [term_id(WORD, w) for w in ("the", "und", "de", "и", "في", "bir", "이")]
    rare = [term_id(WORD, w) for w in ("photosynthesis", "zyxwvutsrq")]
    assert (
        table.lookup(np.array(common, np.int32)).max()
        < table.lookup(np.array(rare, np.int32)).min()
    )
    assert len(table) > 100_000


def test_an_id_that_is_not_in_the_table_gets_its_channels_default() -> None:
    table = IdfTable(
        np.array([5], np.uint32), np.array([16], np.uint8), np.array([32, 48, 0, 0, 0], np.uint8)
    )
    ids = np.array([5, 6, STEM << CHANNEL_BITS | 5], np.int32)
    assert table.lookup(ids).tolist() == [1.0, 2.0, 3.0]


def test_an_empty_table_is_all_defaults() -> None:
    table = IdfTable(np.zeros(0, np.uint32), np.zeros(0, np.uint8), np.full(5, 16, np.uint8))
    assert table.lookup(np.array([7], np.int32)).tolist() == [1.0]


def test_a_huge_query_stays_within_memory_and_time() -> None:
    ids = list(range(8192))
    start = time.process_time()
    found = ENGINE.forward([row(ids, ids[i : i + 100]) for i in range(700)])
    assert np.isfinite(found).all()
    assert found[0, 0] == ENGINE.forward([row(ids, ids[:100])])[0, 0]
    assert time.process_time() - start < 30


def test_info_and_close() -> None:
    assert ENGINE.info.max_length is None
    assert ENGINE.info.batch_tokens >= 65_536
    ENGINE.close()
    ENGINE.close()
    assert math.isfinite(score("a", "a"))


@given(term_ids, term_ids, st.lists(st.integers(0, 30), max_size=5))
def test_a_document_counted_in_pieces_scores_as_the_whole(
    query: list[int], document: list[int], cuts: list[int]
) -> None:
    table, weights = IdfTable.shipped(), LexicalWeights()
    ids = np.array(document, np.int32)
    long = LongDocument(QueryTerms(np.array(query, np.int32), table, weights))
    for start, end in pairwise([0, *sorted(cuts), len(document)]):
        long.add(ids[start:end])
    whole = features(np.array(query, np.int32), [ids], table, weights)
    assert np.array_equal(long.features(), whole)


@pytest.mark.parametrize("asked", ["two words", "", "absent"])
def test_a_long_row_runs_in_bounded_steps_and_scores_as_one_batch(asked: str) -> None:
    segmenter = Segmenter()
    query = segmenter.ids(asked)
    text = segmenter.ids("these two words stand in some other place than those two, words. ")
    document = np.tile(text, 3 * STEP_TERMS // text.size)
    long = Row(ids=np.concatenate((query, document)), second=int(query.size))
    ran: list[int] = []
    steps = ENGINE.slices(long)
    try:
        while True:
            ran.append(next(steps))
    except StopIteration as stop:
        logits = stop.value
    assert sum(ran) == document.size
    assert max(ran) <= STEP_TERMS == ENGINE.info.slice_tokens
    assert logits.dtype == np.float32
    assert np.array_equal(logits, ENGINE.forward([long])[0])
