"""Which worker has probably seen a request's documents before. Pure.

MinHash: of the hashes of all documents the smallest says who. Two requests have the same smallest
hash with the probability of their Jaccard similarity (Broder 1997), so lists that share most of
their documents meet the same worker, where their vectors still are; and lists that share none are
spread evenly. The content of a worker that is away is spread over all others, and comes back to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count
from typing import Final

_WHOLE: Final = 2048  # characters; of a longer text length and ends are looked at
_END: Final = 512
_WORD: Final = (1 << 64) - 1


def signature(texts: Iterable[str]) -> int:
    """The smallest hash of the texts; the same in this process only."""
    return min(map(_hash, texts), default=0)


def home(signed: int, workers: int, there: Collection[int]) -> int:
    """The worker whose content this is.

    Args:
        signed: of the content.
        workers: how many there are, from 0 on.
        there: those of them that may be asked; at least one.
    """
    return next(number for turn in count() if (number := _mixed(signed + turn) % workers) in there)


def _hash(text: str) -> int:
    if len(text) <= _WHOLE:
        return hash(text)
    return hash((len(text), text[:_END], text[-_END:]))


def _mixed(value: int) -> int:
    """Every bit of a number in every bit of the result: splitmix64."""
    value = (value * 0x9E3779B97F4A7C15) & _WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)
