"""Late interaction on a made-up encoder: every token's vector is drawn from its id."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest
from support import row

from rerankd.core.rows import TokenIds
from rerankd.engines.base import Remembering, Sliced
from rerankd.engines.late_interaction import (
    COUNTED,
    FEATURES,
    FOREIGN,
    OTHER_SCRIPT,
    TERMS_PER_TOKEN,
    Head,
    LateInteractionEngine,
    PieceTable,
    Text,
    TextRow,
    Window,
    text_row,
)
from rerankd.engines.lexical import BIGRAM, CHANNEL_BITS, LongDocument
from rerankd.engines.max_sim import Vectors, compare, compare_one, int8_rows, joined, products
from rerankd.engines.vector_cache import ByteCache

Floats = npt.NDArray[np.float32]
WORDS = BIGRAM << CHANNEL_BITS
VOCABULARY, WIDTH = 200, 24
WINDOW = Window(pieces=8, first_id=1, last_id=2)


@dataclass(frozen=True)
class Made:
    tokens: Floats
    mean: Floats


class DrawnEncoder:
    def __init__(self) -> None:
        self.table = np.random.default_rng(5).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
        self.table /= np.linalg.norm(self.table, axis=1, keepdims=True)
        self.encoded: list[TokenIds] = []
        self.calls: list[int] = []  # tokens each
        self.closed = False

    def encode(self, texts: Sequence[TokenIds]) -> list[Made]:
        self.encoded += texts
        self.calls.append(sum(ids.size for ids in texts))
        out: list[Made] = []
        for ids in texts:
            mean = self.table[ids].mean(axis=0)
            out.append(Made(self.table[ids], mean / np.linalg.norm(mean)))
        return out

    def close(self) -> None:
        self.closed = True


def piece_table() -> PieceTable:
    kinds = np.full(VOCABULARY, COUNTED, np.uint8)
    kinds[100:150] |= FOREIGN
    kinds[150:] |= FOREIGN | OTHER_SCRIPT
    idf = np.linspace(0.0, 5.0, VOCABULARY).astype(np.float32)
    return PieceTable(idf, kinds)


def engine(
    cache_bytes: int = 1 << 20, *, encoder: DrawnEncoder | None = None, slice_tokens: int = 1 << 20
) -> LateInteractionEngine:
    head = Head(np.array([0.5]), np.arange(1.0, 1.0 + len(FEATURES))[None, :], np.array([0.5]))
    return LateInteractionEngine(
        encoder or DrawnEncoder(),
        WINDOW,
        piece_table(),
        head,
        cache_bytes=cache_bytes,
        slice_tokens=slice_tokens,
    )


def text(*pieces: int) -> Text:
    ids = np.array(pieces, np.int32)
    return Text(ids, ids, blake2b(ids.tobytes(), digest_size=16).digest())


def some_rows(count: int = 40) -> list[TextRow]:
    draw = np.random.default_rng(3)
    queries = [text(*draw.integers(3, 90, 5)) for _ in range(3)]
    return [
        text_row(queries[i % 3], text(*draw.integers(3, VOCABULARY, draw.integers(0, 60))))
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
    return text_row(text(*query), text(*document))


def test_features_are_those_of_the_plain_definition() -> None:
    made = engine()
    table = DrawnEncoder().table
    query, document = text(3, 40, 90), text(5, 41, 88, 9, 40, 17, 60, 61, 62, 63)
    [(members, _, found)] = made.features([text_row(query, document)])
    asked = np.concatenate(WINDOW.cut(query.pieces))
    windows = WINDOW.cut(document.pieces)
    best = (table[asked] @ table[np.concatenate(windows)].T).max(axis=1)
    idf = np.linspace(0.0, 5.0, VOCABULARY)[asked]
    means = [table[ids].mean(axis=0) for ids in (asked, *windows)]
    cosines = [
        float(means[0] @ m / np.linalg.norm(means[0]) / np.linalg.norm(m)) for m in means[1:]
    ]
    expected = [max(cosines), best.mean(), best @ idf / idf.sum()]
    assert members == [0]
    assert found[0, 3:] == pytest.approx(expected, abs=0.01)  # int8 vectors
    assert 0.0 < found[0, 0] < 1.0


def test_a_score_is_the_same_in_any_company() -> None:
    rows = some_rows()
    together = engine().forward(rows)
    alone = np.concatenate([engine().forward([row]) for row in rows])
    backwards = engine().forward(rows[::-1])[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)
    assert np.ptp(together) > 0.1


def test_a_long_list_is_compared_in_parts_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = some_rows()
    whole = engine().forward(rows)
    monkeypatch.setattr("rerankd.engines.max_sim._STEP_CELLS", 50)
    assert np.array_equal(engine().forward(rows), whole)


@pytest.mark.parametrize("asked", [1, 40, 130])
@pytest.mark.parametrize("rows", [1, 64, 200])
def test_products_in_pieces_are_the_whole_product(asked: int, rows: int) -> None:
    draw = np.random.default_rng(asked * rows)
    a, b = (draw.integers(-127, 128, (n, 128)).astype(np.float32) for n in (asked, rows))
    assert np.array_equal(products(a, b), a @ b.T)


def test_each_text_is_encoded_once() -> None:
    encoder = DrawnEncoder()
    made = engine(encoder=encoder)
    rows = some_rows()
    first = made.forward(rows)
    windows = len(encoder.encoded)
    assert np.array_equal(made.forward(rows), first)
    assert len(encoder.encoded) == windows
    assert made.documents.hits == made.documents.misses == len({r.document.key for r in rows})


def test_without_room_for_vectors_the_scores_are_the_same() -> None:
    made = engine(cache_bytes=0)
    rows = some_rows()
    assert np.array_equal(made.forward(rows), engine().forward(rows))
    assert made.documents.bytes == 0


def test_it_tells_whose_vectors_it_kept() -> None:
    made, rows = engine(), some_rows()
    sizes = [int(r.document.pieces.size) for r in rows]
    assert isinstance(made, Remembering)
    assert not any(made.remembered_tokens(rows))
    made.forward(rows[:10])
    assert made.remembered_tokens(rows) == [*sizes[:10], *[0] * 30]
    other = text_row(text(4, 5), rows[3].document)
    assert made.remembered_tokens([other]) == [sizes[3]] != [0]
    assert (made.documents.hits, made.documents.misses) == (0, 10)
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
    assert sliced.shape == (1,)
    assert sliced.dtype == whole.dtype
    assert sum(steps) == row.tokens
    assert len(steps) == -(-row.tokens // slice_tokens)
    windows = len(WINDOW.cut(row.document.pieces))
    most = -(-windows // len(steps)) * (WINDOW.pieces + 2)
    assert max(encoder.calls[1:]) <= most  # the query is the first
    assert max(steps) <= slice_tokens
    recalled, _ = drained(made.slices(row))
    assert np.array_equal(recalled, sliced)
    assert len(encoder.encoded) == len(WINDOW.cut(row.query.pieces)) + len(
        WINDOW.cut(row.document.pieces)
    )


def test_long_rows_among_short_ones_score_the_same() -> None:
    rows = [*some_rows(5), long_row(500), *some_rows(9), long_row(300), long_row(500)]
    assert np.array_equal(engine(slice_tokens=70).forward(rows), engine().forward(rows))


def test_a_long_row_that_is_known_is_compared_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    row, made = long_row(500), engine(slice_tokens=50)
    whole = made.forward([row])
    monkeypatch.setattr("rerankd.engines.late_interaction._STEP_ROWS", 100)
    again, steps = drained(made.slices(row))
    assert np.array_equal(again, whole[0])
    assert sum(steps) == row.tokens
    assert len(steps) == -(-(500 + 2 * 63) // 100)


def test_a_text_of_many_terms_and_few_pieces_counts_by_its_terms() -> None:
    draw = np.random.default_rng(1)
    usual = text(*draw.integers(3, VOCABULARY, 30))
    terms = draw.integers(0, 40, 50 * TERMS_PER_TOKEN, dtype=np.int32) | WORDS
    many = Text(usual.pieces[:3], terms, b"many")
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
        many = Text(np.arange(3, 3 + pieces, dtype=np.int32), terms, b"many")
        row = text_row(asked, many)
        whole = engine().forward([row])
        added: list[int] = []
        monkeypatch.setattr(LongDocument, "add", counted(LongDocument.add, added))
        sliced, steps = drained(engine(slice_tokens=20).slices(row))
        monkeypatch.undo()
        assert np.array_equal(sliced, whole[0])
        assert sum(steps) == row.tokens
        assert sum(added) == terms.size
        assert max(added) <= 20 * TERMS_PER_TOKEN


def test_a_row_left_in_the_middle_leaves_nothing_behind() -> None:
    encoder = DrawnEncoder()
    made, row = engine(encoder=encoder, slice_tokens=50), long_row(500)
    steps = made.slices(row)
    for _ in range(3):
        next(steps)
    encoded = len(encoder.encoded)
    steps.close()
    assert len(made.documents) == 0
    assert len(encoder.encoded) == encoded < len(WINDOW.cut(row.document.pieces))
    assert np.array_equal(made.forward([row]), engine().forward([row]))


@pytest.mark.parametrize(("shares", "is_kept"), [(8, True), (3, False), (0, False)])
def test_a_long_document_may_take_a_part_of_the_cache_only(*, shares: int, is_kept: bool) -> None:
    row, whole = long_row(500), engine()
    whole.forward([row])
    made = engine(shares * whole.documents.bytes, slice_tokens=50)
    made.forward([row])
    assert (row.document.key in made.documents) is is_kept


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


@pytest.mark.parametrize("rows", [1, 7, 30, 1000])
def test_parts_of_vectors_are_the_whole(rows: int) -> None:
    draw = np.random.default_rng(rows)

    def vectors(tokens: int, windows: int) -> Vectors:
        values, means = draw.normal(size=(tokens, WIDTH)), draw.normal(size=(windows, 9))
        return Vectors(*int8_rows(values.astype(np.float32)), *int8_rows(means.astype(np.float32)))

    asked, document = vectors(5, 2), vectors(30, 3)
    parts = list(document.cut(rows))
    assert all(0 < len(part.tokens) <= rows for part in parts)
    whole = joined(parts)
    assert np.array_equal(whole.tokens, document.tokens)
    assert np.array_equal(whole.mean_scales, document.mean_scales)
    at_once = compare(asked, [document])
    best = compare_one(asked, document)
    for part in parts:
        best = best.larger(compare_one(asked, part))
    assert np.array_equal(best.tokens, at_once.tokens)
    assert np.array_equal(best.means, at_once.means)


def test_texts_with_equal_pieces_are_different_rows() -> None:
    pieces = np.array([7], np.int32)
    one = Text(pieces, np.array([11], np.int32), b"1" * 16)
    two = Text(pieces, np.array([12], np.int32), b"2" * 16)
    assert text_row(one, one).key() != text_row(one, two).key()


def test_a_pair_without_a_word_piece_is_a_row_all_the_same() -> None:
    empty = text()
    made = text_row(empty, empty)
    assert made.tokens == 1
    assert np.isfinite(engine().forward([made])).all()


def test_windows_hold_every_piece_once_and_are_alike() -> None:
    pieces = np.arange(10, 31, dtype=np.int32)
    windows = WINDOW.cut(pieces)
    assert [w.size for w in windows] == [9, 9, 9]
    assert all(w[0] == 1 and w[-1] == 2 for w in windows)
    assert np.array_equal(np.concatenate([w[1:-1] for w in windows]), pieces)
    assert [w.tolist() for w in WINDOW.cut(pieces[:0])] == [[1, 2]]


def test_foreign_share_is_of_the_query() -> None:
    table = piece_table()
    english, latin, other = (text(*range(a, a + 20)) for a in (10, 110, 160))
    shares = [table.foreign_share(t.pieces) for t in (english, latin, other)]
    assert shares[0] < 0.05
    assert 0.9 < shares[1] < 0.95
    assert shares[2] == 1.0
    assert table.foreign_share(english.pieces[:0]) < 0.1


def test_weights_and_bias_lie_between_the_knots() -> None:
    head = Head(np.array([0.0, 1.0]), np.array([[0.0] * 6, [2.0] * 6]), np.array([1.0, 3.0]))
    found = np.ones((2, 6))
    assert head(found, 0.5).tolist() == [8.0, 8.0]
    assert head(found, 5.0).tolist() == [15.0, 15.0]


def test_int8_rows_keep_a_vector_within_half_a_step() -> None:
    x = np.random.default_rng(1).normal(size=(9, 128)).astype(np.float32)
    values, scales = int8_rows(x)
    assert np.abs(values * scales[:, None] - x).max() <= scales.max() / 2 * 1.001
    assert int8_rows(np.zeros((1, 4), np.float32))[0].tolist() == [[0, 0, 0, 0]]


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
    assert len(made.documents) == made.documents.bytes == 0


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: ByteCache[str] = ByteCache(100)
    cache.put(b"a", "A", 40)
    cache.put(b"b", "B", 40)
    assert cache.get(b"a") == "A"
    cache.put(b"c", "C", 40)
    cache.put(b"d", "too large", 101)
    assert [cache.get(key) for key in (b"a", b"b", b"c", b"d")] == ["A", None, "C", None]
    assert (cache.bytes, cache.hits, cache.misses, len(cache)) == (80, 3, 2, 2)
