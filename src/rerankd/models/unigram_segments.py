"""Texts cut everywhere where no piece reaches across, and the ids of segments met before.

Such a segment's ids do not depend on what stands around it: a word without its comma in languages
with blanks, one or two characters in Chinese. The same ones come again and again, whole texts do
not. What is remembered is what the exact search gave, so that ids are the same with and without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from rerankd.models.unigram_tables import BLANK, GRID, Floats, JoinedCharacters

MOST_BYTES: Final = 3 << 19  # of the segments met lately, and as many of older ones
LONGEST: Final = 20  # characters of a segment that is remembered
SAMPLED: Final = 32  # one character in so many is looked at
_DENSE: Final = ("\u2e80", "\uabff")  # Chinese and Japanese, and scripts beside them
_ENTRY: Final = 168  # bytes of an entry at most, without its characters and ids

CODES: Final = 1 << 17  # code points whose ids alone are in a table
TWO_SLOTS: Final = 1 << 17
NOT_HERE: Final = -1

Counts = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Marks:
    """Two characters that stand in no piece."""

    cut: str  # put between segments: texts must not hold it
    other: str  # stands for the first where a text does: unknown is unknown


def has_short_segments(text: str) -> bool:
    """Whether cutting is worth its while: most characters seem to be Chinese or Japanese.

    This decides about time only: ids are the same either way.
    """
    if text.isascii():
        return False
    first, last = _DENSE
    sample = text[SAMPLED // 2 :: SAMPLED] or text[1:2]
    return 2 * sum(first <= each <= last for each in sample) > len(sample)


@dataclass(slots=True)
class Cut:
    """Texts as segments, S of them: none reaches across texts, and no piece across segments."""

    joined: str  # all texts; a blank is " "
    codes: npt.NDArray[np.uint32]  # its characters; a blank is U+2581
    starts: Counts  # (S,), in characters
    lengths: Counts  # (S,)
    before: Counts  # (T + 1,), segments before each text


class SegmentCuts:
    """Where segments begin: before a blank, and between characters side by side in no piece."""

    def __init__(self, joined: JoinedCharacters, marks: Marks) -> None:
        """Take both of a vocabulary."""
        self._joined = joined
        self._marks = marks

    def cut(self, texts: Sequence[str]) -> Cut:
        """All texts' segments.

        Args:
            texts: each empty or with a blank or U+2581 first; not all empty.
        """
        joined = "".join(texts).replace(BLANK, " ")
        if self._marks.cut in joined:
            joined = joined.replace(self._marks.cut, self._marks.other)
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
        begins = codes == ord(" ")
        codes[begins] = ord(BLANK)
        begins[1:] |= ~self._joined.between(codes)
        begins[0] = True
        starts = np.flatnonzero(begins)
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        before = np.append(0, np.searchsorted(starts, ends))
        return Cut(joined, codes, starts, np.diff(starts, append=codes.size), before)

    def texts(self, cut: Cut, some: npt.NDArray[np.bool_]) -> list[str]:
        """Some segments, (S,), as texts."""
        sizes = cut.lengths[some]
        if not sizes.size:
            return []
        ends = np.cumsum(sizes + 1)
        is_text = np.ones(int(ends[-1]) - 1, np.bool_)
        is_text[ends[:-1] - 1] = False
        marked = np.full(is_text.size, ord(self._marks.cut), np.uint32)
        marked[is_text] = cut.codes[np.repeat(some, cut.lengths)]
        text = marked.tobytes().decode("utf-32-le", "surrogatepass").replace(BLANK, " ")
        return text.split(self._marks.cut)


class Short:
    """The ids of segments of one character, and of many of two: no search is needed.

    There is one way through one character, and through two that are no piece. Two are their own
    piece if that is better by more than scores may be rounded. The rest is left to the search.
    """

    def __init__(
        self,
        codes: npt.NDArray[np.uint32],
        owner: npt.NDArray[np.int64],
        scores: Floats,
        unknown: int,
    ) -> None:
        """Make both tables.

        Args:
            codes: (N,), of all pieces.
            owner: (N,), the piece that each is of.
            scores: (V,) or more, as they are searched with.
            unknown: id of the piece for unknown characters.
        """
        sizes = np.bincount(owner)
        first = np.cumsum(sizes) - sizes
        self._single = np.full(CODES + 1, unknown, np.int32)
        self._single[-1] = NOT_HERE
        singles = np.flatnonzero((sizes == 1) & (codes[first] < CODES))
        self._single[codes[first[singles]]] = singles
        both = np.flatnonzero(sizes == 2)
        left, right = codes[first[both]], codes[first[both] + 1]
        small = (left < CODES) & (right < CODES)
        both, left, right = both[small], left[small], right[small]
        self._maybe = np.zeros(TWO_SLOTS, np.bool_)
        self._maybe[_two_slot(left, right)] = True
        one, other = self._single[left], self._single[right]
        wins = (both != unknown) & (one != unknown) & (other != unknown)
        wins &= scores[both] > scores[one] + scores[other] + 4 * GRID
        both, left, right = both[wins], left[wins], right[wins]
        slots = _two_slot(left, right)
        self._key = np.zeros(TWO_SLOTS, np.uint64)
        self._two = np.full(TWO_SLOTS, NOT_HERE, np.int32)
        self._key[slots], self._two[slots] = _two_key(left, right), both

    def ids(self, cut: Cut) -> tuple[Ids, Ids]:
        """Of each segment, (S,): NOT_HERE if it is to be searched; and a second id, or NOT_HERE."""
        found = np.full(cut.starts.size, NOT_HERE, np.int32)
        second = found.copy()
        one = np.flatnonzero(cut.lengths == 1)
        found[one] = self._single[np.minimum(cut.codes[cut.starts[one]], CODES)]
        two = np.flatnonzero(cut.lengths == 2)
        first = cut.starts[two]
        left, right = cut.codes[first], cut.codes[first + 1]
        slots = _two_slot(left, right)
        is_known = self._key[slots] == _two_key(left, right)
        found[two] = np.where(is_known, self._two[slots], NOT_HERE)
        apart = ~self._maybe[slots] & (left < CODES) & (right < CODES)  # no piece of both
        some = two[apart]
        found[some], second[some] = self._single[left[apart]], self._single[right[apart]]
        return found, second


def _two_slot(left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32]) -> Any:
    return (left * np.uint32(0x9E3779B1) ^ right * np.uint32(0x85EBCA77)) >> np.uint32(15)


def _two_key(left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32]) -> Any:
    return left.astype(np.uint64) << np.uint64(32) | right


class Remembered:
    """The ids of texts met before, within a number of bytes. Thread-safe.

    Where there is no more room, the texts met since the last time become the older ones, and what
    were the older ones are forgotten. An older one that is met again is recent again.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, longest: int = LONGEST) -> None:
        """Nothing yet.

        Args:
            most_bytes: of the recent, and as many of the older ones.
            longest: characters of a text that is remembered.
        """
        self._most, self._longest = most_bytes, longest
        self._recent: dict[str, bytes] = {}
        self._older: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = Lock()

    def ids(self, texts: Sequence[str], search: Callable[[list[str]], list[bytes]]) -> list[bytes]:
        """Of each text, as `search` gives them: it gets those that are not known, each once."""
        found = [*map(self._recent.get, texts)]
        missing = dict.fromkeys(text for text, ids in zip(texts, found, strict=True) if ids is None)
        if not missing:
            return cast("list[bytes]", found)
        older = self._older
        new = {text: older[text] for text in missing if text in older}
        unknown = [text for text in missing if text not in new]
        if unknown:
            new.update(zip(unknown, search(unknown), strict=True))
        self._remember(new)
        return [new[text] if ids is None else ids for text, ids in zip(texts, found, strict=True)]

    def _remember(self, new: Mapping[str, bytes]) -> None:
        some = {text: ids for text, ids in new.items() if len(text) <= self._longest}
        size = len(some) * _ENTRY + sum(map(len, some)) * 4 + sum(map(len, some.values()))
        if size > self._most:
            return
        with self._lock:
            if self._bytes + size > self._most:
                self._older, self._recent, self._bytes = self._recent, {}, 0
            self._recent.update(some)
            self._bytes += size
