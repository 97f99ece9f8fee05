"""XLM-R's form of tokenizer.json without the library: its ids, its places, its chunks.

The vocabulary is a part of XLM-R's (training/record_xlmr_ids.py): whatever may stand in the
recorded texts, so that their ids are those of the whole.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.engines.fake import FakeEngine
from rerankd.models.base import ModelCard
from rerankd.models.cross_encoder import CrossEncoder
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.pair_template import derive_template
from rerankd.models.seams import Seams
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Cutter
from rerankd.models.tokenizer_file import read_any_tokenizer, read_own_tokenizer
from rerankd.models.tokenizer_parts import read_parts
from rerankd.models.tokens import AnyTokenizer
from rerankd.models.unigram_check import Recorded, agrees, gives_known_ids, recorded
from rerankd.models.unigram_file import read_unigram
from rerankd.models.unigram_model import UnigramModel
from rerankd.models.unigram_tokenizer import UnigramTokenizer
from tests.checkpoints.made import tokenizer_file
from tests.kit.nasty_texts import nasty_text

CUT: Final = Path(__file__).parent.parent / "data" / "xlm-roberta-cut.json.gz"
METASPACE: Final = {
    "type": "Metaspace",
    "replacement": "\u2581",
    "prepend_scheme": "always",
    "split": True,
}
OLD_METASPACE: Final = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
COLLAPSE: Final = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
COLLAPSE_TO_BLANK: Final = {**COLLAPSE, "content": "\u2581"}
STRIP: Final = {"type": "Strip", "strip_left": False, "strip_right": True}
STRIP_BOTH: Final = {"type": "Strip", "strip_left": True, "strip_right": True}
ZWJ: Final = {"type": "Replace", "pattern": {"String": "\u200d"}, "content": " "}


@cache
def stored() -> dict[str, Any]:
    return json.loads(gzip.decompress(CUT.read_bytes()))


def cut() -> dict[str, Any]:
    return {key: value for key, value in stored().items() if key != "original_ids"}


def places_in_cut() -> dict[int, int]:
    """XLM-R's id of a piece -> the one here."""
    return {original: i for i, original in enumerate(stored()["original_ids"])}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


@cache
def shapes() -> dict[str, dict[str, Any]]:
    """As the published models have it: xlm-roberta-base, bge-m3, what transformers converts, ..."""
    file = cut()
    charsmap = file["normalizer"]
    mask = {**file["added_tokens"][-1], "normalized": True}
    more = {**mask, "id": len(file["model"]["vocab"]), "content": "<sep>", "lstrip": False}
    return {
        "words": file,
        "words, old": {
            **file,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "WhitespaceSplit"}, OLD_METASPACE],
            },
            "normalizer": sequence(charsmap, COLLAPSE),
        },
        "blanks": {**file, "pre_tokenizer": METASPACE},
        "blanks, collapsed": {
            **file,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [METASPACE]},
            "normalizer": sequence(charsmap, COLLAPSE),
        },
        "converted": {
            **file,
            "pre_tokenizer": METASPACE,
            "normalizer": sequence(charsmap, STRIP, COLLAPSE_TO_BLANK),
        },
        "stripped": {
            **file,
            "pre_tokenizer": METASPACE,
            "normalizer": sequence(STRIP_BOTH, ZWJ, charsmap),
            "added_tokens": [*file["added_tokens"][:-1], mask, more],
        },
    }


SHAPES: Final = ["words", "words, old", "blanks", "blanks, collapsed", "converted", "stripped"]


def data_of(shape: str) -> bytes:
    return json.dumps(shapes()[shape]).encode()


@cache
def library(shape: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(data_of(shape).decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def ours(shape: str) -> UnigramTokenizer:
    found = read_unigram(data_of(shape))
    assert found is not None
    return found


def assert_same(shape: str, *texts: str) -> None:
    found = ours(shape).encode_batch(texts)
    wanted = library(shape).encode_batch(list(texts), add_special_tokens=False)
    for text, one, other in zip(texts, found, wanted, strict=True):
        assert one.ids.dtype == np.int32
        assert one.ids.tolist() == other.ids, text
        assert one.offsets == other.offsets, text


def test_recorded_ids_of_138_languages_are_given() -> None:
    at = places_in_cut()
    found = ours("words").encode_batch_fast([each.text for each in recorded()])
    for one, each in zip(found, recorded(), strict=True):
        assert one.ids.tolist() == [at[original] for original in each.ids], each.text


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_and_places_are_the_librarys(shape: str) -> None:
    assert_same(shape, "", " ", "  ", "\n", *(each.text for each in recorded()))
    assert agrees(ours(shape), library(shape))


tokens = st.sampled_from(
    [
        "<s>",
        "</s>",
        " <mask>",
        "\n<mask> ",
        "<unk>",
        "<pad>",
        "<sep>",
        "＜unk＞",
        "＜ｓ＞",
        "\u2581",
        "\r\n",
    ]
)
repeated = st.tuples(
    st.sampled_from(["a", "xxi", ".", "哈", "ภา", "ꙮ", "1.", "\u0301"]), st.integers(1, 90)
)
texts = st.lists(
    nasty_text | tokens
    | st.text(st.characters(codec="utf-8", max_codepoint=0x3FF), max_size=8)
    | st.sampled_from([each.text for each in recorded()])
    | repeated.map(lambda some: some[0] * some[1]),
    max_size=5,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@settings(deadline=None, max_examples=60)
@given(text=texts)
def test_ids_and_places_of_any_text_are_the_librarys(shape: str, text: str) -> None:
    assert_same(shape, text)


def test_texts_of_a_batch_do_not_touch() -> None:
    some = ["ꙮ", "ꙮ", "", "<unk>", "ꙮ<unk>ꙮ", "a", "", "ꙮꙮ" * 200, "ꙮ"]
    assert_same("words", *some)
    assert_same("blanks", *some)


# Two ways through each are equally good, or sums grow so far that float32 would round them.
@pytest.mark.parametrize(
    "text",
    [
        "xxiii, xxiii", "." * 500, "a" * 3_000, "哈" * 700, "1." * 900, "ابت" * 300,
        "ภาษาไทย" * 150,
        "ꙮ" * 400 + "a", "中ꙮ" * 300, "＜unk＞ꙮ＜unk＞", "\uffff\ufffe", "ấ" * 40 + " ấ" * 200,
        "տություն՝ հիմնված!!!!!!!!!! ??????", "!!!!!!!!!!!!!!!................",
        "hahahahahaha...........................00000000000",
        "!!!!abchahahahahahahahaha...............",
        " ...------------------------------------------------------------...............",
        "ꙮ ꙮ hahahahahaha...........................00000000000 ꙮ !!!!!!!!!!!!!!!................",
    ],
)  # fmt: skip
def test_ties_go_as_in_the_library(text: str) -> None:
    assert_same("words", text)


def test_a_text_is_cut_only_where_no_piece_reaches_across() -> None:
    model = ours("words").model
    pieces = {piece.replace("\u2581", " ") for piece in map(model.piece, range(model.size))}
    for each in recorded():
        text = " " + " ".join(each.text.split()) * 4
        groups = list(model.groups(text))
        assert "".join(groups) == text
        ends = np.cumsum([len(group) for group in groups])[:-1]
        for at in ends.tolist():
            for start in range(max(at - 16, 0), at):
                assert pieces.isdisjoint(text[start:end] for end in range(at + 1, at + 17))


def test_most_groups_need_one_search_only(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[str] = []
    searched = UnigramModel.searched

    def counted(self: UnigramModel, text: str) -> list[tuple[int, int]]:
        slow.append(text)
        return searched(self, text)

    monkeypatch.setattr(UnigramModel, "searched", counted)
    texts = [each.text for each in recorded()]
    ours("words").encode_batch_fast(texts)
    assert sum(map(len, slow)) * 50 < sum(map(len, texts))
    ours("words").encode_batch_fast(["ꙮꙮꙮꙮꙮꙮ a ꙮꙮꙮꙮꙮ b 😀ꙮꙮꙮꙮ中"] * 30)
    assert sum(map(len, slow)) * 50 < sum(map(len, texts))


def test_the_slow_search_looks_up_few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look_up = UnigramModel.id

    def counted(self: UnigramModel, piece: str) -> int | None:
        asked.append(piece)
        return look_up(self, piece)

    monkeypatch.setattr(UnigramModel, "id", counted)
    ours("words").encode("a" * 5_000)
    assert 0 < len(asked) < 100
    asked.clear()
    rng = random.Random(0)
    ours("words").encode("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5_000)))
    assert 0 < len(asked) < 1_000


def changed() -> Iterator[tuple[str, dict[str, Any]]]:
    file = cut()
    vocab: list[list[Any]] = file["model"]["vocab"]
    yield "BPE", {**file, "model": {"type": "BPE", "vocab": {}, "merges": []}}
    yield "bytes", {**file, "model": {**file["model"], "byte_fallback": True}}
    yield "no unknown", {**file, "model": {**file["model"], "unk_id": None}}
    yield "float64", {**file, "model": {**file["model"], "vocab": [*vocab, ["zq", -9.1]]}}
    yield (
        "a piece of two words",
        {**file, "model": {**file["model"], "vocab": [*vocab, ["a\u2581b", -9.0]]}},
    )
    yield "a piece twice", {**file, "model": {**file["model"], "vocab": [*vocab, vocab[20]]}}
    yield "another normaliser", {**file, "normalizer": {"type": "NFKC"}}
    yield "a field that is not known", {**file, "normalizer": {**file["normalizer"], "form": 2}}
    yield "no normaliser", {**file, "normalizer": None}
    yield (
        "a damaged map",
        {**file, "normalizer": {**file["normalizer"], "precompiled_charsmap": "AAAA"}},
    )
    yield (
        "never a blank before",
        {**file, "pre_tokenizer": {**METASPACE, "prepend_scheme": "never"}},
    )
    yield "first", {**file, "pre_tokenizer": {**METASPACE, "prepend_scheme": "first"}}
    yield "not split", {**file, "pre_tokenizer": {**METASPACE, "split": False}}
    yield "a template of another kind", {**file, "post_processor": {"type": "ByteLevel"}}
    token = file["added_tokens"][-1]
    for key in ("single_word", "rstrip"):
        yield key, {**file, "added_tokens": [{**token, key: True}]}
    yield "another id", {**file, "added_tokens": [{**token, "id": 5}]}


@pytest.mark.parametrize("name", [name for name, _ in changed()])
def test_another_form_is_left_to_the_library(name: str) -> None:
    assert read_unigram(json.dumps(dict(changed())[name]).encode()) is None


def test_pairs_get_the_special_tokens_of_the_template() -> None:
    one, other = (
        derive_template(each, token_types=1) for each in (ours("words"), library("words"))
    )
    for part in ("prefix", "middle", "suffix"):
        assert getattr(one, part).tolist() == getattr(other, part).tolist()


@pytest.mark.parametrize("shape", SHAPES)
@settings(deadline=None, max_examples=25)
@given(text=texts, part=st.sampled_from([2, 5, 13]), data=st.data())
def test_long_texts_in_parts_as_the_library_reads_them(
    shape: str, text: str, part: int, data: st.DataObject
) -> None:
    encoder = TextEncoder(ours(shape))
    assert encoder.notes == ()
    parts, wanted = read_parts(ours(shape)), read_parts(library(shape))
    assert parts is not None
    assert wanted is not None
    assert parts.joined is not None
    assert wanted.joined is not None
    assert replace(parts, joined=None) == replace(wanted, joined=None)
    encoder.cutter = Cutter(Seams(parts, ours(shape)), part=part, longest_uncut=1_000_000)
    same = TextEncoder(library(shape))
    same.cutter = Cutter(Seams(parts, library(shape)), part=part, longest_uncut=1_000_000)
    found = encoder.encode(text, "query").tolist()
    assert found == same.encode(text, "query").tolist()
    if found:
        tokens = data.draw(st.integers(1, len(found)))
        assert encoder.covered(text, tokens) == same.covered(text, tokens)


def rows_of(tokenizer: AnyTokenizer) -> list[list[int]]:
    card = ModelCard(name="m", family=CROSS_ENCODER, window_tokens=64, score="")
    template = derive_template(tokenizer, token_types=1)
    model = CrossEncoder(card, FakeEngine(), TextEncoder(tokenizer), template)
    documents = [each.text * 3 for each in recorded()]
    request = RerankRequest(
        query=Content(value="中国的首都 the capital"),
        documents=tuple(Content(value=text) for text in documents),
        max_chunks_per_doc=4,
        overlap_tokens=7,
    )
    return [row.ids.tolist() for row in model.prepare(request).rows]


def test_chunks_of_documents_are_the_librarys() -> None:
    assert rows_of(ours("words")) == rows_of(library("words"))


def folder_of(path: Path, file: dict[str, Any]) -> Path:
    (path / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    return path


def test_ids_that_differ_are_never_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, cut())
    vocab = len(cut()["model"]["vocab"])
    tokenizer, notes = read_any_tokenizer(folder, vocab)
    assert isinstance(tokenizer, UnigramTokenizer)
    assert notes == ()
    assert not gives_known_ids(tokenizer)  # it has other ids, and is compared with the library

    right = UnigramModel.ids

    def wrong(self: UnigramModel, texts: list[str]) -> Any:
        ids, sizes = right(self, texts)
        return np.where(ids == 9, 10, ids), sizes

    monkeypatch.setattr(UnigramModel, "ids", wrong)
    tokenizer, notes = read_any_tokenizer(folder, vocab)
    assert isinstance(tokenizer, Tokenizer)
    assert "library tokenizers" in notes[0]
    text = recorded()[0].text
    assert tokenizer.encode(text).ids == library("words").encode(text).ids


def test_ids_of_our_own_file_are_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = places_in_cut()
    known = tuple(
        Recorded(each.text, [at[i] for i in each.ids], each.by_words) for each in recorded()
    )
    folder, vocab = folder_of(tmp_path, cut()), len(cut()["model"]["vocab"])
    monkeypatch.setattr("rerankd.models.unigram_check.recorded", lambda: known)
    tokenizer, notes = read_own_tokenizer(folder, vocab)
    assert isinstance(tokenizer, UnigramTokenizer)
    assert notes == ()
    with pytest.raises(StartError, match="belongs to another model"):
        read_own_tokenizer(folder, vocab - 1)

    right = UnigramModel.ids

    def wrong(self: UnigramModel, texts: list[str]) -> Any:
        ids, sizes = right(self, texts)
        return np.where(ids == 9, 10, ids), sizes

    monkeypatch.setattr(UnigramModel, "ids", wrong)
    tokenizer, notes = read_own_tokenizer(folder, vocab)
    assert isinstance(tokenizer, Tokenizer)
    assert "library tokenizers" in notes[0]


def test_a_file_of_another_form_is_read_with_the_library(tmp_path: Path) -> None:
    file = json.loads(tokenizer_file("xlm-roberta").read_text("utf-8"))
    tokenizer, notes = read_any_tokenizer(folder_of(tmp_path, file), 4_000)
    assert isinstance(tokenizer, Tokenizer)
    assert notes == ()


LOADED: Final = """
import sys
from pathlib import Path
from rerankd.models import tokenizer_file
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.text_encoder import TextEncoder
tokenizer_file.gives_known_ids = lambda _: True
tokenizer, _ = tokenizer_file.read_any_tokenizer(Path(sys.argv[1]), int(sys.argv[2]))
assert TextEncoder(tokenizer).encode("a document", "query").size
assert "tokenizers" not in sys.modules
"""


def test_the_library_is_not_loaded(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, cut())
    size = str(len(cut()["model"]["vocab"]))
    subprocess.run([sys.executable, "-c", LOADED, str(folder), size], check=True, timeout=120)


def test_known_ids_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    at = places_in_cut()
    known = tuple(
        Recorded(each.text, [at[i] for i in each.ids], each.by_words) for each in recorded()
    )
    monkeypatch.setattr("rerankd.models.unigram_check.recorded", lambda: known)
    assert all(gives_known_ids(ours(shape)) for shape in ("words", "words, old", "blanks"))
    right = UnigramModel.ids

    def wrong(self: UnigramModel, texts: list[str]) -> Any:
        ids, sizes = right(self, texts)
        return ids ^ 1, sizes

    monkeypatch.setattr(UnigramModel, "ids", wrong)
    assert not gives_known_ids(ours("words"))
