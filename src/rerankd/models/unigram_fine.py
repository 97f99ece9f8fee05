"""The ids of texts by their segments: by tables, by what was met before, or by the search.

It pays where segments are short, as in Chinese and Japanese. Ids are those of the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rerankd.models.unigram_segments import (
    NOT_HERE,
    Counts,
    Cut,
    Ids,
    Remembered,
    SegmentCuts,
    Short,
)

AT_ONCE: Final = 1 << 16  # characters that are cut at once, or one text
LONGEST_TIED: Final = 1_024  # characters of a word that is searched whole for how a tie goes
TIED: Final = b""  # a segment's ids: what stands around it decides
ID_BYTES: Final = 4

Bools = npt.NDArray[np.bool_]
Span = tuple[int, int]  # id, code points


class FineIds:
    """Texts to ids, cut everywhere where no piece reaches across. Thread-safe."""

    def __init__(
        self,
        cuts: SegmentCuts,
        short: Short,
        search: Callable[[list[str]], list[bytes]],
        search_word: Callable[[str], list[Span]],
    ) -> None:
        """Put them together.

        Args:
            cuts: where segments begin.
            short: the ids of many short ones.
            search: different segments to their ids, int32, or TIED.
            search_word: a whole word to its ids, ties as they are.
        """
        self._cuts, self._short = cuts, short
        self._search, self._search_word = search, search_word
        self._remembered = Remembered()

    def ids(self, texts: Sequence[str]) -> tuple[Ids, Counts]:
        """All texts' ids one behind the other, (L,), and how many each has, (T,).

        Args:
            texts: T of them, each with a blank or U+2581 first.
        """
        found: list[tuple[Ids, Counts]] = []
        start = size = 0
        for at, text in enumerate(texts):
            if size + len(text) > AT_ONCE and at > start:
                found.append(self._some(texts[start:at]))
                start, size = at, 0
            size += len(text)
        found.append(self._some(texts[start:]))
        flat = np.concatenate([ids for ids, _ in found])
        return flat, np.concatenate([counts for _, counts in found])

    def _some(self, texts: Sequence[str]) -> tuple[Ids, Counts]:
        cut = self._cuts.cut(texts)
        ids, second = self._short.ids(cut)
        longer = ids == NOT_HERE
        found = self._remembered.ids(self._cuts.texts(cut, longer), self._search)
        if TIED in found:
            longer, found = self._untied(cut, longer, found)
        has_two = (second != NOT_HERE) & ~longer
        sizes = 1 + has_two.astype(np.int64)
        sizes[longer] = np.fromiter(map(len, found), np.int64, len(found)) // ID_BYTES
        flat, ends = np.repeat(ids, sizes), np.cumsum(sizes)
        flat[ends[has_two] - 1] = second[has_two]
        flat[np.repeat(longer, sizes)] = np.frombuffer(b"".join(found), np.int32)
        return flat, np.diff(np.append(0, ends)[cut.before])

    def _untied(self, cut: Cut, longer: Bools, found: list[bytes]) -> tuple[Bools, list[bytes]]:
        """The same with the ids of whole words where a segment's are not known by itself."""
        known = dict(zip(np.flatnonzero(longer).tolist(), found, strict=True))
        tied = [index for index, ids in known.items() if ids == TIED]
        longer, text = longer.copy(), cut.joined
        done = 0
        for index in tied:
            if index < done:
                continue
            start = int(cut.starts[index])
            first, last = text.rfind(" ", 0, start + 1), text.find(" ", start + 1)
            last = len(text) if last < 0 else last
            if last - first > LONGEST_TIED:
                first, last = start, start + int(cut.lengths[index])
            begin, done = np.searchsorted(cut.starts, [first, last]).tolist()
            longer[begin:done] = True
            known |= dict.fromkeys(range(begin, done), b"")
            known[begin] = packed(self._search_word(text[first:last]))
        return longer, [known[index] for index in np.flatnonzero(longer).tolist()]


def packed(spans: Sequence[Span]) -> bytes:
    """Their ids."""
    return np.array([id_ for id_, _ in spans], np.int32).tobytes()
