"""SentencePiece's compiled character map, applied as the library `tokenizers` applies it.

The map is a search tree over UTF-8 (a double array) and the texts that it leads to. SentencePiece
takes the longest key at each place. `tokenizers` goes by user-perceived characters: one of at most
five bytes that begins with a key is replaced whole, by what the shortest such key stands for; of
any other, each code point is replaced alone. A tokenizer.json is to be read that way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import regex

from rerankd.models.character_class import character_class

_LAST: Final = 0xFFFF
LONGEST_WHOLE: Final = 5  # bytes of a user-perceived character that is looked up as one
_MAX_NODES: Final = 1 << 20  # of a level of the tree; 4 000 are known
_GRAPHEME: Final = regex.compile(r"\X")
_PREPEND: Final = regex.compile(r"\p{Grapheme_Cluster_Break=Prepend}")
_MARK: Final = (
    regex.compile(  # what may stand behind the first code point of a user-perceived character
        r"[\p{Grapheme_Cluster_Break=Extend}\p{Grapheme_Cluster_Break=SpacingMark}"
        r"\p{Grapheme_Cluster_Break=ZWJ}\p{Grapheme_Cluster_Break=L}\p{Grapheme_Cluster_Break=V}"
        r"\p{Grapheme_Cluster_Break=T}\p{Grapheme_Cluster_Break=Regional_Indicator}]"
    )
)

Change = tuple[str, int]  # a character, and the code points that it adds: 1, 0, or less (left out)


class Charsmap:
    """One map. Thread-safe."""

    def __init__(self, table: bytes) -> None:
        """Read the keys.

        Args:
            table: `precompiled_charsmap`, decoded.

        Raises:
            ValueError: it is damaged, or has keys that cannot be read code point by code point.
        """
        keys = _keys(table)
        self._single = {key: to for key, to in keys.items() if len(key) == 1}
        several = {key: to for key, to in keys.items() if 1 < len(key) <= LONGEST_WHOLE}
        self._several = {k: to for k, to in several.items() if len(k.encode()) <= LONGEST_WHOLE}
        self._line_end = self._single.get("\r", "\r\n")
        blank_is_key = " " in self._single or any(key[0] == " " for key in self._several)
        if "\r\n" in self._several or self._line_end not in {" ", "\r\n"} or blank_is_key:
            raise ValueError("lines' ends, or blanks, are replaced in a way that is not known")
        self._ascii = {ord(key): to for key, to in self._single.items() if key.isascii()}
        self._replaced = re.compile(_characters(self._single))
        self._whole_place = re.compile(
            _whole_place({*self._single, *(k[0] for k in self._several)})
        )

    def normal(self, text: str) -> str:
        """The text with its characters replaced."""
        if "\r\n" in text:  # one user-perceived character
            text = text.replace("\r\n", self._line_end)
        if text.isascii():
            return text.translate(self._ascii)
        place = self._whole_place.search(text)
        if place is None:
            return self._replaced.sub(self._one, text)
        if _PREPEND.search(text) is not None:
            return "".join(character for character, _ in self.changes(text))
        kept: list[str] = []
        done = 0
        while place is not None:
            # From a blank to the next one: no user-perceived character reaches across.
            start = max(text.rfind(" ", done, place.start()), done)
            end = text.find(" ", place.end())
            end = len(text) if end < 0 else end
            kept.append(self._replaced.sub(self._one, text[done:start]))
            kept += [character for character, _ in self.changes(text[start:end])]
            done = end
            place = self._whole_place.search(text, done)
        return "".join((*kept, self._replaced.sub(self._one, text[done:])))

    def changes(self, text: str) -> list[Change]:
        """The same, each character with what it is to those of the text."""
        found: list[Change] = []
        for match in _GRAPHEME.finditer(text):
            grapheme = match[0]
            whole = self._whole(grapheme)
            if whole is not None:
                _replace(found, len(grapheme), whole)
                continue
            for character in grapheme:
                to = self._single.get(character)
                if to is None:
                    found.append((character, 0))
                else:
                    _replace(found, 1, to)
        return found

    def _one(self, match: re.Match[str]) -> str:
        return self._single.get(match[0], match[0])

    def _whole(self, grapheme: str) -> str | None:
        """What stands for several code points together; None: each is replaced alone."""
        if len(grapheme) == 1 or len(grapheme.encode()) > LONGEST_WHOLE:
            return None
        first = self._single.get(grapheme[0])
        if first is not None:
            return first
        ends = range(2, len(grapheme) + 1)
        found = (self._several.get(grapheme[:end]) for end in ends)
        return next((to for to in found if to is not None), None)


def _replace(found: list[Change], count: int, to: str) -> None:
    """Add what `count` code points become, counted as the library counts."""
    found += [(character, 0) for character in to]
    more = len(to) - count
    if more > 0:
        found[-more:] = [(character, 1) for character, _ in found[-more:]]
    elif more < 0 and found:
        found[-1] = (found[-1][0], found[-1][1] + more)


def _whole_place(firsts: Iterable[str]) -> str:
    """Finds at least the places where a user-perceived character may be replaced whole.

    It begins with a class of characters, so that a search passes by all others quickly.
    """
    marks, prepended = _marks()
    by_bytes = [[c for c in firsts if len(c.encode()) == size] for size in (1, 2, 3)]
    places = [
        _characters(some) + _characters(m for m in marks if size + len(m.encode()) <= LONGEST_WHOLE)
        for size, some in enumerate(by_bytes, 1)
    ]
    behind = f"(?<={'|'.join(places)})"
    return f"{_characters((*marks, *prepended))}(?:{behind}|(?<={_characters(prepended)}))"


@cache
def _marks() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Code points that continue a user-perceived character, and those that begin one only."""
    planes = (range(0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE1000))
    every = "".join(chr(code) for plane in planes for code in plane)
    return tuple(_MARK.findall(every)), tuple(_PREPEND.findall(every))


def _characters(some: Iterable[str]) -> str:
    """Of the characters, and of all over U+FFFF if one is: `re` is quick with one such range."""
    codes = {ord(character) for character in some}
    found = character_class(code for code in codes if code <= _LAST)
    return f"{found[:-1]}\\U00010000-\\U0010ffff]" if max(codes, default=0) > _LAST else found


def _keys(table: bytes) -> dict[str, str]:
    """The keys of the tree that are short enough to be looked up, and what stands for each."""
    size = int.from_bytes(table[:4], "little")
    if size < 4 or size % 4 or 4 + size > len(table):
        raise ValueError("the tree is cut short")
    units = np.frombuffer(table, "<u4", size // 4, 4).astype(np.int64)
    texts = table[4 + size :]
    nodes, keys = _children(units[:1] * 0, units[:1]), [b""]
    found: dict[str, str] = {}
    for _ in range(LONGEST_WHOLE):
        if nodes.size > _MAX_NODES:
            raise ValueError("the tree is too wide")
        places = nodes[:, None] ^ np.arange(1, 256)
        inside = places < units.size
        reached = units[np.where(inside, places, 0)]
        hits = inside & (reached & (1 << 31 | 0xFF) == np.arange(1, 256))
        owner, byte = np.nonzero(hits)
        unit = reached[hits]
        keys = [
            keys[o] + bytes((b + 1,)) for o, b in zip(owner.tolist(), byte.tolist(), strict=True)
        ]
        nodes = _children(places[hits], unit)
        if (nodes >= units.size).any():
            raise ValueError("the tree leads out of itself")
        for at in np.flatnonzero(unit >> 8 & 1).tolist():
            begin = int(units[nodes[at]]) & (1 << 31) - 1
            found[keys[at].decode()] = texts[begin : texts.index(b"\0", begin)].decode()
    return found


def _children(places: npt.NDArray[np.int64], units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the children of nodes begin."""
    return places ^ (units >> 10 << ((units & 1 << 9) >> 6))
