"""A text tokenised in parts: the ids of the whole, whatever the text; bounded; left when told."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rerankd.core.errors import InvalidRequest
from rerankd.models.seams import Seams
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import LONGEST_UNCUT, PART, Cutter, Uncut, in_slices, weight
from rerankd.models.tokenizer_parts import Parts, read_parts
from tests.checkpoints.made import tokenizer_file
from tests.kit.nasty_texts import nasty_text

SPACES: Final = [
    {"content": " " * n, "id": 5000 + n, "normalized": True, "special": False} for n in (2, 3, 8)
]
FLAGS: Final = {"single_word": False, "lstrip": False, "rstrip": False}
MASK: Final = {"content": "<mask>", "id": 5000, "lstrip": True, "normalized": False}
COLLAPSE: Final = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
METASPACE: Final = {
    "type": "Metaspace",
    "replacement": "\u2581",
    "prepend_scheme": "always",
    "split": True,
}


def read(name: str) -> dict[str, Any]:
    if name == "mini":
        file = resources.files("rerankd.builtin").joinpath("mini", "tokenizer.json")
        return json.loads(file.read_text("utf-8"))
    return json.loads(tokenizer_file(name).read_text("utf-8"))


def with_added(fields: dict[str, Any], *tokens: dict[str, Any]) -> dict[str, Any]:
    added = [*fields["added_tokens"]]
    added += [{**FLAGS, "special": True, **token} for token in tokens]
    return {**fields, "added_tokens": added}


def variants() -> dict[str, dict[str, Any]]:
    """The tokenizers that ship, those of the tests, and these in the forms that are published."""
    found = {name: read(name) for name in ("mini", "bert", "modernbert", "qwen", "xlm-roberta")}
    xlm, bert, modern = found["xlm-roberta"], found["bert"], found["modernbert"]
    split = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, METASPACE]}
    found["xlm-roberta, split at white space"] = with_added(
        {**xlm, "pre_tokenizer": split, "normalizer": {"type": "NFKC"}}, MASK
    )
    steps = [{"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFKC"}, COLLAPSE]
    found["deberta"] = with_added({**xlm, "normalizer": {"type": "Sequence", "normalizers": steps}})
    spaced = {**modern["pre_tokenizer"], "add_prefix_space": True}
    found["roberta"] = with_added({**modern, "normalizer": None, "pre_tokenizer": spaced}, MASK)
    found["modernbert, runs of spaces"] = with_added(modern, *SPACES, MASK)
    cased = {**bert["normalizer"], "lowercase": False, "handle_chinese_chars": False}
    found["bert, cased, Chinese in words"] = {**bert, "normalizer": cased}
    return found


VARIANTS: Final = variants()
NAMES: Final = sorted(VARIANTS)


@cache
def tokenizer_of(name: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(VARIANTS[name]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def encoder_of(name: str, part: int = PART) -> TextEncoder:
    """With its own places to cut, but smaller parts."""
    encoder = TextEncoder(tokenizer_of(name))
    assert encoder.notes == ()
    if part != PART:
        parts = read_parts(tokenizer_of(name))
        assert parts is not None
        encoder.cutter = Cutter(
            Seams(parts, tokenizer_of(name)), part=part, longest_uncut=1_000_000
        )
    return encoder


@cache
def probabilities(name: str) -> list[float]:
    """Of a Unigram vocabulary by id; [] for others."""
    model = VARIANTS[name]["model"]
    return [score for _, score in model["vocab"]] if model["type"] == "Unigram" else []


def assert_same(name: str, found: list[int], whole: list[int]) -> None:
    """Equal; or, in Unigram, another way through the same text that is exactly as good."""
    scores = probabilities(name)
    if not scores or found == whole:
        assert found == whole
        return
    token = tokenizer_of(name).id_to_token
    assert "".join(filter(None, map(token, found))) == "".join(filter(None, map(token, whole)))
    goods = [sum(scores[i] for i in ids if i < len(scores)) for ids in (found, whole)]
    assert goods[0] == pytest.approx(goods[1], abs=1e-6)


texts = st.one_of(
    nasty_text,
    st.tuples(nasty_text, st.sampled_from("aภé😀 中.\n1"), st.integers(1, 300), nasty_text).map(
        lambda some: some[0] + some[1] * some[2] + some[3]
    ),
    st.lists(nasty_text | st.sampled_from(["[SEP]", "</s>", " <mask> ", "<think>", "  "])).map(
        "".join
    ),
)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=50)
@given(text=texts, part=st.sampled_from([2, 5, 13]))
def test_a_text_in_parts_gives_the_ids_of_the_whole(name: str, text: str, part: int) -> None:
    whole = tokenizer_of(name).encode(text, add_special_tokens=False).ids
    assert_same(name, encoder_of(name, part).encode(text, "query").tolist(), whole)


# Where spaces at the ends of a text are stripped, the token of a space alone may end before it.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "deberta"])
@settings(deadline=None, max_examples=30)
@given(text=texts, part=st.sampled_from([2, 5, 13]), data=st.data())
def test_places_in_the_text_are_those_of_the_whole(
    name: str, text: str, part: int, data: st.DataObject
) -> None:
    encoder = encoder_of(name, part)
    whole = tokenizer_of(name).encode(text, add_special_tokens=False)
    if encoder.encode(text, "query").tolist() != whole.ids:
        return  # as good, see above: other tokens end elsewhere
    at = data.draw(st.integers(0, len(text)))
    [found] = encoder.stream([text[at:]], ["documents[0]"], before=text[:at])
    ends = [end for _, end in whole.offsets]
    assert found.ids.tolist() == whole.ids
    assert found.first == (
        next((i for i, end in enumerate(ends) if end > at), len(ends)) if at else 0
    )
    if ends:
        tokens = data.draw(st.integers(1, len(ends)))
        assert encoder.covered(text, tokens) == text[: ends[tokens - 1]]


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_seam_inside_an_unknown_token_moves_no_place(part: int) -> None:
    text, encoder = "0ขขขข a", encoder_of("xlm-roberta", part)
    whole = tokenizer_of("xlm-roberta").encode(text, add_special_tokens=False)
    ends = [end for _, end in whole.offsets]
    assert encoder.encode(text, "query").tolist() == whole.ids
    for tokens in range(1, len(ends) + 1):
        assert encoder.covered(text, tokens) == text[: ends[tokens - 1]]
    for at in range(1, len(text) + 1):
        [found] = encoder.stream([text[at:]], ["documents[0]"], before=text[:at])
        assert found.first == next((i for i, end in enumerate(ends) if end > at), len(ends))


@pytest.mark.parametrize("name", ["xlm-roberta", "deberta"])
def test_unknown_letters_side_by_side_stay_one_unknown_token(name: str) -> None:
    text = "ქართული" * 10
    whole = tokenizer_of(name).encode(text, add_special_tokens=False).ids
    assert len(whole) < 5
    assert encoder_of(name, 5).encode(text, "query").tolist() == whole


WORST: Final = {
    "ligature": "\ufdfa" * 150_000,
    "numbers": "1.1" * 70_000,
    "one word": "a" * 200_000,
    "Chinese": "".join(chr(0x4E00 + i * 7919 % 20_000) for i in range(150_000)),
    "spaces": " " * 200_000,
    "emoji": "😀" * 200_000,
    "Thai": "ภาษาไทยเป็นภาษาที่" * 10_000,
    "marks": "a\u0301" * 90_000,
    "English": "the quick brown fox " * 10_000,
    "lines": "0123456789abcdef\n" * 12_000,
    "JSON": '{"key":[1,2.5,"value"],' * 9_000,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("worst", WORST)
def test_no_part_is_long_whatever_the_text(name: str, worst: str) -> None:
    looks: list[None] = []
    encoder = encoder_of(name)
    parts = read_parts(tokenizer_of(name))
    assert parts is not None
    try:
        for part in encoder.cutter.parts(WORST[worst], lambda: looks.append(None)):
            width = 18 if worst == "ligature" and parts.expands else 1
            assert len(part.shortened.text) * width <= LONGEST_UNCUT
    except Uncut:
        with pytest.raises(InvalidRequest, match=r"documents\[7\] has over 131072 characters"):
            encoder.encode(WORST[worst], "documents[7]")
    assert len(looks) >= 3  # it would have noticed that nobody waits


@pytest.mark.parametrize(
    ("name", "worst"),
    [
        *(("mini", worst) for worst in WORST),
        *(("deberta", worst) for worst in ("Chinese", "spaces", "lines", "English", "JSON")),
        *(("qwen", worst) for worst in ("Chinese", "English", "numbers", "JSON")),
        *(("modernbert", worst) for worst in ("Chinese", "English", "numbers", "JSON")),
    ],
)
def test_long_texts_are_read_whole(name: str, worst: str) -> None:
    text = WORST[worst]
    whole = tokenizer_of(name).encode(text, add_special_tokens=False).ids
    assert_same(name, encoder_of(name).encode(text, "query").tolist(), whole)


def test_reading_stops_between_parts_when_it_is_told_to() -> None:
    class Enough(Exception):
        pass

    calls = iter(range(4))

    def check() -> None:
        if next(calls, None) is None:
            raise Enough

    with pytest.raises(Enough):
        encoder_of("mini").encode(WORST["English"], "query", check)


def test_further_tokens_are_left_out_when_enough_are_read() -> None:
    encoder = encoder_of("mini")
    [some] = encoder.stream([WORST["English"]], ["query"], enough=1_000)
    [whole] = encoder.stream([WORST["English"]], ["query"])
    assert 1_000 < some.ids.size < whole.ids.size
    assert some.ids.tolist() == whole.ids[: some.ids.size].tolist()


def test_an_unknown_tokenizer_reads_short_texts_only_and_says_so() -> None:
    fields = {**VARIANTS["bert"], "pre_tokenizer": {"type": "Whitespace"}}
    tokenizer = Tokenizer.from_str(json.dumps(fields))
    tokenizer.no_truncation()
    encoder = TextEncoder(tokenizer)
    [note] = encoder.notes
    assert "131072 characters" in note
    assert encoder.encode("word " * 20_000, "query").size == 20_000
    with pytest.raises(InvalidRequest, match=r"documents\[3\] has 150000 characters; the limit"):
        list(encoder.stream(["word " * 30_000], ["documents[3]"]))


def test_a_tokenizer_that_parts_would_change_is_not_given_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mistaken = read_parts(tokenizer_of("bert"))

    def read_wrongly(_: Tokenizer) -> Parts | None:
        return mistaken

    monkeypatch.setattr("rerankd.models.text_encoder.read_parts", read_wrongly)
    assert TextEncoder(tokenizer_of("xlm-roberta")).notes != ()
    assert TextEncoder(tokenizer_of("mini")).notes == ()


def test_places_count_what_is_left_out_of_a_word_that_is_too_long() -> None:
    encoder = encoder_of("mini", 400)
    text = f"start {'a' * 2_000} then {'b' * 1_000}, and the end"
    whole = tokenizer_of("mini").encode(text, add_special_tokens=False)
    assert sum(len(part.shortened.text) for part in encoder.cutter.parts(text, lambda: None)) < 1500
    assert encoder.encode(text, "query").tolist() == whole.ids
    for tokens, (_, end) in enumerate(whole.offsets, 1):
        assert encoder.covered(text, tokens) == text[:end]
    for at in (3, 500, 2_006, 2_012, 2_700, 3_012, 3_020):
        [found] = encoder.stream([text[at:]], ["documents[0]"], before=text[:at])
        assert found.first == sum(end <= at for _, end in whole.offsets)


@given(st.lists(st.text(max_size=40)), st.integers(0, 30))
def test_texts_are_given_in_order_and_in_bounded_slices(some: list[str], each: int) -> None:
    slices = list(in_slices(some, 100, each=each))
    assert [text for part in slices for text in part] == some
    for part in slices:
        assert len(part) <= 1 or sum(weight(text, 100) + each for text in part) <= 100
