"""Late interaction on made-up encoders: every token's vector is drawn from its id."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Generator
from hashlib import blake2b
from typing import TypeVar

import numpy as np
import pytest

from rerankd.core.rows import TokenIds
from rerankd.engines.base import Remembering, Sliced
from rerankd.engines.late_interaction import (
    TERMS_PER_TOKEN,
    LateInteractionEngine,
    Text,
    TextRow,
    text_row,
)
from rerankd.engines.lexical import (
    BIGRAM,
    CHANNEL_BITS,
    IdfTable,
    LexicalWeights,
    LongDocument,
    QueryTerms,
)
from rerankd.engines.max_sim import Vectors
from rerankd.engines.vector_cache import ByteCache
from tests.engines.drawn import VOCABULARY, WINDOW, DrawnEncoder, drawn_vectors
from tests.kit.support import row

WORDS = BIGRAM << CHANNEL_BITS
TOLD = (0.25,)


def engine(
    cache_bytes: int = 1 << 20, *, encoder: DrawnEncoder | None = None, slice_tokens: int = 1 << 20
) -> LateInteractionEngine:
    return LateInteractionEngine(
        {"drawn": drawn_vectors(encoder, cache_bytes)},
        embedder="drawn",
        given=("told",),
        slice_tokens=slice_tokens,
    )


def documents(made: LateInteractionEngine) -> ByteCache[Vectors]:
    """What the first encoder keeps of documents."""
    return made.encoders["drawn"].documents


def text(*pieces: int) -> Text:
    ids = np.array(pieces, np.int32)
    return Text((ids,), ids, blake2b(ids.tobytes(), digest_size=16).digest())


def asked_of(query: Text, document: Text) -> TextRow:
    return text_row(query, document, TOLD)


def ids_of(text: Text) -> TokenIds:
    [ids] = text.pieces
    assert ids is not None
    return ids


def some_rows(count: int = 40) -> list[TextRow]:
    draw = np.random.default_rng(3)
    queries = [text(*draw.integers(3, 90, 5)) for _ in range(3)]
    return [
        asked_of(queries[i % 3], text(*draw.integers(3, VOCABULARY, draw.integers(0, 60))))
        for i in range(count)
    ]


T = TypeVar("T")


def drained(steps: Generator[int, None, T]) -> tuple[T, list[int]]:
    """What a generator returns, and what it yielded."""
    yielded: list[int] = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            return end.value, yielded


def long_row(pieces: int, *, asked: int = 20) -> TextRow:
    """A query of several windows and a document of `pieces`."""
    draw = np.random.default_rng(pieces)
    query, document = draw.integers(3, 90, asked), draw.integers(3, VOCABULARY, pieces)
    return asked_of(text(*query), text(*document))


def test_features_are_those_of_the_plain_definition() -> None:
    made = engine()
    table = DrawnEncoder().table
    query, document = text(3, 40, 90), text(5, 41, 88, 9, 40, 17, 60, 61, 62, 63)
    [found] = made.forward([asked_of(query, document)])
    asked = np.concatenate(WINDOW.cut(ids_of(query)))
    windows = WINDOW.cut(ids_of(document))
    best = (table[asked] @ table[np.concatenate(windows)].T).max(axis=1)
    idf = np.linspace(0.0, 5.0, VOCABULARY)[asked]
    idf[[0, -1]] = 0.0  # the ids around the text
    means = [table[ids].mean(axis=0) for ids in (asked, *windows)]
    cosines = [
        float(means[0] @ m / np.linalg.norm(means[0]) / np.linalg.norm(m)) for m in means[1:]
    ]
    expected = [max(cosines), best.mean(), best @ idf / idf.sum()]
    assert found[3:6] == pytest.approx(expected, abs=0.01)  # int8 vectors
    assert 0.0 < found[0] < 1.0
    assert found[6] == TOLD[0]
    assert made.layout == (
        *("bm25", "coverage", "phrase"),
        *("drawn.cosine", "drawn.maxsim", "drawn.maxsim_idf", "told"),
    )


def test_a_score_is_the_same_in_any_company() -> None:
    rows = some_rows()
    together = engine().forward(rows)
    alone = np.concatenate([engine().forward([row]) for row in rows])
    backwards = engine().forward(rows[::-1])[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)
    assert np.ptp(together, axis=0)[3:6].min() > 0.1


def test_a_long_list_is_compared_in_parts_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = some_rows()
    whole = engine().forward(rows)
    monkeypatch.setattr("rerankd.engines.max_sim._STEP_CELLS", 50)
    assert np.array_equal(engine().forward(rows), whole)


def test_each_text_is_encoded_once() -> None:
    encoder = DrawnEncoder()
    made = engine(encoder=encoder)
    rows = some_rows()
    first = made.forward(rows)
    windows = len(encoder.encoded)
    assert np.array_equal(made.forward(rows), first)
    assert len(encoder.encoded) == windows
    assert documents(made).hits == documents(made).misses == len({r.document.key for r in rows})


def test_without_room_for_vectors_the_scores_are_the_same() -> None:
    made = engine(cache_bytes=0)
    rows = some_rows()
    assert np.array_equal(made.forward(rows), engine().forward(rows))
    assert documents(made).bytes == 0


def test_it_tells_whose_vectors_it_kept() -> None:
    made, rows = engine(), some_rows()
    sizes = [int(ids_of(r.document).size) for r in rows]
    assert isinstance(made, Remembering)
    assert not any(made.remembered_tokens(rows))
    made.forward(rows[:10])
    assert made.remembered_tokens(rows) == [*sizes[:10], *[0] * 30]
    other = asked_of(text(4, 5), rows[3].document)
    assert made.remembered_tokens([other]) == [sizes[3]] != [0]
    assert (documents(made).hits, documents(made).misses) == (0, 10)
    nothing = engine(cache_bytes=0)
    nothing.forward(rows)
    assert not any(nothing.remembered_tokens(rows))


@pytest.mark.parametrize("slice_tokens", [1, 10, 64, 333])
@pytest.mark.parametrize("pieces", [64, 401, 1000])
def test_a_long_row_in_slices_scores_the_same(slice_tokens: int, pieces: int) -> None:
    row, encoder = long_row(pieces), DrawnEncoder()
    whole = engine().forward([row])
    made = engine(encoder=encoder, slice_tokens=slice_tokens)
    assert isinstance(made, Sliced)
    assert made.info.slice_tokens == slice_tokens
    sliced, steps = drained(made.slices(row))
    assert np.array_equal(sliced, whole[0])
    assert sliced.shape == (len(made.layout),)
    assert sliced.dtype == whole.dtype
    assert sum(steps) == row.tokens
    assert len(steps) == -(-row.tokens // slice_tokens)
    windows = len(WINDOW.cut(ids_of(row.document)))
    most = -(-windows // len(steps)) * (WINDOW.pieces + 2)
    assert max(encoder.calls[1:]) <= most  # the query is the first
    assert max(steps) <= slice_tokens
    recalled, _ = drained(made.slices(row))
    assert np.array_equal(recalled, sliced)
    assert len(encoder.encoded) == len(WINDOW.cut(ids_of(row.query))) + len(
        WINDOW.cut(ids_of(row.document))
    )


def test_long_rows_among_short_ones_score_the_same() -> None:
    rows = [*some_rows(5), long_row(500), *some_rows(9), long_row(300), long_row(500)]
    assert np.array_equal(engine(slice_tokens=70).forward(rows), engine().forward(rows))


def test_a_long_row_that_is_known_is_compared_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    row, made = long_row(500), engine(slice_tokens=50)
    whole = made.forward([row])
    monkeypatch.setattr("rerankd.engines.token_vectors._STEP_ROWS", 100)
    again, steps = drained(made.slices(row))
    assert np.array_equal(again, whole[0])
    assert sum(steps) == row.tokens
    assert len(steps) == -(-(500 + 2 * 63) // 100)


def test_a_text_of_many_terms_and_few_pieces_counts_by_its_terms() -> None:
    draw = np.random.default_rng(1)
    usual = text(*draw.integers(3, VOCABULARY, 30))
    terms = draw.integers(0, 40, 50 * TERMS_PER_TOKEN, dtype=np.int32) | WORDS
    many = Text((ids_of(usual)[:3],), terms, b"many")
    assert text_row(usual, usual).tokens == 60
    assert text_row(usual, many).tokens == 50
    assert text_row(many, usual).tokens == 50


def counted(
    add: Callable[[LongDocument, TokenIds], None], added: list[int]
) -> Callable[[LongDocument, TokenIds], None]:
    """The same method, which notes how many terms it was given."""

    def noting(self: LongDocument, terms: TokenIds) -> None:
        added.append(terms.size)
        add(self, terms)

    return noting


def test_terms_are_counted_in_steps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    asked = Text(text(5, 9, 30).pieces, draw.integers(0, 40, 9, dtype=np.int32) | WORDS, b"q")
    terms = draw.integers(0, 40, 50 * TERMS_PER_TOKEN, dtype=np.int32) | WORDS
    for pieces in (3, 90):
        many = Text((np.arange(3, 3 + pieces, dtype=np.int32),), terms, b"many")
        row = asked_of(asked, many)
        whole = engine().forward([row])
        added: list[int] = []
        monkeypatch.setattr(LongDocument, "add", counted(LongDocument.add, added))
        sliced, steps = drained(engine(slice_tokens=20).slices(row))
        monkeypatch.undo()
        assert np.array_equal(sliced, whole[0])
        assert sum(steps) == row.tokens
        assert sum(added) == terms.size
        assert max(added) <= 20 * TERMS_PER_TOKEN


def test_a_querys_terms_are_looked_up_once_for_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    made, rows = engine(), some_rows()
    whole, looked_up = engine().forward(rows), 0

    def noting(query: TokenIds, table: IdfTable, weights: LexicalWeights) -> QueryTerms:
        nonlocal looked_up
        looked_up += 1
        return QueryTerms(query, table, weights)

    monkeypatch.setattr("rerankd.engines.late_interaction.QueryTerms", noting)
    parts = [made.forward(rows[at : at + 10]) for at in range(0, 40, 10)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert looked_up == len({row.query.key for row in rows}) == 3
    del rows
    gc.collect()
    made.forward([asked_of(text(5), text(6))])
    assert looked_up == 4
    assert len(made.query_terms) == 0  # no longer than the query's rows
    many = Text(text(5).pieces, np.arange(5000, dtype=np.int32) | WORDS, b"many")
    made.forward([asked_of(many, text(6))])
    made.forward([asked_of(many, text(7))])
    assert looked_up == 6
    others = [asked_of(text(i), text(6)) for i in range(3, 30)]
    for each in others:
        made.forward([each])
        assert len(made.query_terms) <= 8


def test_a_row_is_for_the_encoders_that_see_it() -> None:
    pieces = text(5, 9).pieces[0], text(7).pieces[0]
    asked, read = (Text(pieces, text(4).terms, key) for key in (b"q", b"d"))
    for sees in [(True, True), (True, False), (False, True)]:
        made = text_row(asked, read, TOLD, sees)
        same = text_row(asked.seen_by(sees), read.seen_by(sees), TOLD)
        assert made.pairs == same.pairs
        assert [pair is not None for pair in made.pairs] == list(sees)
        assert (made.tokens, made.second) == (same.tokens, same.second)
        assert (made.query, made.document) == (asked, read)  # no copy of either


def test_a_row_left_in_the_middle_leaves_nothing_behind() -> None:
    encoder = DrawnEncoder()
    made, row = engine(encoder=encoder, slice_tokens=50), long_row(500)
    steps = made.slices(row)
    for _ in range(3):
        next(steps)
    encoded = len(encoder.encoded)
    steps.close()
    assert len(documents(made)) == 0
    assert len(encoder.encoded) == encoded < len(WINDOW.cut(ids_of(row.document)))
    assert np.array_equal(made.forward([row]), engine().forward([row]))


@pytest.mark.parametrize(("shares", "is_kept"), [(8, True), (3, False), (0, False)])
def test_a_long_document_may_take_a_part_of_the_cache_only(*, shares: int, is_kept: bool) -> None:
    row, whole = long_row(500), engine()
    whole.forward([row])
    made = engine(shares * documents(whole).bytes, slice_tokens=50)
    made.forward([row])
    assert (row.document.key in documents(made)) is is_kept


def test_the_memory_of_a_long_row_is_that_of_a_step() -> None:
    row = long_row(20_000, asked=100)

    def peak(slice_tokens: int) -> int:
        made = engine(0, slice_tokens=slice_tokens)
        tracemalloc.start()
        try:
            made.forward([row])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(100) < peak(1 << 20) / 3


def test_texts_with_equal_pieces_are_different_rows() -> None:
    pieces = np.array([7], np.int32)
    one = Text((pieces,), np.array([11], np.int32), b"1" * 16)
    two = Text((pieces,), np.array([12], np.int32), b"2" * 16)
    assert text_row(one, one).key() != text_row(one, two).key()


def test_a_pair_without_a_word_piece_is_a_row_all_the_same() -> None:
    empty = text()
    made = asked_of(empty, empty)
    assert made.tokens == 1
    assert np.isfinite(engine().forward([made])).all()


def test_a_plain_row_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="TextRow"):
        engine().forward([row(1, 2, 3)])


def test_close_frees_everything_and_may_come_twice() -> None:
    encoder = DrawnEncoder()
    made = engine(encoder=encoder)
    made.forward(some_rows())
    made.close()
    made.close()
    assert encoder.closed
    assert len(documents(made)) == documents(made).bytes == 0


def two_of(
    *encoders: DrawnEncoder, cache_bytes: int = 1 << 20, slice_tokens: int = 1 << 20
) -> LateInteractionEngine:
    parts = {f"e{i}": drawn_vectors(each, cache_bytes) for i, each in enumerate(encoders)}
    last = f"e{len(encoders) - 1}"
    return LateInteractionEngine(parts, embedder=last, given=("told",), slice_tokens=slice_tokens)


def pairs_of_two(count: int, pieces: int) -> list[TextRow]:
    """Pairs that both encoders see, only one, or none; each has pieces of its own."""
    draw = np.random.default_rng(count)
    sees = [(True, True), (True, False), (False, True), (False, False)]

    def made(number: int, size: int, seen: tuple[bool, bool]) -> Text:
        some = [draw.integers(3, VOCABULARY, size + i, dtype=np.int32) for i in range(2)]
        first, second = (ids if is_seen else None for ids, is_seen in zip(some, seen, strict=True))
        terms = draw.integers(0, 60, 12, dtype=np.int32) | WORDS
        return Text((first, second), terms, number.to_bytes(16, "big"))

    queries = [made(i, 5, seen) for i, seen in enumerate(sees[:3])]
    return [text_row(queries[i % 3], made(10 + i, pieces, sees[i % 4]), TOLD) for i in range(count)]


def only(made: TextRow, encoder: int) -> TextRow:
    """The same pair of an engine that has this encoder alone."""
    query, document = (
        Text((each.pieces[encoder],), each.terms, each.key) for each in (made.query, made.document)
    )
    return text_row(query, document, TOLD)


@pytest.mark.parametrize("slice_tokens", [1 << 20, 40])
def test_two_encoders_say_of_a_pair_what_each_says_alone(slice_tokens: int) -> None:
    rows = pairs_of_two(36, 50)
    both = two_of(DrawnEncoder(5), DrawnEncoder(6), slice_tokens=slice_tokens)
    found = both.forward(rows)
    assert found.shape == (36, 10)
    assert both.layout[3] == "e0.cosine"
    assert both.layout[6] == "e1.cosine"
    for encoder, columns in ((0, slice(3, 6)), (1, slice(6, 9))):
        alone = two_of(DrawnEncoder(5 + encoder)).forward([only(row, encoder) for row in rows])
        assert np.array_equal(found[:, columns], alone[:, 3:6])
        assert np.array_equal(found[:, :3], alone[:, :3])
        seen = np.array([row.pieces(encoder) is not None for row in rows])
        assert 0 < seen.sum() < len(rows)
        assert (found[seen, columns] != 0).all()
        assert (found[~seen, columns] == 0).all()
    assert (found[:, 9] == TOLD[0]).all()


def test_each_encoder_is_given_only_the_texts_that_it_sees_and_each_once() -> None:
    encoders = DrawnEncoder(5), DrawnEncoder(6)
    made, rows = two_of(*encoders), pairs_of_two(36, 6)
    assert not any(made.remembered_tokens(rows))
    made.forward(rows)
    for i, encoder in enumerate(encoders):
        seen = [row for row in rows if row.pieces(i) is not None]
        assert len(encoder.encoded) == len({r.query.key for r in seen}) + len(seen)
    remembered = [
        sum(pair[1].size for i in range(2) if (pair := row.pieces(i)) is not None) for row in rows
    ]
    assert made.remembered_tokens(rows) == remembered
    assert {0, 6, 7, 13} >= set(remembered)
    made.close()
    assert all(encoder.closed for encoder in encoders)


def test_a_row_costs_what_all_its_encoders_read() -> None:
    rows = pairs_of_two(12, 50)
    for made in rows:
        read = [pair for i in range(2) if (pair := made.pieces(i)) is not None]
        assert made.tokens == (sum(q.size + d.size for q, d in read) or 1)
        assert made.second == sum(q.size for q, _ in read)
    assert len({made.tokens for made in rows}) == 4


@pytest.mark.parametrize("is_known", [False, True])
def test_a_long_row_of_two_encoders_runs_in_steps(*, is_known: bool) -> None:
    encoders = DrawnEncoder(5), DrawnEncoder(6)
    made, row = two_of(*encoders, slice_tokens=100), pairs_of_two(1, 500)[0]
    whole = two_of(DrawnEncoder(5), DrawnEncoder(6)).forward([row])[0]
    if is_known:
        made.forward([row])
    sliced, steps = drained(made.slices(row))
    assert np.array_equal(sliced, whole)
    assert sum(steps) == row.tokens
    assert len(steps) == (1 if is_known else -(-row.tokens // 100))
    windows = len(WINDOW.cut(np.zeros(501, np.int32)))
    most = -(-windows // -(-row.tokens // 100)) * (WINDOW.pieces + 2)
    assert all(max(encoder.calls[1:]) <= most for encoder in encoders)
