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
from collections.abc import Callable
from importlib import import_module
from itertools import chain, pairwise
from typing import Final, Protocol, cast
from zlib import crc32

import numpy as np
import regex

from rerankd.core.types import TokenIds
from rerankd.engines.lexical import BIGRAM, CHANNEL_BITS, CHARACTER, STEM, WORD

_MAX_WORD_CHARS: Final = 64  # longer words are hashed whole: no stem, no parts, not remembered
_MAX_REMEMBERED: Final = 200_000  # words; bounds the memory of each thread to ~50 MB
_STEM_CHARS: Final = 6  # McNamee & Mayfield: truncation is close to stemming, in any language

_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u3005-\u3007\u30fc\u0e31-\u0e3a\u0e47-\u0e4e"
)
_ASCII_TOKEN = re.compile(r"\w+(?:\.\d\w*)*", re.ASCII)
_TOKEN = regex.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+(?:\.\p{{Nd}}[^\W{_UNSPACED}]*)*")
_UNSPACED_START = regex.compile(rf"[{_UNSPACED}]")
# unicodedata.normalize sorts each run of marks by insertion: a long run would cost time squared.
_MARK_RUN = regex.compile(r"([\p{M}\uff9e\uff9f]{8})[\p{M}\uff9e\uff9f]++")
_INVISIBLE = regex.compile(r"[\p{Cf}\u0640]++")  # zero-width, soft hyphen, bidi, Arabic tatweel
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

    def __init__(self) -> None:
        self._local = threading.local()  # a Snowball stemmer must not be used by two threads

    def ids(self, text: str) -> TokenIds:
        """Terms of a text in reading order, shape (L,), L = 0 for a text without a letter or digit.

        Each word gives WORD then STEM, a Korean one WORD then BIGRAMs; each character of an
        unspaced script gives CHARACTER, then its BIGRAM with the next one. A word that stands in
        one run with digits, case changes or underscores is followed by its parts.
        """
        memo, _ = self._memos()
        if text.isascii():
            tokens = _ASCII_TOKEN.findall(text)
        else:
            text = _INVISIBLE.sub("", _MARK_RUN.sub(r"\1", text))
            tokens = cast("list[str]", _TOKEN.findall(unicodedata.normalize("NFKC", text)))
        found = list(chain.from_iterable(map(memo.__getitem__, tokens)))
        return np.array(found, dtype=np.int64).astype(np.int32)

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
            return (term_id(WORD, fold(token)),)
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


def _gram_id(gram: str) -> tuple[int, ...]:
    return (term_id(CHARACTER if len(gram) == 1 else BIGRAM, gram),)


def _run_grams(run: str) -> list[str]:
    """abc -> a, ab, b, bc, c: each character, then the pair that it begins."""
    return [run[i >> 1 : (i >> 1) + 1 + (i & 1)] for i in range(2 * len(run) - 1)]
