"""What tokenizer.json may hold, by numbers: looked at before the library builds anything of it.

Measured on one core (tokenizers 0.23): 10⁶ vocabulary entries take 1.1 s to build; 1 000 added
tokens of 4 000 characters 0.3 s; 100 kB of text cost 0.3 s where WordPiece may read words of 100
characters, 0.6 s with 200 and 15 s with 2 000; 0.5 s where Unigram pieces begin one another up to
128 characters, 1.2 s up to 256. A Unigram piece of 300 000 characters ends the process.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from rerankd.core.errors import StartError
from rerankd.models.folder_file import in_words, shown

MAX_TOKENIZER_BYTES: Final = 64 << 20  # the largest known has 33 MB
MAX_VALUES: Final = 2_000_000  # commas; 262 144 tokens with 514 906 merges have 1.4 million
MAX_VALUES_PER_ID: Final = 16  # of the model; a token is at most 2, a merge 2, and there are twice
SPARE_VALUES: Final = 500_000  # of MAX_ADDED_TOKENS
MAX_ADDED_TOKENS: Final = 65_536  # the most known are 6 414
MAX_ADDED_CHARS: Final = 1_024  # of one added token
MAX_ADDED_CHARS_TOGETHER: Final = 1 << 20
MAX_PIECE_CHARS: Final = 256  # of a vocabulary entry that is looked up along the text; 48 are known
MAX_WORD_CHARS: Final = 200  # WordPiece: time grows with the cube; every published model has 100
MAX_AFFIX_CHARS: Final = 16  # "##", "</w>"
MAX_STEPS: Final = 64  # normalizers, or pre-tokenizers
MAX_PATTERN_CHARS: Final = 2_048
MAX_GROWTH: Final = 256  # characters that one may become; NFKC makes 18
MAX_CHARSMAP_BYTES: Final = 256  # that one character may become
MAX_SECTION_BYTES: Final = 4 << 20  # of normalizer, pre-tokenizer, post-processor

Short = Annotated[str, Meta(max_length=MAX_AFFIX_CHARS)]
Piece = Annotated[str, Meta(max_length=MAX_PIECE_CHARS)]


class _AddedToken(msgspec.Struct):
    content: Annotated[str, Meta(max_length=MAX_ADDED_CHARS)]


class _Model(msgspec.Struct):
    """`model`, whatever its type: some files leave that out."""

    type: str | None = None
    vocab: msgspec.Raw = msgspec.Raw(b"null")
    max_input_chars_per_word: Annotated[int, Meta(ge=0, le=MAX_WORD_CHARS)] | None = None
    continuing_subword_prefix: Short | None = None
    end_of_word_suffix: Short | None = None


class _File(msgspec.Struct):
    """tokenizer.json, as far as there are limits."""

    model: _Model
    added_tokens: Annotated[list[_AddedToken], Meta(max_length=MAX_ADDED_TOKENS)] = []
    normalizer: msgspec.Raw = msgspec.Raw(b"null")
    pre_tokenizer: msgspec.Raw = msgspec.Raw(b"null")
    post_processor: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class PatternParts:
    """What is left to be tried."""

    patterns: tuple[str, ...]  # regular expressions that run over the text
    has_charsmap: bool  # a precompiled table of characters


def looked_at(path: Path, data: bytes, vocab: int) -> PatternParts:
    """Check a tokenizer.json.

    Args:
        path: for messages.
        data: its text, UTF-8, not nested deep.
        vocab: ids that the model has.

    Raises:
        StartError: something is over a limit; key, value and limit are named.
    """
    values = data.count(b",")
    limit = min(MAX_VALUES, MAX_VALUES_PER_ID * vocab + SPARE_VALUES)
    if values > limit:
        raise _refused(path, f"it holds {values} values (limit {limit} for {vocab} token ids)")
    try:
        file = msgspec.json.decode(data, type=_File)
        _check_vocabulary(path, file.model)
        steps = list(_steps(path, file.normalizer, "normalizer", "normalizers"))
        splits = list(_steps(path, file.pre_tokenizer, "pre_tokenizer", "pretokenizers"))
        list(_steps(path, file.post_processor, "post_processor", "processors"))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused(path, in_words(data, error)) from error
    together = sum(len(token.content) for token in file.added_tokens)
    if together > MAX_ADDED_CHARS_TOGETHER:
        raise _refused(
            path,
            f"added_tokens hold {together} characters (limit {MAX_ADDED_CHARS_TOGETHER})",
        )
    _check_growth(path, steps)
    patterns = [_pattern(path, step) for step in (*steps, *splits)]
    return PatternParts(
        patterns=tuple(dict.fromkeys(each for each in patterns if each is not None)),
        has_charsmap=_check_charsmaps(path, steps),
    )


def _refused(path: Path, what: str) -> StartError:
    return StartError(
        f"{path} cannot be used: {what}. No published tokenizer is like that; use the file as its "
        "publisher has it."
    )


def _check_vocabulary(path: Path, model: _Model) -> None:
    """Pieces that are looked up along the text are short: BPE's are not looked up like that."""
    vocab = bytes(model.vocab)
    if vocab.lstrip()[:1] == b"[":  # Unigram
        try:
            msgspec.json.decode(vocab, type=list[tuple[Piece, float]])
        except msgspec.ValidationError as error:
            raise _refused(path, f"model.vocab: {error}") from error


def _steps(path: Path, raw: msgspec.Raw, key: str, children: str) -> Iterator[dict[str, Any]]:
    """The steps of a section in order, sequences opened."""
    if len(bytes(raw)) > MAX_SECTION_BYTES:
        raise _refused(path, f"{key} has {len(bytes(raw))} bytes (limit {MAX_SECTION_BYTES})")
    waiting: list[object] = [msgspec.json.decode(raw)]
    seen = 0
    while waiting:
        step = waiting.pop()
        if not isinstance(step, dict):
            continue  # null, or what the library refuses
        seen += 1
        if seen > MAX_STEPS:
            raise _refused(path, f"{key} has more than {MAX_STEPS} steps")
        fields = cast("dict[str, Any]", step)
        inner = fields.get(children)
        if isinstance(inner, list):
            waiting += cast("list[object]", inner)[::-1]
        else:
            yield fields


def _pattern(path: Path, step: dict[str, Any]) -> str | None:
    """The regular expression of a step."""
    pattern = step.get("pattern")
    if not isinstance(pattern, dict):
        return None
    regex = cast("dict[str, object]", pattern).get("Regex")
    if not isinstance(regex, str):
        return None
    if len(regex) > MAX_PATTERN_CHARS:
        raise _refused(path, f"a pattern has {len(regex)} characters (limit {MAX_PATTERN_CHARS})")
    return regex


def _check_growth(path: Path, steps: list[dict[str, Any]]) -> None:
    """What one character may become when every replacement meets it."""
    growth = 1.0
    for step in steps:
        content, pattern = step.get("content"), step.get("pattern")
        if step.get("type") == "Prepend" and isinstance(step.get("prepend"), str):
            growth += len(step["prepend"])
        if not isinstance(content, str) or not isinstance(pattern, dict):
            continue
        pattern = cast("dict[str, object]", pattern)
        literal = pattern.get("String")
        if isinstance(literal, str) and literal:
            growth *= max(1.0, len(content) / len(literal))
        elif content:  # an expression may match between any two characters
            growth *= 1 + len(content)
        if growth > MAX_GROWTH:
            raise _refused(
                path,
                f"its normalizers may make {growth:.3g} characters of one (limit {MAX_GROWTH}; the "
                f"last that counts puts {shown(content)} for {shown(pattern)})",
            )
    if not math.isfinite(growth):
        raise _refused(path, "its normalizers grow texts without end")


def _check_charsmaps(path: Path, steps: list[dict[str, Any]]) -> bool:
    """Precompiled tables: a size, a search tree, and what it leads to, with a zero behind each."""
    found = [step["precompiled_charsmap"] for step in steps if "precompiled_charsmap" in step]
    for encoded in found:
        if not isinstance(encoded, str):
            continue  # null is an empty table; anything else the library refuses
        table = base64.b64decode(encoded)
        begin = 4 + int.from_bytes(table[:4], "little")
        longest = max(map(len, table[begin:].split(b"\0")))
        if begin > len(table) or longest > MAX_CHARSMAP_BYTES:
            raise _refused(
                path,
                f"precompiled_charsmap makes up to {longest} bytes of one character (limit "
                f"{MAX_CHARSMAP_BYTES}), or is cut short",
            )
    return bool(found)
