"""A text as its words are compared: compatibility forms (NFKC), nothing invisible, few marks.

A long text comes in pieces: the standard library's normalize() holds the interpreter for as long as
it runs, and makes up to 18 characters of one.

Source: Unicode UAX #15, section 9.1 (where a text may be cut and normalised in parts).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

import regex

PIECE_CHARACTERS: Final = 8_192  # 150 000 at most when normalised
_ASCII_PIECE: Final = 8  # times as many: nothing to normalise
_LONGEST_UNCUT: Final = 16_384  # no writing goes on for so long without a place to cut

# unicodedata.normalize sorts each run of marks by insertion: a long run would cost time squared.
_MARK_RUN = regex.compile(r"([\p{M}\uff9e\uff9f]{8})[\p{M}\uff9e\uff9f]++")
_INVISIBLE = regex.compile(r"[\p{Cf}\u0640]++")  # zero-width, soft hyphen, bidi, Arabic tatweel


def normal(text: str) -> str:
    """The whole text at once."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _tidy(text))


def normal_pieces(text: str, piece: int = PIECE_CHARACTERS) -> Iterator[str]:
    """normal(text) in parts, each made of about `piece` characters or fewer."""
    if text.isascii():
        step = piece * _ASCII_PIECE
        yield from (text[at : at + step] for at in range(0, len(text), step))
        return
    held = ""
    for at in range(0, len(text), piece):
        held = _tidy(held + text[at : at + piece])
        cut = len(held) if len(held) > _LONGEST_UNCUT + piece else _last_seam(held)
        yield unicodedata.normalize("NFKC", held[:cut])
        held = held[cut:]
    yield unicodedata.normalize("NFKC", held)


def _tidy(text: str) -> str:
    """Without invisible characters, and with eight marks in a row at most."""
    return _MARK_RUN.sub(r"\1", _INVISIBLE.sub("", text))


def _last_seam(text: str) -> int:
    """The last place before which a text may be normalised on its own; 0 = there is none near."""
    for at in range(len(text) - 1, max(0, len(text) - 64), -1):
        if _is_seam(text[at - 1], text[at]):
            return at
    return 0


def _is_seam(before: str, after: str) -> bool:
    """Whether no normal form joins or reorders anything across the two characters."""
    if after.isascii():
        return True
    first = unicodedata.normalize("NFKD", after)[0]
    if unicodedata.category(first)[0] == "M" or "\U00016d63" <= first <= "\U00016d6a":
        return False
    if "\u1160" <= first <= "\u11ff":  # a Korean vowel or final consonant joins what is before it
        last = unicodedata.normalize("NFKD", before)[-1]
        return ("\u1160" if first < "\u11a8" else "\u11a8") <= last <= "\u11ff"
    return True
