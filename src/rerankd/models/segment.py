"""Text -> term ids for the lexical scorer: any language, no dictionary, no other texts needed.

Words of alphabetic scripts give two terms: the folded word and its stem. Scripts written without
spaces give character bigrams and single characters. Identifiers and numbers are kept whole and
split. A term id is a stable hash, so texts segmented on two machines always agree.

An id is int32 >= 0: the channel in the bits above CHANNEL_BITS, 28 bits of CRC-32 below.
Sources: McNamee & Mayfield, Information Retrieval 7, 2004 (n-grams and truncation across
languages); Unicode UAX #15 (NFKC); Snowball stemmers (Porter 2001).
"""

from __future__ import annotations

import re
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import chain, pairwise
from typing import Final, Protocol, cast
from zlib import crc32

import numpy as np
import regex

from rerankd.core.rows import TokenIds
from rerankd.engines.lexical import BIGRAM, CHANNEL_BITS, CHARACTER, STEM, WORD
from rerankd.models.normal_text import PIECE_CHARACTERS, normal, normal_pieces

_MAX_WORD_CHARS: Final = 64  # longer words are hashed whole: no stem, no parts, not remembered
_FOLD_CHARS: Final = 4_096  # longer words are folded in blocks of so many
_MAX_REMEMBERED: Final = 65_536  # words, and grams; bounds the memory of each thread to ~25 MB
_STEM_CHARS: Final = 6  # McNamee & Mayfield: truncation is close to stemming, in any language

_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u3005-\u3007\u30fc\u0e31-\u0e3a\u0e47-\u0e4e"
)
_ASCII_TOKEN = re.compile(r"\w+(?:\.\d\w*)*", re.ASCII)
_SPACED = rf"[^\W{_UNSPACED}]"
_TOKEN = regex.compile(rf"[{_UNSPACED}]+|{_SPACED}+(?:\.\p{{Nd}}{_SPACED}*)*")
_WORD_GOES_ON = regex.compile(
    rf"(?:{_SPACED}++|\.\p{{Nd}})*+"
)  # behind the first of its characters
_UNSPACED_START = regex.compile(rf"[{_UNSPACED}]")
_PART = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?[\p{L}\p{M}--\p{Lu}]+|\p{N}+", regex.V1)
_FOLD_MARKS = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}]")
_MARKS = regex.compile(r"\p{Mn}+")
_HANGUL = regex.compile(r"[\uac00-\ud7a3]")
_SPELLING = str.maketrans({"ı": "i", "ё": "е", "أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه"})

_STEMMERS: Final = (
    (regex.compile(r"[\u0400-\u04ff]"), "russian"),
    (regex.compile(r"[\u0600-\u06ff]"), "arabic"),
    (regex.compile(r"[\u0370-\u03ff]"), "greek"),
    (regex.compile(r"[\u0900-\u097f]"), "hindi"),
    (regex.compile(r"[\u0b80-\u0bff]"), "tamil"),
)


class _Stemmer(Protocol):
    def stemWord(self, word: str, /) -> str: ...  # noqa: N802 - PyStemmer's name


# PyStemmer has no type stubs.
_make_stemmer = cast("Callable[[str, int], _Stemmer]", import_module("Stemmer").Stemmer)


def term_id(channel: int, term: str) -> int:
    """The id of a term: equal in every process and on every machine."""
    code = crc32(term.encode("utf-8", "surrogatepass")) & ((1 << CHANNEL_BITS) - 1)
    return channel << CHANNEL_BITS | code


def fold(word: str) -> str:
    """Case and, for scripts where readers leave them out, accents and vowel marks removed."""
    word = word.casefold()
    if word.isascii():
        return word
    if _FOLD_MARKS.search(word):
        word = _MARKS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", word).translate(_SPELLING)


def parts(token: str) -> list[str]:
    """snake_case, camelCase, ERR_42 and 2.13.0 -> their parts, in order; a plain word is one."""
    return cast("list[str]", _PART.findall(token))


class _Memo(dict[str, tuple[int, ...]]):
    """word -> its ids, made once. A pure function's memory: what is in it changes no result."""

    def __init__(self, make: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, token: str) -> tuple[int, ...]:
        ids = self._make(token)
        if len(token) <= _MAX_WORD_CHARS and not (len(token) > 4 and _UNSPACED_START.match(token)):
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[token] = ids
        return ids


class Segmenter:
    """Text -> term ids. Thread-safe, O(length of the text), never raises for a str."""

    def __init__(self, piece: int = PIECE_CHARACTERS) -> None:
        """What a longer text is read in: pieces of so many characters; they change no id."""
        self._piece = piece
        self._local = threading.local()  # a Snowball stemmer must not be used by two threads

    def ids(self, text: str, check: Callable[[], None] | None = None) -> TokenIds:
        """Terms of a text in reading order, shape (L,), L = 0 for a text without a letter or digit.

        Each word gives WORD then STEM, a Korean one WORD then BIGRAMs; each character of an
        unspaced script gives CHARACTER, then its BIGRAM with the next one. A word that stands in
        one run with digits, case changes or underscores is followed by its parts.

        Args:
            text: anything.
            check: called between the pieces of a long text; what it raises ends the reading.
        """
        if len(text) <= self._piece:
            return self.of_tokens(_tokens(normal(text)))
        reading, found = _Reading(self), list[TokenIds]()
        for piece in normal_pieces(text, self._piece):
            if check is not None:
                check()
            found.append(reading.read(piece))
        return np.concatenate([*found, reading.end()])

    def of_tokens(self, tokens: Iterable[str]) -> TokenIds:
        """Ids of tokens as _TOKEN finds them."""
        found = list(chain.from_iterable(map(self._memos()[0].__getitem__, tokens)))
        return np.array(found, dtype=np.int64).astype(np.int32)

    def token_ids(self, token: str) -> tuple[int, ...]:
        """As word_ids(), remembered."""
        return self._memos()[0][token]

    def stem(self, word: str) -> str:
        """The stem of a folded word, at most 6 characters, by its script alone.

        Latin script takes the English stemmer, then the cut, which serves the other languages:
        guessing the language of each text would make a query and its document disagree.
        """
        algorithm = "english"
        if not word.isascii():
            algorithm = next((name for script, name in _STEMMERS if script.search(word)), algorithm)
        return self._stemmers()[algorithm].stemWord(word)[:_STEM_CHARS]

    def word_ids(self, token: str) -> tuple[int, ...]:
        """Ids of one token as the segmentation found it: a word, an identifier, a number, a run."""
        if _UNSPACED_START.match(token):
            return tuple(chain.from_iterable(map(self._memos()[1].__getitem__, _run_grams(token))))
        if len(token) > _MAX_WORD_CHARS:
            word = _LongWord()
            word.add(token)
            return (word.id(),)
        words = [fold(token.strip("_"))]
        split = parts(token)
        if len(split) > 1:
            words.extend(fold(part) for part in split)
        out: list[int] = []
        for word in words:
            if word:
                out.append(term_id(WORD, word))
                if _HANGUL.search(word):  # particles are glued on: pairs of syllables find the noun
                    out.extend(term_id(BIGRAM, a + b) for a, b in pairwise(word))
                else:
                    out.append(term_id(STEM, self.stem(word)))
        return tuple(out)

    def _memos(self) -> tuple[_Memo, _Memo]:
        """(words, grams) of this thread."""
        made: tuple[_Memo, _Memo] | None = getattr(self._local, "memos", None)
        if made is None:
            made = self._local.memos = _Memo(self.word_ids), _Memo(_gram_id)
        return made

    def _stemmers(self) -> dict[str, _Stemmer]:
        made: dict[str, _Stemmer] | None = getattr(self._local, "stemmers", None)
        if made is None:
            names = ["english", *(algorithm for _, algorithm in _STEMMERS)]
            made = self._local.stemmers = {name: _make_stemmer(name, 0) for name in names}
        return made


class _LongWord:
    """The id of a word of any length, given in parts."""

    def __init__(self) -> None:
        self._code, self._rest = 0, ""

    def add(self, part: str) -> None:
        """The next characters of the word."""
        self._rest += part
        whole = len(self._rest) // _FOLD_CHARS * _FOLD_CHARS
        for at in range(0, whole, _FOLD_CHARS):
            self._hash(self._rest[at : at + _FOLD_CHARS])
        self._rest = self._rest[whole:]

    def id(self) -> int:
        """term_id() of the folded word; nothing can be added any more."""
        self._hash(self._rest)
        return WORD << CHANNEL_BITS | self._code & ((1 << CHANNEL_BITS) - 1)

    def _hash(self, block: str) -> None:
        self._code = crc32(fold(block).encode("utf-8", "surrogatepass"), self._code)


class _Reading:
    """A long text read piece by piece: holds back the token that the next piece may go on with."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._held = ""  # the last word of what was read, and a full stop behind it
        self._long: _LongWord | None = None  # the word before `held`, too long to be held
        self._run_end = ""  # the last character of an unspaced run

    def read(self, piece: str) -> TokenIds:
        """Ids of the tokens that ended."""
        text, self._held = self._held + piece, ""
        ended: list[int] = []
        if self._long is not None:
            at = _end_of_word(text)
            self._long.add(text[:at])
            text = text[at:]
            if text in {"", "."}:
                self._held = text
                return np.empty(0, dtype=np.int32)
            ended, self._long = [self._long.id()], None
        if self._run_end and text:
            if _UNSPACED_START.match(text):
                ended = [term_id(BIGRAM, self._run_end + text[0])]
            self._run_end = ""
        tokens = _tokens(text)
        self._hold_back(text, tokens)
        return np.concatenate((np.array(ended, dtype=np.int32), self._segmenter.of_tokens(tokens)))

    def end(self) -> TokenIds:
        """Ids of what was held back."""
        if self._long is not None:
            return np.array([self._long.id()], dtype=np.int32)
        return self._segmenter.of_tokens(_tokens(self._held))

    def _hold_back(self, text: str, tokens: list[str]) -> None:
        """Take the last token out of `tokens` if the text may go on with it."""
        if not tokens:
            return
        last = tokens[-1]
        rest = text[text.rfind(last) + len(last) :]
        if _UNSPACED_START.match(last):
            self._run_end = "" if rest else last[-1]
        elif rest in {"", "."}:
            del tokens[-1]
            self._held = rest
            if len(last) > _FOLD_CHARS:
                self._long = _LongWord()
                self._long.add(last)
            else:
                self._held = last + rest


def token_places(
    segmenter: Segmenter, text: str
) -> Iterator[tuple[tuple[int, int], tuple[int, ...]]]:
    """Where the terms of a text stand in it: [start, end) in characters, and the ids there.

    Tokens are found in the text as it is, and each is made normal by itself: a term that only
    comes of a whole text's normal form has no place.
    """
    if text.isascii():  # nothing to make normal, and no writing without spaces
        ids = segmenter.token_ids
        for found in _ASCII_TOKEN.finditer(text):
            yield found.span(), ids(found.group())
        return
    for found in _TOKEN.finditer(text):
        token, start = found.group(), found.start()
        if _UNSPACED_START.match(token):
            for at, (a, b) in enumerate(pairwise(token), start):
                yield (at, at + 2), _gram_id(normal(a + b))
        else:
            yield found.span(), segmenter.token_ids(normal(token))


def terms_end(segmenter: Segmenter, text: str, limit: int, check: Callable[[], None]) -> int:
    """The character behind the first `limit` terms of a text; to the token, as token_places()."""
    left = limit
    for found in _TOKEN.finditer(text):
        check()
        token = found.group()
        if _UNSPACED_START.match(token):
            terms = 2 * len(normal(token)) - 1
            if terms >= left:  # of abc: a, ab, b, bc, c
                return (
                    found.start()
                    + bisect_left(
                        range(len(token)), left, key=lambda at: 2 * len(normal(token[: at + 1])) - 1
                    )
                    + 1
                )
        else:
            terms = len(segmenter.token_ids(normal(token)))
        left -= terms
        if left <= 0:
            return found.end()
    return len(text)


def _tokens(text: str) -> list[str]:
    """The tokens of a normal text."""
    return _ASCII_TOKEN.findall(text) if text.isascii() else cast("list[str]", _TOKEN.findall(text))


def _end_of_word(text: str) -> int:
    """How far the word goes on that ended before the text."""
    found = _WORD_GOES_ON.match(text)
    return 0 if found is None else found.end()


def _gram_id(gram: str) -> tuple[int, ...]:
    return (term_id(CHARACTER if len(gram) == 1 else BIGRAM, gram),)


def _run_grams(run: str) -> list[str]:
    """abc -> a, ab, b, bc, c: each character, then the pair that it begins."""
    return [run[i >> 1 : (i >> 1) + 1 + (i & 1)] for i in range(2 * len(run) - 1)]
