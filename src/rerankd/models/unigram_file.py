"""tokenizer.json of XLM-R's form, read without the library `tokenizers`; of any other, None."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from rerankd.engines.freed import give_back
from rerankd.models.charsmap import Charsmap
from rerankd.models.unigram_model import UnigramModel
from rerankd.models.unigram_steps import Collapsed, Mapped, Replaced, Step, Stripped
from rerankd.models.unigram_tokenizer import Added, Form, Slot, UnigramTokenizer

_MAX_STEPS: Final = 16
_BLANKS: Final = " {2,}"


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """What is not known here would change what is read."""


class _Sequence(_Strict, tag="Sequence", tag_field="type"):
    normalizers: list[_Precompiled | _Replace | _Strip | _Sequence]


class _Precompiled(_Strict, tag="Precompiled", tag_field="type"):
    precompiled_charsmap: str


class _Replace(_Strict, tag="Replace", tag_field="type"):
    pattern: dict[str, str]
    content: str


class _Strip(_Strict, tag="Strip", tag_field="type"):
    strip_left: bool
    strip_right: bool


class _Metaspace(_Strict, tag="Metaspace", tag_field="type"):
    replacement: str = "\u2581"
    add_prefix_space: bool = True
    prepend_scheme: str = "always"
    split: bool = True
    str_rep: str = "\u2581"


class _WhitespaceSplit(_Strict, tag="WhitespaceSplit", tag_field="type"):
    pass


class _Splits(_Strict, tag="Sequence", tag_field="type"):
    pretokenizers: list[_Metaspace | _WhitespaceSplit]


class _Model(_Strict, tag="Unigram", tag_field="type"):
    vocab: list[tuple[str, float]]
    unk_id: int
    byte_fallback: bool = False


class _Token(msgspec.Struct):
    id: int
    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool


class _Part(msgspec.Struct):
    id: str
    type_id: int


class _Special(msgspec.Struct):
    ids: list[int]


class _Template(_Strict, tag="TemplateProcessing", tag_field="type"):
    pair: list[dict[str, _Part]]
    special_tokens: dict[str, _Special]
    single: list[dict[str, _Part]] = []


class _File(msgspec.Struct):
    model: _Model
    normalizer: _Precompiled | _Sequence
    pre_tokenizer: _Metaspace | _Splits
    post_processor: _Template
    added_tokens: list[_Token] = []


def read_unigram(data: bytes) -> UnigramTokenizer | None:
    """A tokenizer.json as a tokenizer, if it is of this form.

    Args:
        data: the file, within the limits of models.tokenizer_limits.
    """
    try:
        file = msgspec.json.decode(data, type=_File)
        form = Form(
            steps=tuple(_steps(file.normalizer)),
            by_words=_by_words(file.pre_tokenizer),
            added=tuple(_added(file)),
            pair=tuple(_slots(file.post_processor.pair, file.post_processor)),
            single=tuple(_slots(file.post_processor.single, file.post_processor)),
        )
        if file.model.byte_fallback:
            return None
        pieces = [piece for piece, _ in file.model.vocab]
        scores = np.array([score for _, score in file.model.vocab], np.float64)
        tokenizer = UnigramTokenizer(UnigramModel(pieces, scores, file.model.unk_id), form)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    del file, pieces
    give_back()  # 45 MB that only building it took
    return tokenizer


def _steps(normalizer: _Precompiled | _Replace | _Strip | _Sequence) -> Iterator[Step]:
    match normalizer:
        case _Sequence():
            for each in normalizer.normalizers:
                yield from _steps(each)
        case _Precompiled():
            yield Mapped(Charsmap(base64.b64decode(normalizer.precompiled_charsmap)))
        case _Strip():
            yield Stripped(normalizer.strip_left, normalizer.strip_right)
        case _Replace(pattern={"Regex": " {2,}"}, content=" " | "\u2581"):
            yield Collapsed(normalizer.content)
        case _Replace(pattern={"String": old}) if len(old) == 1 and normalizer.content:
            yield Replaced(old, normalizer.content)
        case _:
            raise ValueError("a step that is not known here")


def _by_words(splits: _Metaspace | _Splits) -> bool:
    match splits:
        case _Metaspace():
            last, by_words = splits, False
        case _Splits(pretokenizers=[_WhitespaceSplit(), _Metaspace() as last]):
            by_words = True
        case _Splits(pretokenizers=[_Metaspace() as last]):
            by_words = False
        case _:
            raise ValueError("texts are split in a way that is not known here")
    if last != _Metaspace():
        raise ValueError("a Metaspace that is not known here")
    return by_words


def _added(file: _File) -> Iterator[Added]:
    vocab, more = file.model.vocab, len(file.model.vocab)
    seen: set[str] = set()
    for token in file.added_tokens:
        at = token.id
        if at == more:
            more += 1
        elif not 0 <= at < len(vocab) or vocab[at][0] != token.content:
            raise ValueError("an added token has another id than its piece")
        if token.single_word or token.rstrip or not token.content or token.content in seen:
            raise ValueError("an added token that is looked for in another way")
        seen.add(token.content)
        yield Added(at, token.content, takes_blanks=token.lstrip, normalized=token.normalized)


def _slots(parts: Sequence[Mapping[str, _Part]], template: _Template) -> Iterator[Slot]:
    for each in parts:
        match each:
            case {"Sequence": _Part(id="A" | "B" as text) as part}:
                yield Slot(part.type_id, text)
            case {"SpecialToken": part} if part.id in template.special_tokens:
                yield Slot(part.type_id, ids=tuple(template.special_tokens[part.id].ids))
            case _:
                raise ValueError("a pair that is not known here")
