"""The parts of a tokenizer.json, as far as it matters where a text may be cut.

Only known forms are named; of an unknown one nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rerankd.models.joined_pairs import BytePairs, JoinedPairs, UnigramPairs
from rerankd.models.unigram_steps import Collapsed, Mapped
from rerankd.models.unigram_tokenizer import UnigramTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rerankd.models.tokens import AnyTokenizer

Splitter = Literal["bert", "bytes", "words", "pieces"]

# Patterns of byte-level tokenizers; digits alone, in threes, or as many as there are.
_GPT2: Final = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
)
_QWEN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS: Final = frozenset({*_GPT2, _QWEN, _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")})
_LOCAL: Final = frozenset(
    {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Precompiled"}
)
_EXPAND: Final = frozenset({"NFKC", "NFKD", "Precompiled"})
_COLLAPSE: Final = frozenset({" {2,}", r"\s+", r"\s{2,}"})


class _Part(msgspec.Struct):
    type: str = ""
    normalizers: list[_Part] = msgspec.field(default_factory=list["_Part"])
    pretokenizers: list[_Part] = msgspec.field(default_factory=list["_Part"])
    pattern: dict[str, str] | str | None = None
    content: str | None = None
    behavior: str | None = None
    invert: bool = False
    add_prefix_space: bool = False
    use_regex: bool = True
    prepend_scheme: str = "always"
    split: bool = True
    handle_chinese_chars: bool = False


class _Added(msgspec.Struct):
    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class _Model(msgspec.Struct):
    type: str
    vocab: dict[str, int] | list[tuple[str, float]]
    dropout: float | None = None
    ignore_merges: bool = False
    byte_fallback: bool = False
    fuse_unk: bool = False
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    max_input_chars_per_word: int = 100


class _Json(msgspec.Struct):
    model: _Model
    normalizer: _Part | None = None
    pre_tokenizer: _Part | None = None
    added_tokens: list[_Added] = msgspec.field(default_factory=list[_Added])


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is looked for in the text itself."""

    content: str  # as it stands in the text, or in the normalised text
    normalized: bool
    is_apart: bool  # what stands beside it matters to nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A tokenizer of a known form."""

    # Words are split off by: "bert" spaces, punctuation, Chinese characters; "bytes" a pattern of
    # letters, digits and the rest; "words" white space; "pieces" single spaces.
    splitter: Splitter
    splits_chinese: bool  # "bert" only
    prefixes_space: bool  # "bytes" only: a text is read as if a space stood before it
    collapses_spaces: bool
    expands: bool  # one character may become 18
    word_limit: int | None  # longer words are one unknown token
    # A word falls apart wherever no entry of the vocabulary reaches across; None: or not.
    joined: JoinedPairs | None
    added: tuple[AddedToken, ...]


def read_parts(tokenizer: AnyTokenizer) -> Parts | None:
    """What a tokenizer is made of; None when some part is not known here."""
    if isinstance(tokenizer, UnigramTokenizer):
        return _unigram_parts(tokenizer)
    try:
        found = msgspec.json.decode(tokenizer.to_str(), type=_Json)
    except msgspec.MsgspecError:
        return None
    normal = tuple(_flat(found.normalizer, "normalizers"))
    splits = tuple(_flat(found.pre_tokenizer, "pretokenizers"))
    splitter = _splitter(splits, found.model.type)
    spaces = [part for part in normal if _collapses(part)]
    strips = any(part.type == "Strip" for part in normal)
    local = all(_is_local(part) or part in spaces or part.type == "Strip" for part in normal)
    if splitter is None or not local or (splitter == "bytes" and (strips or spaces)):
        return None
    model = found.model
    return Parts(
        splitter=splitter,
        splits_chinese=any(part.handle_chinese_chars for part in normal),
        prefixes_space=splitter == "bytes" and splits[-1].add_prefix_space,
        collapses_spaces=bool(spaces),
        expands=any(part.type in _EXPAND for part in normal),
        word_limit=model.max_input_chars_per_word if model.type == "WordPiece" else None,
        joined=_joined(model),
        added=tuple(_added(each, tokenizer) for each in found.added_tokens),
    )


def _unigram_parts(tokenizer: UnigramTokenizer) -> Parts:
    form, normal = tokenizer.form, tokenizer.normalizer.normalize_str
    return Parts(
        splitter="words" if form.by_words else "pieces",
        splits_chinese=False,
        prefixes_space=False,
        collapses_spaces=any(isinstance(step, Collapsed) for step in form.steps),
        expands=any(isinstance(step, Mapped) for step in form.steps),
        word_limit=None,
        joined=tokenizer.model.joined,
        added=tuple(
            AddedToken(
                normal(token.content) if token.normalized else token.content,
                token.normalized,
                is_apart=not token.takes_blanks,
            )
            for token in form.added
        ),
    )


def _joined(model: _Model) -> JoinedPairs | None:
    whole = model.byte_fallback or model.continuing_subword_prefix or model.end_of_word_suffix
    if whole or model.ignore_merges or model.dropout or model.fuse_unk or model.type == "WordPiece":
        return None
    pairs = UnigramPairs if model.type == "Unigram" else BytePairs
    return pairs(_pieces(model.vocab))


def _flat(part: _Part | None, inner: Literal["normalizers", "pretokenizers"]) -> Iterator[_Part]:
    """A part, or what its sequence consists of."""
    if part is None:
        return
    if part.type != "Sequence":
        yield part
    inside: list[_Part] = getattr(part, inner)
    for each in inside:
        yield from _flat(each, inner)


def _splitter(splits: tuple[_Part, ...], model: str) -> Splitter | None:
    types = [part.type for part in splits]
    last = splits[-1] if splits else _Part()
    if model == "WordPiece":
        return "bert" if types == ["BertPreTokenizer"] else None
    if model == "BPE":
        if types == ["ByteLevel"] and last.use_regex:
            return "bytes"
        known = types == ["Split", "ByteLevel"] and _is_known_split(splits[0])
        return "bytes" if known and not (last.use_regex or last.add_prefix_space) else None
    if model == "Unigram" and last.type == "Metaspace" and last.split:
        if types == ["WhitespaceSplit", "Metaspace"] and last.prepend_scheme != "first":
            return "words"
        return "pieces" if types == ["Metaspace"] else None
    return None


def _is_known_split(part: _Part) -> bool:
    pattern = part.pattern.get("Regex") if isinstance(part.pattern, dict) else None
    how = (part.behavior, part.invert)
    return pattern in _SPLITS and how in {("Isolated", False), ("Removed", True)}


def _is_local(part: _Part) -> bool:
    """Whether what a normaliser makes of two characters is what it makes of each, at a seam."""
    if part.type == "Replace" and isinstance(part.pattern, dict):
        return len(part.pattern.get("String", "")) == 1
    return part.type in _LOCAL


def _collapses(part: _Part) -> bool:
    """Whether a normaliser makes one space of several."""
    pattern = part.pattern.get("Regex") if isinstance(part.pattern, dict) else None
    return part.type == "Replace" and pattern in _COLLAPSE and part.content in {" ", "\u2581"}


def _pieces(vocab: dict[str, int] | list[tuple[str, float]]) -> Iterator[str]:
    return iter(vocab) if isinstance(vocab, dict) else (piece for piece, _ in vocab)


def _added(token: _Added, tokenizer: Tokenizer) -> AddedToken:
    content = token.content
    normalizer: Any = tokenizer.normalizer
    if token.normalized and normalizer is not None:
        content = str(normalizer.normalize_str(content))
    alone = not (token.single_word or token.lstrip or token.rstrip)
    return AddedToken(content, token.normalized, alone)
