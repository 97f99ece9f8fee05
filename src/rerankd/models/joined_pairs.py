"""Which characters a vocabulary joins: where no entry of it reaches across, a word falls apart.

The best way through a word (Unigram), and the merges of its bytes (BPE), both consist of entries of
the vocabulary only; a place that no entry spans is passed by every one of them. One thing is not
kept: where two ways through a word are equally good ("aa a" and "a aa"), the rounding of the sum
so far decides in Unigram, and a part's sum is not the whole's. Either way is the best one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

MAX_CHARACTER_BYTES: Final = 4


class JoinedPairs(Protocol):
    """Of one vocabulary."""

    def spans(self, before: str, after: str) -> bool:
        """Whether some entry may reach across the place between two characters."""
        ...


class UnigramPairs:
    """Entries are texts. Characters without an entry of their own are spanned by the unknown."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._pairs: set[str] = set()
        self._single: set[str] = set()
        for piece in vocabulary:
            if len(piece) == 1:
                self._single.add(piece)
            else:
                self._pairs.update(map(str.__add__, piece, piece[1:]))

    def spans(self, before: str, after: str) -> bool:
        """See JoinedPairs."""
        known = before in self._single and after in self._single
        return not known or before + after in self._pairs


class BytePairs:
    """Entries are bytes, each spelled as one of 256 characters (byte-level BPE)."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        spelled = _byte_characters()
        self._pairs: set[str] = set()
        self._fragments: set[tuple[bytes, bytes]] = set()  # of entries that cut a character
        for piece in vocabulary:
            try:
                entry = bytes(spelled[character] for character in piece)
            except KeyError:
                continue  # a special token: it is looked for in the text, not made of bytes
            try:
                text = entry.decode()
            except UnicodeDecodeError:
                self._fragments.update(_fragments(entry))
            else:
                self._pairs.update(map(str.__add__, text, text[1:]))

    def spans(self, before: str, after: str) -> bool:
        """See JoinedPairs."""
        if before + after in self._pairs:
            return True
        tail, head = before.encode(), after.encode()
        return any(
            (tail[i:], head[:j]) in self._fragments
            for i in range(len(tail))
            for j in range(1, len(head) + 1)
        )


def _fragments(entry: bytes) -> Iterable[tuple[bytes, bytes]]:
    """(what of a character, what of the next one) an entry joins, at each place between two."""
    starts = [i for i, byte in enumerate(entry) if not 0x80 <= byte < 0xC0]
    for at in starts:
        if at == 0:
            continue
        first = max((i for i in starts if i < at), default=0)
        end = next((i for i in starts if i > at), len(entry))
        yield entry[first:at], entry[at:end]


def _byte_characters() -> dict[str, int]:
    """The character that stands for each byte, as GPT-2's vocabulary spells them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    spelled = {chr(byte): byte for byte in plain}
    spelled.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return spelled
