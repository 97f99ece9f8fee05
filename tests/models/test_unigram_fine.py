"""Texts by their segments: the ids of the library, whatever was met before, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings

from rerankd.models import unigram_model
from rerankd.models.unigram_check import recorded
from rerankd.models.unigram_file import read_unigram
from rerankd.models.unigram_fine import FineIds
from rerankd.models.unigram_segments import Remembered, has_short_segments
from rerankd.models.unigram_tokenizer import UnigramTokenizer
from tests.models.test_unigram_tokenizer import SHAPES, assert_same, data_of, library, ours, texts

CHINESE: Final = "二百七十三个学生在图书馆里读书,老师说:“明天考试!!!!!!!!”"
Search = Callable[[list[str]], list[bytes]]
TIES: Final = (
    "。" * 500, "哈" * 700, "哈哈哈xxiii哈哈......哈", "中ꙮ" * 300, "ꙮ" * 400,
    "\x01\x02中\x01ꙮ\x02",
    "中▁国▁▁人", "\uffff\ufffe中", "＜unk＞中国", "中" * 1_100 + "!!!!!!!", "",
)  # fmt: skip


@pytest.fixture
def all_fine() -> Iterator[None]:
    """Every text is cut, of any language and however short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unigram_model, "has_short_segments", bool)
        patch.setattr(unigram_model, "WORTH_CUTTING", 1)
        yield


@pytest.mark.usefixtures("all_fine")
@pytest.mark.parametrize("shape", SHAPES)
def test_ids_are_the_librarys_when_met_first_and_again(shape: str) -> None:
    fresh = read_unigram(data_of(shape))
    assert fresh is not None
    some = [CHINESE, *TIES, *(each.text for each in recorded())]
    wanted = [each.ids for each in library(shape).encode_batch(some, add_special_tokens=False)]
    for _ in range(2):
        assert [each.ids.tolist() for each in fresh.encode_batch_fast(some)] == wanted
    reverse = fresh.encode_batch_fast(some[::-1])
    assert [each.ids.tolist() for each in reverse] == wanted[::-1]


@pytest.mark.usefixtures("all_fine")
@pytest.mark.parametrize("shape", SHAPES)
@settings(deadline=None, max_examples=60)
@given(text=texts)
def test_any_text_has_the_librarys_ids(shape: str, text: str) -> None:
    assert_same(shape, text, f"{text} {CHINESE}", text + text)


def test_only_dense_texts_are_cut_and_all_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    by_segments = FineIds.ids

    def noted(self: FineIds, some: Sequence[str]) -> object:
        seen.extend(some)
        return by_segments(self, some)

    monkeypatch.setattr(FineIds, "ids", noted)
    monkeypatch.setattr(unigram_model, "WORTH_CUTTING", 100)
    english = "The students read in the library."
    assert_same("words", english, CHINESE * 3, "", english, CHINESE * 4, "<mask>")
    assert [len(text) for text in seen] == [len(CHINESE) * n + 1 for n in (3, 4)]
    assert not has_short_segments(" สวัสดีครับ ยินดีต้อนรับ")
    seen.clear()
    assert_same("words", CHINESE, english)
    assert not seen


@pytest.mark.usefixtures("all_fine")
def test_what_is_remembered_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = read_unigram(data_of("words"))
    assert tokenizer is not None
    asked: list[str] = []
    ids = Remembered.ids

    def noted(self: Remembered, some: Sequence[str], search: Search) -> list[bytes]:
        def searched(new: list[str]) -> list[bytes]:
            asked.extend(new)
            return search(new)

        return ids(self, some, searched)

    monkeypatch.setattr(Remembered, "ids", noted)
    text = "the students of the library and their teachers of the library"
    first = tokenizer.encode(text).ids
    assert asked.count(" library") == 1
    asked.clear()
    assert np.array_equal(tokenizer.encode(text).ids, first)
    assert not asked


def test_a_batch_larger_than_is_cut_at_once() -> None:
    some = [CHINESE * n for n in (1, 2_500, 1, 900, 900, 900, 3)]
    found = ours("words").encode_batch_fast(some)
    wanted = library("words").encode_batch(some, add_special_tokens=False)
    assert [each.ids.tolist() for each in found] == [each.ids for each in wanted]


def ids_of(text: str) -> bytes:
    return text.encode()[:8]


def search(some: list[str]) -> list[bytes]:
    return [*map(ids_of, some)]


def test_memory_is_bounded_whatever_comes() -> None:
    most = 200_000
    remembered = Remembered(most, longest=20)
    tracemalloc.start()
    try:
        for start in range(0, 60_000, 500):
            # Wide characters: four bytes each.
            some = [f"\U00020000{number:x}" for number in range(start, start + 500)]
            assert remembered.ids(some, search) == search(some)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < kept < 2 * most + 50_000
    long = ["x" * 21]
    for _ in range(2):
        asked: list[str] = []
        remembered.ids(long, lambda some, asked=asked: (asked.extend(some), search(some))[1])
        assert asked == long


def test_what_is_asked_for_stays_and_each_is_searched_once() -> None:
    remembered = Remembered(20_000, longest=20)
    asked: list[str] = []

    def noted(some: list[str]) -> list[bytes]:
        asked.extend(some)
        return search(some)

    for number in range(2_000):
        some = ["often", f"once {number}", "often"]
        assert remembered.ids(some, noted) == search(some)
    assert asked.count("often") == 1
    assert len(asked) == 2_001
    remembered.ids(["once 0"], noted)
    assert asked[-1] == "once 0"


def test_threads_get_what_was_searched() -> None:
    remembered = Remembered(20_000, longest=20)

    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        some = [[f"t{n}" for n in rng.integers(0, 500, 40)] for _ in range(200)]
        return all(remembered.ids(each, search) == search(each) for each in some)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_text_is_the_same_in_any_company() -> None:
    tokenizer: UnigramTokenizer = ours("words")
    alone = tokenizer.encode(CHINESE).ids
    many = tokenizer.encode_batch_fast([CHINESE * 40] * 4 + [CHINESE] * 100)
    assert all(np.array_equal(each.ids, alone) for each in many[4:])
