"""What is done to a text before the Unigram search, and which code point each character comes from.

Places are counted as the library `tokenizers` counts them, oddities included: where the beginning
of a text is left out, all behind it is taken for what stood before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from rerankd.models.charsmap import Charsmap

# Unicode's White_Space; Python's own idea of it has four more.
WHITE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
NOT_WHITE: Final = "\x1c\x1d\x1e\x1f"  # that str.split() takes for it
_WORD: Final = re.compile(f"[^{WHITE}]+")
_SPACES: Final = re.compile(" {2,}")

Place = tuple[int, int]  # of the code points that a character comes from: first, last + 1
Placed = list[tuple[str, Place]]  # characters


class Step(Protocol):
    """One step of a normaliser."""

    def normal(self, text: str) -> str:
        """The text after it."""
        ...

    def placed(self, text: Placed) -> Placed:
        """The same, with places."""
        ...


@dataclass(frozen=True, slots=True)
class Mapped:
    """Characters are replaced by a map."""

    charsmap: Charsmap

    def normal(self, text: str) -> str:
        """See Step."""
        return self.charsmap.normal(text)

    def placed(self, text: Placed) -> Placed:
        """See Step."""
        found: Placed = []
        at = 0
        for character, adds in self.charsmap.changes("".join(each for each, _ in text)):
            if adds > 0:
                found.append((character, text[at - 1][1] if at else (0, 0)))
            else:
                found.append((character, text[at][1]))
                at += 1 - adds
        return found


@dataclass(frozen=True, slots=True)
class Replaced:
    """One character is replaced by others."""

    old: str
    new: str

    def normal(self, text: str) -> str:
        """See Step."""
        return text.replace(self.old, self.new)

    def placed(self, text: Placed) -> Placed:
        """See Step."""
        return [
            (new, place)
            for character, place in text
            for new in (self.new if character == self.old else character)
        ]


@dataclass(frozen=True, slots=True)
class Collapsed:
    """Blanks side by side become one character."""

    new: str

    def normal(self, text: str) -> str:
        """See Step."""
        return _SPACES.sub(self.new, text) if "  " in text else text

    def placed(self, text: Placed) -> Placed:
        """See Step."""
        found: Placed = []
        for is_blank, group in groupby(text, lambda each: each[0] == " "):
            some = list(group)
            found += [(self.new, some[-1][1])] if is_blank and len(some) > 1 else some
        return found


@dataclass(frozen=True, slots=True)
class Stripped:
    """White space is left out at an end, or at both."""

    left: bool
    right: bool

    def normal(self, text: str) -> str:
        """See Step."""
        text = text.lstrip(WHITE) if self.left else text
        return text.rstrip(WHITE) if self.right else text

    def placed(self, text: Placed) -> Placed:
        """See Step."""
        whole = "".join(character for character, _ in text)
        first = len(whole) - len(whole.lstrip(WHITE)) if self.left else 0
        end = len(whole.rstrip(WHITE)) if self.right else len(whole)
        return text[first : max(first, end)]


def spelled(text: str, *, by_words: bool, plain_split: bool) -> str:
    """A normalised text as the search wants it: every word with a blank before it.

    Args:
        text: normalised.
        by_words: white space is left out; otherwise each blank counts.
        plain_split: str.split() finds the words.
    """
    if not by_words:
        return text if not text or text[0] in " \u2581" else f" {text}"
    words = text.split() if plain_split else _WORD.findall(text)
    if "\u2581" in text:
        return "".join(word if word[0] == "\u2581" else f" {word}" for word in words)
    return f" {' '.join(words)}" if words else ""


def placed_words(text: Placed, *, by_words: bool) -> list[Placed]:
    """spelled(), with places; each begins with its blank."""
    whole = "".join(character for character, _ in text)
    spans = [match.span() for match in _WORD.finditer(whole)] if by_words else [(0, len(text))]
    words: list[Placed] = []
    for start, end in spans:
        word = text[start:end]
        if word and word[0][0] not in ("\u2581" if by_words else " \u2581"):
            word = [(" ", word[0][1]), *word]
        words.append(word)
    return words
