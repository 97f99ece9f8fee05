"""Where a text may be cut so that its parts, tokenised alone, give the tokens of the whole.

A boundary is a place where the tokenizer itself always splits; a seam inside a word is one that no
entry of the vocabulary reaches across. The part behind such a seam is given the character before it
again, and that character's tokens are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import regex

from rerankd.models.joined_pairs import JoinedPairs
from rerankd.models.tokenizer_parts import AddedToken, Parts

if TYPE_CHECKING:
    from rerankd.models.tokens import AnyTokenizer

# Letters of all Unicode versions that no normal form joins with the letter before or behind them,
# and that are no part of a longer grapheme.
_UNSPLIT: Final = (
    r"\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0391-\u03a1\u03a3-\u03c9\u0400-\u0481\u048a-\u052f"
    r"\u0531-\u0556\u0561-\u0586\u05d0-\u05ea\u0621-\u063a\u0641-\u064a\u0904-\u0939\u0e01-\u0e30"
    r"\u0e32\u0e40-\u0e46\u1000-\u1021\u10d0-\u10f0\u1780-\u17a2\u3041-\u3096\u30a1-\u30fa"
    r"\uac00-\ud7a3\ufdf0-\ufdfb"
)
_CHINESE: Final = r"\u3400-\u4db5\u4e00-\u9fa5"
_LETTER: Final = rf"A-Za-z{_UNSPLIT}{_CHINESE}"
_EMOJI: Final = r"\U0001f300-\U0001f3fa\U0001f400-\U0001f64f\U0001f680-\U0001f6c5"
_MARK: Final = (
    r"\u0300-\u036f\u0483-\u0487\u05b0-\u05bd\u064b-\u0655\u0e31\u0e33-\u0e3a\u0e47-\u0e4e"
)
_ASCII: Final = r"\t\n\r\x20-\x7e"
_SIGN: Final = r"!-/:-@\[-`{-~"  # ASCII punctuation

# Matched backwards: the last place first. Each is one character and a look at those behind it.
_BOUNDARIES: Final = {
    "bytes": rf"[{_LETTER}](?=[\t\n\r {_SIGN}0-9])|[0-9](?=[\t\n\r {_SIGN}A-Za-z])",
    "bytes with a space": rf"[{_LETTER}0-9](?=\ )",
    "words": rf"[{_ASCII}{_LETTER}](?=[\t\n\r ][{_ASCII}{_LETTER}])",
    "pieces": rf"[!-~{_LETTER}](?=\ [!-~{_LETTER}])",
    "pieces and lines": rf"[!-~{_LETTER}](?=[\ \n][!-~{_LETTER}])",
    "bert": rf"[{_ASCII}{_LETTER}](?=[\t\n\r {_SIGN}])|[\t\n\r {_SIGN}](?=[{_ASCII}{_LETTER}])",
}
_AROUND_CHINESE: Final = (
    rf"|[{_CHINESE}](?=[{_ASCII}{_LETTER}])|[{_ASCII}{_LETTER}](?=[{_CHINESE}])"
)
_INSIDE: Final = rf"(?r)[{_LETTER}](?=[{_LETTER}])|[{_EMOJI}](?=[{_EMOJI}])"
_TRIES: Final = 64  # places that are looked at before the next part is
_INSIDE_CHARACTERS: Final = 512


@dataclass(frozen=True, slots=True)
class Seam:
    """A place to cut."""

    at: int  # index of the first character behind it
    is_inside: bool  # a word


@dataclass(frozen=True, slots=True)
class Shortened:
    """A part of a text without what changes no token, and what was left out where."""

    text: str
    left_out: tuple[tuple[int, int], ...] = ()  # (index in `text`, characters left out before it)

    def with_behind(self, other: Shortened) -> Shortened:
        """Both parts as one."""
        size = len(self.text)
        moved = tuple((at + size, count) for at, count in other.left_out)
        return Shortened(self.text + other.text, self.left_out + moved)


class Seams:
    """The places of one tokenizer."""

    def __init__(self, parts: Parts, tokenizer: AnyTokenizer) -> None:
        self.expands = parts.expands  # one character may become 18
        self._normalizer: Any = tokenizer.normalizer
        name: str = "bytes with a space" if parts.prefixes_space else parts.splitter
        if name == "pieces" and self._normal("a\nb") == "a b":
            name = "pieces and lines"
        chinese = _AROUND_CHINESE if parts.splits_chinese and name == "bert" else ""
        self._boundary = regex.compile(f"(?r){_BOUNDARIES[name]}{chinese}")
        self._inside = regex.compile(_INSIDE)
        self._added = parts.added
        self._longest = max((len(token.content) for token in parts.added), default=0)
        self._joined = parts.joined
        self._long_run = _long_run(parts)

    def keep_words_whole(self) -> None:
        """From now on, cut at boundaries only."""
        self._joined = None

    def last(self, text: str, start: int, end: int) -> Seam | None:
        """The last good place in (start, end], a boundary if there is one; end < len(text)."""
        found = self._boundary.finditer(text[start : end + 2])
        for match in islice(found, _TRIES):
            at = start + match.end()
            if start < at <= end and not self._touches_added(text, at):
                return Seam(at, is_inside=False)
        return None if self._joined is None else self._last_inside(self._joined, text, start, end)

    def shortened(self, text: str) -> Shortened:
        """A part without a seam, shortened where that changes no token."""
        if self._long_run is None:
            return Shortened(text)
        kept: list[str] = []
        left_out: list[tuple[int, int]] = []
        at = size = 0
        for match in self._long_run.finditer(text):
            kept.append(text[at : match.end(1)])
            size += len(kept[-1])
            at = match.end()
            left_out.append((size, at - match.end(1)))
        return Shortened("".join((*kept, text[at:])), tuple(left_out))

    def _last_inside(self, joined: JoinedPairs, text: str, start: int, end: int) -> Seam | None:
        first = max(start, end - _INSIDE_CHARACTERS)
        for match in self._inside.finditer(text[first : end + 1]):
            at = first + match.end()
            apart = start < at <= end and self._falls_apart(joined, text[at - 1], text[at])
            if apart and not self._touches_added(text, at):
                return Seam(at, is_inside=True)
        return None

    def _falls_apart(self, joined: JoinedPairs, before: str, after: str) -> bool:
        one, other = self._normal(before), self._normal(after)
        if not one or not other or joined.spans(one[-1], other[0]):
            return False
        return self._normal(before + after) == one + other

    def _touches_added(self, text: str, at: int) -> bool:
        """Whether a token that is looked for in the text stands across or, unless apart, beside."""
        reach = 4 * self._longest + 16  # a normaliser may leave characters out
        raw = text[max(0, at - self._longest) : at], text[at : at + self._longest]
        normal = self._normal(text[max(0, at - reach) : at]), self._normal(text[at : at + reach])
        return any(_touches(token, *(normal if token.normalized else raw)) for token in self._added)

    def _normal(self, text: str) -> str:
        return text if self._normalizer is None else str(self._normalizer.normalize_str(text))


def _touches(token: AddedToken, before: str, after: str) -> bool:
    reach = len(token.content) - token.is_apart
    return reach > 0 and token.content in before[-reach:] + after[:reach]


def _long_run(parts: Parts) -> regex.Pattern[str] | None:
    """(what is kept) and what may be left out behind it, as many times as there are."""
    if parts.word_limit is not None:
        # A word over the limit is one unknown token, however long. Chinese is no part of words.
        kept = parts.word_limit + 28
        letter = rf"[A-Za-z0-9{_UNSPLIT}{_EMOJI}][{_MARK}]{{0,3}}"
        return regex.compile(rf"((?:{letter}){{{kept}}})(?:{letter}){{{kept},}}+")
    if parts.collapses_spaces:
        return regex.compile(r"(\ {64})\ {64,}+")
    return None
