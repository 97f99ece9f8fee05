"""A token encoder with its memory, by itself: windows, prompts, exact comparison in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.rows import TokenIds
from rerankd.engines.encoder import EncoderConfig, tensor_shapes
from rerankd.engines.max_sim import Vectors, compare, compare_one, concatenated, int8_rows, products
from rerankd.engines.openvino.token_encoder import PROJECTION, TokenEncoder
from rerankd.engines.token_vectors import TokenVectors, Window
from rerankd.engines.vector_cache import ByteCache
from tests.engines.drawn import IDF, WIDTH, WINDOW, DrawnEncoder, drawn_vectors


def ids(*pieces: int) -> TokenIds:
    return np.array(pieces, np.int32)


def test_it_compares_texts_by_itself() -> None:
    made = drawn_vectors()
    [query] = made.encode_queries({b"q": ids(9, 40)}).values()
    found = made.encode_documents({b"same": ids(9, 40), b"other": ids(70, 71)})
    features = made.features(query, list(found.values()))
    assert features.shape == (2, 3)
    assert features[0] == pytest.approx([1.0, 1.0, 1.0], abs=0.01)
    assert (features[1] < 0.9).all()
    assert b"same" in made.documents


def test_queries_and_documents_have_prompts_of_their_own() -> None:
    encoder = DrawnEncoder()
    made = TokenVectors(
        encoder,
        query_window=Window(pieces=4, before=(1, 10, 11), after=(2,)),
        document_window=Window(pieces=6, before=(1, 12), after=(2, 3)),
        idf=IDF,
        cache_bytes=1 << 20,
    )
    text = ids(20, 21, 22, 23, 24, 25)
    [query] = made.encode_queries({b"t": text}).values()
    made.encode_documents({b"t": text})
    assert [each.tolist() for each in encoder.encoded] == [
        [1, 10, 11, 20, 21, 22, 2],
        [1, 10, 11, 23, 24, 25, 2],
        [1, 12, 20, 21, 22, 23, 24, 25, 2, 3],
    ]
    around = [0.0, 0.0, 0.0]  # the ids around the text weigh nothing
    first, second = IDF[[20, 21, 22]].tolist(), IDF[[23, 24, 25]].tolist()
    assert query.idf.tolist() == [*around, *first, 0.0, *around, *second, 0.0]
    assert Window(pieces=4, before=(1, 10, 11), after=(2,)).tokens == 8


def test_a_query_that_comes_again_is_kept_whole() -> None:
    made = drawn_vectors()
    [first] = made.encode_queries({b"q": ids(9, 40)}).values()
    assert made.encode_queries({b"q": ids(9, 40), b"r": ids(7)})[b"q"] is first
    assert first.nbytes == first.vectors.nbytes + first.idf.nbytes


def test_common_tokens_of_documents_are_not_kept_unless_there_are_no_others() -> None:
    window = Window(pieces=6, before=(1,), after=(2,))
    common = float(IDF[50])
    made = TokenVectors(
        DrawnEncoder(),
        query_window=window,
        document_window=window,
        idf=IDF,
        cache_bytes=1 << 20,
        common_idf=common,
    )
    texts = {b"mixed": ids(20, 60, 21, 70), b"common": ids(20, 21)}
    kept = {key: len(each.tokens) for key, each in made.encode_documents(texts).items()}
    assert kept == {b"mixed": 2, b"common": 4}


def encoder_weights(config: EncoderConfig) -> dict[str, npt.NDArray[np.float32]]:
    draw = np.random.default_rng(4)
    shapes = {**tensor_shapes(config), PROJECTION: (16, config.hidden)}
    return {name: draw.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def encoded(
    config: EncoderConfig, weights: dict[str, npt.NDArray[np.float32]], texts: Sequence[TokenIds]
) -> list[npt.NDArray[np.float32]]:
    made = TokenEncoder(config, lambda name: weights[name], streams=1)
    try:
        return [each.tokens for each in made.encode(texts)]
    finally:
        made.close()


def test_the_encoder_may_count_positions_as_bert_or_as_xlm_r() -> None:
    """XLM-R's table begins behind the pad id; a table moved by as much gives the same vectors."""
    bert = EncoderConfig(
        architecture="bert",
        hidden=64,
        layers=1,
        heads=2,
        intermediate=128,
        vocab=90,
        positions=40,
        token_types=1,
        layer_norm_eps=1e-5,
        labels=0,
        pad_id=1,
    )
    xlm_r = replace(bert, architecture="xlm-roberta", positions=42)
    weights = encoder_weights(bert)
    table = "embeddings.position_embeddings.weight"
    unused = np.full((2, 64), 9.0, np.float32)
    moved = weights | {table: np.concatenate((unused, weights[table]))}
    texts = [ids(0, 5, 6, 7, 2), ids(0, *range(10, 45), 2)]
    for ours, theirs in zip(
        encoded(bert, weights, texts), encoded(xlm_r, moved, texts), strict=True
    ):
        assert np.array_equal(ours, theirs)
        assert np.ptp(ours) > 0.1


@pytest.mark.parametrize("asked", [1, 5, 7, 13, 40, 130])
@pytest.mark.parametrize("rows", [1, 64, 200])
def test_products_in_pieces_are_the_whole_product(asked: int, rows: int) -> None:
    draw = np.random.default_rng(asked * rows)
    a, b = (draw.integers(-127, 128, (n, 128)).astype(np.float32) for n in (asked, rows))
    assert np.array_equal(products(a, b), a @ b.T)


@pytest.mark.parametrize("rows", [1, 7, 30, 1000])
def test_parts_of_vectors_are_the_whole(rows: int) -> None:
    draw = np.random.default_rng(rows)

    def vectors(tokens: int, windows: int) -> Vectors:
        values, means = draw.normal(size=(tokens, WIDTH)), draw.normal(size=(windows, 9))
        return Vectors(*int8_rows(values.astype(np.float32)), *int8_rows(means.astype(np.float32)))

    asked, document = vectors(5, 2), vectors(30, 3)
    parts = list(document.cut(rows))
    assert all(0 < len(part.tokens) <= rows for part in parts)
    whole = concatenated(parts)
    assert np.array_equal(whole.tokens, document.tokens)
    assert np.array_equal(whole.mean_scales, document.mean_scales)
    at_once = compare(asked, [document])
    best = compare_one(asked, document)
    for part in parts:
        best = best.larger(compare_one(asked, part))
    assert np.array_equal(best.tokens, at_once.tokens)
    assert np.array_equal(best.means, at_once.means)


def test_windows_hold_every_piece_once_and_are_alike() -> None:
    pieces = np.arange(10, 31, dtype=np.int32)
    windows = WINDOW.cut(pieces)
    assert [w.size for w in windows] == [9, 9, 9]
    assert all(w[0] == 1 and w[-1] == 2 for w in windows)
    assert np.array_equal(np.concatenate([w[1:-1] for w in windows]), pieces)
    assert [w.tolist() for w in WINDOW.cut(pieces[:0])] == [[1, 2]]


def test_int8_rows_keep_a_vector_within_half_a_step() -> None:
    x = np.random.default_rng(1).normal(size=(9, 128)).astype(np.float32)
    values, scales = int8_rows(x)
    assert np.abs(values * scales[:, None] - x).max() <= scales.max() / 2 * 1.001
    assert int8_rows(np.zeros((1, 4), np.float32))[0].tolist() == [[0, 0, 0, 0]]


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: ByteCache[str] = ByteCache(100)
    cache.put(b"a", "A", 40)
    cache.put(b"b", "B", 40)
    assert cache.get(b"a") == "A"
    cache.put(b"c", "C", 40)
    cache.put(b"d", "too large", 101)
    assert [cache.get(key) for key in (b"a", b"b", b"c", b"d")] == ["A", None, "C", None]
    assert (cache.bytes, cache.hits, cache.misses, len(cache)) == (80, 3, 2, 2)
