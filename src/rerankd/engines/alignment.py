"""Which token of a document is most alike each token of a query: of vectors that are kept.

Read from any thread: it looks at arrays that nobody changes, and asks no encoder. Of a text whose
vectors are no longer kept, nothing is said.

Shapes: Q and D vectors of a query and of a document, p values of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rerankd.engines.dense import unit
from rerankd.engines.max_sim import Bytes, Floats, products

QUERY_ROWS: Final = 128  # of a query, the first: what an explanation compares is bounded
DOCUMENT_ROWS: Final = 8_192  # of a document, the first

Numbers = npt.NDArray[np.int64]


class Pair(NamedTuple):
    """A token of a query, and the one of the document that is most alike."""

    query: int  # index among the text's own tokens
    document: int
    cosine: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """Of one pair of texts."""

    encoder: int  # which of the engine's, by number
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, eq=False)
class KeptVectors:
    """Vectors, and which of a text's own tokens each is of."""

    vectors: Floats | Bytes  # (L, p); any length
    numbers: Numbers  # (L,); -1: of no token of the text, as a [CLS]

    def own(self, most: int) -> tuple[Floats, Numbers]:
        """The first of those that are a token's, at most so many, of length 1; and the tokens."""
        at = np.flatnonzero(self.numbers >= 0)[:most]
        return unit(self.vectors[at].astype(np.float32)), self.numbers[at]


def nearest(query: KeptVectors, document: KeptVectors) -> tuple[Pair, ...]:
    """Of each own token of a query the document's most alike, in the query's order."""
    asked, of_query = query.own(QUERY_ROWS)
    read, of_document = document.own(DOCUMENT_ROWS)
    if not of_query.size or not of_document.size:
        return ()
    cosines = products(asked, read)
    best = cosines.argmax(axis=1)
    found = cosines[np.arange(best.size), best]
    return tuple(map(Pair, of_query.tolist(), of_document[best].tolist(), found.tolist()))
