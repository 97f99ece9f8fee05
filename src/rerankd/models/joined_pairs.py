"""Which characters a vocabulary joins: where no entry of it reaches across, a word falls apart.

The best way through a word (Unigram), and the merges of its bytes (BPE), both consist of entries of
the vocabulary only; a place that no entry spans is passed by every one of them. One thing is not
kept: where two ways through a word are equally good ("aa a" and "a aa"), the rounding of the sum
so far decides in Unigram, and a part's sum is not the whole's. Either way is the best one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]


class JoinedPairs(Protocol):
    """Of one vocabulary."""

    def spans(self, before: str, after: str) -> bool:
        """Whether some entry may reach across the place between two characters."""
        ...


class _Pairs:
    """Two characters side by side in some entry; eight bytes each."""

    def __init__(self, entries: Iterable[str]) -> None:
        joined = "\0".join(("", *entries, ""))
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        is_end = codes == 0
        both = ~is_end[:-1] & ~is_end[1:]
        self._pairs = np.unique(_as_one(codes[:-1][both], codes[1:][both]))

    def has(self, before: str, after: str) -> bool:
        wanted = ord(before) << 21 | ord(after)
        at = int(np.searchsorted(self._pairs, np.uint64(wanted)))
        return at < self._pairs.size and int(self._pairs[at]) == wanted


class UnigramPairs:
    """Entries are texts.

    Unknown characters side by side are one token; that of a part begins with the character before
    the seam, which is given again, and does not count.
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._pairs = _Pairs(vocabulary)

    def spans(self, before: str, after: str) -> bool:
        """See JoinedPairs."""
        return self._pairs.has(before, after)


class BytePairs:
    """Entries are bytes, each spelled as one of 256 characters (byte-level BPE)."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        spelled = str.maketrans(_byte_characters())
        texts: list[str] = []
        self._fragments: set[tuple[bytes, bytes]] = set()  # of entries that cut a character
        for piece in vocabulary:
            try:
                entry = piece.translate(spelled).encode("latin-1")
            except UnicodeEncodeError:
                continue  # a special token: it is looked for in the text, not made of bytes
            try:
                texts.append(entry.decode())
            except UnicodeDecodeError:
                self._fragments.update(_fragments(entry))
        self._pairs = _Pairs(texts)

    def spans(self, before: str, after: str) -> bool:
        """See JoinedPairs."""
        if self._pairs.has(before, after):
            return True
        tail, head = before.encode(), after.encode()
        return any(
            (tail[i:], head[:j]) in self._fragments
            for i in range(len(tail))
            for j in range(1, len(head) + 1)
        )


def _as_one(before: Codes, after: Codes) -> npt.NDArray[np.uint64]:
    return before.astype(np.uint64) << np.uint64(21) | after.astype(np.uint64)


def _fragments(entry: bytes) -> Iterable[tuple[bytes, bytes]]:
    """(what of a character, what of the next one) an entry joins, at each place between two."""
    starts = [i for i, byte in enumerate(entry) if not 0x80 <= byte < 0xC0]
    for at in starts:
        if at == 0:
            continue
        first = max((i for i in starts if i < at), default=0)
        end = next((i for i in starts if i > at), len(entry))
        yield entry[first:at], entry[at:end]


def _byte_characters() -> dict[str, str]:
    """The character that stands for each byte in GPT-2's vocabulary -> the byte, as Latin-1."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    spelled = {chr(256 + i): chr(byte) for i, byte in enumerate(others)}
    return spelled | {chr(byte): chr(byte) for byte in plain}
