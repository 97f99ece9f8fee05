"""tokenizer.json as a tokenizer that is fit to be shown any text.

The library believes what the file says: a long entry overflows its stack, a replacement may grow a
text without end, a search may take time squared, an error of the regex engine is a panic. So the
file is looked at first, by the limits of models.tokenizer_limits, and the tokenizer is tried.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rerankd.core.errors import StartError
from rerankd.models.conversion import how_to_convert
from rerankd.models.folder_file import failing_as, json_text, read_bytes
from rerankd.models.special_tokens import add_tokens, missing_tokens
from rerankd.models.tokenizer_limits import MAX_TOKENIZER_BYTES, PatternParts, looked_at
from rerankd.models.tokenizer_patterns import try_patterns
from rerankd.models.unigram_check import agrees, gives_known_ids
from rerankd.models.unigram_file import read_unigram
from rerankd.models.unigram_tokenizer import UnigramTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rerankd.models.tokens import AnyTokenizer

# Letters of many scripts, marks, spaces, digits, emoji, private and unassigned characters, and the
# one that NFKC makes longest.
_PROBES: Final = (
    "the capital of France is Paris, founded in 1984",
    "法国的首都是巴黎 東京 서울 กรุงเทพ",
    "столица Франции عاصمة فرنسا दिल्ली",
    "e\u0301\u0323 \u200b\t\r\n\u00a0 \U0001f600 \ue000 \U0010fffd \ufdfa <x> \\ \x00 ' ` \"",
)
_PLANE: Final = (range(1, 0xD800), range(0xE000, 0x10000))  # the basic plane of Unicode
_SLOWLY: Final = (
    "its tokenizer.json is of XLM-R's form, but the quick way to read it gave other token ids on "
    "texts that are tried at the start: it is read with the library tokenizers, which takes some "
    "250 MB and five times the time."
)
_MIN_VOCAB_SHARE: Final = 128  # a tokenizer has at least one of so many of the model's ids


def read_tokenizer(folder: Path, vocab: int) -> Tokenizer:
    """tokenizer.json, with the tokens that other files name, without truncation and padding.

    Raises:
        StartError: it is missing or damaged, is over a limit, fails on a text, or makes ids that a
            model of `vocab` ids lacks.
    """
    path, data, parts = _read(folder, vocab)
    return _checked(path, data, parts, vocab)


def read_any_tokenizer(folder: Path, vocab: int) -> tuple[AnyTokenizer, tuple[str, ...]]:
    """The same, and what the operator should know of it; one of XLM-R's form needs no library.

    Raises:
        StartError: as read_tokenizer().
    """
    path, data, parts = _read(folder, vocab)
    unigram = read_unigram(data)
    if unigram is None:
        return _checked(path, data, parts, vocab), ()
    _check_ids(path, unigram.all_ids(), vocab)
    _check_texts(path, unigram, parts)
    if missing_tokens(unigram, folder, vocab):
        return _checked(path, data, parts, vocab), ()
    if gives_known_ids(unigram):
        return unigram, ()
    tokenizer = _checked(path, data, parts, vocab)
    if agrees(unigram, tokenizer):
        return unigram, ()
    return tokenizer, (_SLOWLY,)


def read_own_tokenizer(folder: Path, vocab: int) -> tuple[AnyTokenizer, tuple[str, ...]]:
    """As read_any_tokenizer(), of a file that has the SHA-256 of one of ours.

    Limits are for what somebody else wrote, and so are texts that are tried beside the recorded
    ones.
    """
    data = read_bytes(folder / "tokenizer.json", MAX_TOKENIZER_BYTES)
    unigram = read_unigram(data)
    if unigram is not None and unigram.largest_id < vocab and gives_known_ids(unigram):
        return unigram, ()
    return read_any_tokenizer(folder, vocab)


def _checked(path: Path, data: bytes, parts: PatternParts, vocab: int) -> Tokenizer:
    tokenizer = _built(path, data)
    add_tokens(tokenizer, missing_tokens(tokenizer, path.parent, vocab))
    _check_ids(path, tokenizer.get_vocab(with_added_tokens=True).values(), vocab)
    _check_texts(path, tokenizer, parts)
    return tokenizer


def _read(folder: Path, vocab: int) -> tuple[Path, bytes, PatternParts]:
    path = folder / "tokenizer.json"
    if not path.exists():
        raise StartError(
            f"{path} is missing; rerankd reads only that form. {how_to_convert(folder)}"
        )
    data = json_text(path, read_bytes(path, MAX_TOKENIZER_BYTES))
    return path, data, looked_at(path, data, vocab)


def _built(path: Path, data: bytes) -> Tokenizer:
    from tokenizers import Tokenizer  # here: some models do without

    with failing_as(f"{path} is damaged: {{}}. Download it again."):
        tokenizer = Tokenizer.from_str(data.decode())
        tokenizer.no_truncation()
        tokenizer.no_padding()
    return tokenizer


def _check_ids(path: Path, ids: Collection[int], vocab: int) -> None:
    """Every id is one of the model's, and not almost all of the model's are without a token."""
    largest = max(ids, default=-1)
    if largest >= vocab:
        raise StartError(
            f"{path} makes token ids up to {largest}, but the model has {vocab} (vocab_size "
            "in config.json); the tokenizer belongs to another model."
        )
    if len(ids) * _MIN_VOCAB_SHARE < vocab:
        raise StartError(
            f"{path} has {len(ids)} tokens, but the model has {vocab} (vocab_size in config.json): "
            "it is not the model's tokenizer, but one that was made up where the model's was "
            "missing. Use the tokenizer files of the model's publisher."
        )


def _check_texts(path: Path, tokenizer: AnyTokenizer, parts: PatternParts) -> None:
    """Whatever it is shown, it answers, and with tokens that differ."""
    with failing_as(
        f"{path} fails on ordinary text ({{}}); it cannot be the tokenizer of a model. Use the "
        "file as its publisher has it."
    ):
        if not isinstance(tokenizer, UnigramTokenizer):  # that has none
            try_patterns(path, tokenizer, parts.patterns)
        found = [tokenizer.encode(text, add_special_tokens=False).ids for text in _PROBES]
        if parts.has_charsmap and tokenizer.normalizer is not None:
            plane = "".join(chr(each) for part in _PLANE for each in part)
            tokenizer.normalizer.normalize_str(plane)
    if len({each for ids in found for each in ids}) < 2:
        raise StartError(
            f"{path} reads every word of every language as one and the same token: it is not the "
            "model's tokenizer. Use the tokenizer files of the model's publisher."
        )
