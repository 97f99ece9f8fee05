"""Segmentation: every script, identifiers, hostile text, and the same ids everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.engines.lexical import BIGRAM, CHANNEL_BITS, CHARACTER, STEM, WORD
from rerankd.models.normal_text import PIECE_CHARACTERS, normal, normal_pieces
from rerankd.models.segment import Segmenter, fold, parts, term_id
from tests.kit.nasty_texts import nasty_text

any_text = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates included


def terms(text: str) -> set[int]:
    return set(Segmenter().ids(text).tolist())


def of(channel: int, *words: str) -> set[int]:
    return {term_id(channel, word) for word in words}


@given(any_text)
def test_any_text_gives_valid_ids(text: str) -> None:
    ids = Segmenter().ids(text)
    assert ids.dtype == np.int32
    assert all(0 <= term >> CHANNEL_BITS <= CHARACTER for term in ids.tolist())


@given(any_text)
def test_a_warm_segmenter_answers_like_a_new_one(text: str) -> None:
    warm = Segmenter()
    warm.ids(text)
    assert np.array_equal(warm.ids(text), Segmenter().ids(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Häuser", "hauser"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("co\u00adop zero\u200bwidth", "coop zerowidth"),
        ("İSTANBUL", "istanbul"),
        ("STRASSE", "straße"),
        ("ёлка", "елка"),
        ("الْعَرَبِيَّةُ", "العربية"),
        ("Ἀθῆναι", "αθηναι"),
    ],
    ids=["umlaut", "full width", "invisible", "Turkish", "sharp s", "Russian", "Arabic", "Greek"],
)
def test_spellings_of_one_word_agree(one: str, other: str) -> None:
    assert terms(one) == terms(other) != set()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("connection", "connected"),
        ("столица", "столицы"),
        ("evlerimizden", "evlerimiz"),
        ("nationale", "nationalen"),
        ("الكتاب", "كتاب"),
    ],
    ids=["en", "ru", "tr", "de", "ar"],
)
def test_inflected_forms_share_a_stem_but_not_the_word(one: str, other: str) -> None:
    shared = terms(one) & terms(other)
    assert {term >> CHANNEL_BITS for term in shared} == {STEM}


@pytest.mark.parametrize(
    ("text", "gram"),
    [
        ("东京大学", "大学"),
        ("梅雨前線", "前線"),
        ("ประเทศไทย", "ไท"),
        ("ພາສາລາວ", "ລາ"),
        ("한국어를", "국어"),
    ],
    ids=["zh", "ja", "th", "lo", "ko"],
)
def test_scripts_without_spaces_give_bigrams(text: str, gram: str) -> None:
    assert of(BIGRAM, gram) <= terms(text)


def test_unspaced_and_spaced_text_in_one_run_are_told_apart() -> None:
    assert of(WORD, "iphone15") | of(BIGRAM, "手机") <= terms("手机iPhone15")


def test_vowel_marks_stay_where_they_are_letters() -> None:
    assert fold("हिन्दी") == "हिन्दी"
    assert terms("がく") != terms("かく")


@pytest.mark.parametrize(
    ("token", "whole", "split"),
    [
        ("max_tokens_per_doc", "max_tokens_per_doc", ("max", "tokens", "per", "doc")),
        ("parseHTTPResponse", "parsehttpresponse", ("parse", "http", "response")),
        ("2.13.0", "2.13.0", ("2", "13", "0")),
        ("ERR_42", "err_42", ("err", "42")),
    ],
    ids=["snake", "camel", "version", "error code"],
)
def test_identifiers_are_kept_whole_and_split(
    token: str, whole: str, split: tuple[str, ...]
) -> None:
    assert of(WORD, whole, *split) <= terms(f"see {token}, please.")


def test_a_plain_word_has_one_part() -> None:
    assert parts("Straße") == ["Straße"]
    assert parts("") == []


def test_a_sentence_without_a_space_after_its_dot_is_split() -> None:
    assert of(WORD, "end", "next") <= terms("the end.next one")


@pytest.mark.parametrize("text", ["", " \n\t", "…—!?", "\x00\x01", "___", "\u200b\u202e"])
def test_text_without_letters_or_digits_has_no_terms(text: str) -> None:
    assert Segmenter().ids(text).shape == (0,)


def test_ids_do_not_depend_on_the_process() -> None:
    text = "Rank 東京 überall ERR_42"
    code = (
        f"from rerankd.models.segment import Segmenter; print(Segmenter().ids({text!r}).tolist())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{Segmenter().ids(text).tolist()}\n"}


@pytest.mark.parametrize(
    "pattern",
    ["a", "aB", "a_", "1.", "\u0301\u0316", "\uff9e\u0316", "é", "字", "\ud800", "ﷺ", "😀"],
)
def test_a_long_run_takes_linear_time(pattern: str) -> None:
    text = pattern * (400_000 // len(pattern))
    start = time.process_time()
    Segmenter().ids(text)
    # Squared time would be minutes; linear is below 3 s on a slow machine.
    assert time.process_time() - start < 20


WHOLE = Segmenter(piece=1_000_000)


@given(nasty_text | any_text, st.sampled_from([1, 2, 3, 7, 20]))
def test_a_text_read_in_pieces_gives_the_ids_of_the_whole(text: str, piece: int) -> None:
    assert np.array_equal(Segmenter(piece).ids(text), WHOLE.ids(text))


@given(nasty_text | any_text, st.sampled_from([1, 2, 3, 7, 20]))
def test_normal_pieces_join_to_the_normal_text(text: str, piece: int) -> None:
    assert "".join(normal_pieces(text, piece)) == normal(text)


@pytest.mark.parametrize(
    "unit", ["1.1", "a", "é", "x.5é", "1.๕", "中", "a\u0301", "คำ", "\ufdfa", "\u0301", " ", "하"]
)
def test_runs_longer_than_a_piece_give_the_ids_of_the_whole(unit: str) -> None:
    for text in (unit * 5_000, f"start {unit * 5_000}.", f"{unit * 3_000}. end.5 {unit * 2_000}"):
        assert np.array_equal(Segmenter(512).ids(text), WHOLE.ids(text))


@pytest.mark.parametrize(
    "unit", ["\ufdfa", "\u0301", "a\u0301", "\u0301" * 8 + "\u200d", "\u1161", "1.1"]
)
def test_what_is_normalised_at_once_is_bounded_whatever_the_text(unit: str) -> None:
    pieces = list(normal_pieces(unit * (200_000 // len(unit))))
    assert max(map(len, pieces)) <= 18 * PIECE_CHARACTERS


def test_reading_a_long_text_stops_when_it_is_told_to() -> None:
    class Enough(Exception):
        pass

    calls = iter(range(3))

    def check() -> None:
        if next(calls, None) is None:
            raise Enough

    text = "é" * (100 * PIECE_CHARACTERS)
    with pytest.raises(Enough):
        Segmenter().ids(text, check)
