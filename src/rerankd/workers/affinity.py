"""Which workers have seen a request's documents before. Pure.

MinHash: of the hashes of all documents the smallest stands for the list. Two lists have the same
one with the probability of their Jaccard similarity (Broder 1997), so lists that share most of
their documents are mostly taken for one, and those that share none never.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

_WHOLE: Final = 2048  # characters; of a longer text length and ends are looked at
_END: Final = 512
_LISTS: Final = 16_384  # that are known; more than all caches hold

_NOBODY: Final = frozenset[int]()


def signature(texts: Iterable[str]) -> int:
    """The smallest hash of the texts; the same in this process only."""
    return min(map(_hash, texts), default=0)


def _hash(text: str) -> int:
    if len(text) <= _WHOLE:
        return hash(text)
    return hash((len(text), text[:_END], text[-_END:]))


class Seen:
    """Who was sent what of late, by signature."""

    def __init__(self, most: int = _LISTS) -> None:
        """Most: signatures that are kept; who was not seen for longest goes."""
        self._most = most
        self._by: OrderedDict[int, frozenset[int]] = OrderedDict()

    def of(self, signed: int) -> frozenset[int]:
        """The workers that were sent this."""
        return self._by.get(signed, _NOBODY)

    def note(self, signed: int, worker: int) -> None:
        """This was sent to a worker."""
        self._by[signed] = self.of(signed) | {worker}
        self._by.move_to_end(signed)
        if len(self._by) > self._most:
            self._by.popitem(last=False)

    def forget(self, worker: int) -> None:
        """A worker has ended: the next one knows nothing."""
        for signed, workers in self._by.items():
            if worker in workers:
                self._by[signed] = workers - {worker}
