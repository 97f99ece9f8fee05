"""BM25 over term ids with a shipped IDF table: no weights, no device, no other documents.

A score depends on one query and one document. The usual trap, IDF taken from the candidate list,
is avoided: every candidate already contains the query's words, so list IDF says nothing.

Source: Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from rerankd.core.errors import StartError
from rerankd.core.types import Logits, Row, TokenIds
from rerankd.engines.base import EngineInfo

Floats = npt.NDArray[np.float64]
# A term id is int32 >= 0: a channel above CHANNEL_BITS, a hash of the term below.
CHANNEL_BITS: Final = 28
WORD, STEM, BIGRAM, CHARACTER = 0, 1, 2, 3  # a BIGRAM is also a Korean syllable pair
NOTHING: Final = 4 << CHANNEL_BITS  # reserved: the one term of a pair without any; matches nothing

_MAX_CELLS: Final = 4_000_000  # documents x query terms counted at once: ~100 MB at most
_MARKS: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What the score is made of. Chosen on all dev sets together: `rerankd eval`."""

    k1: float = 0.9  # how fast repeats of a term stop counting
    b: float = 0.75  # how much a long document is discounted, 0..1
    average_terms: float = 300.0  # avgdl: a typical passage, 150 words; characters do not count
    channels: tuple[float, ...] = (0.5, 1.0, 1.0, 2.0, 0.0)  # word, stem, bigram, character, none
    coverage: float = 0.2  # share of the query's IDF mass that occurs at all
    phrase: float = 0.4  # share of neighbouring query terms that are neighbours in the document


class IdfTable:
    """term id -> IDF in nats; ids that are not in it get their channel's default.

    The file holds three arrays: `ids` uint32 (N,) sorted, `idf` uint8 (N,) in steps of 1/16 nat,
    `default` uint8 (channels,). 5 bytes per term, loaded whole.
    """

    STEP: Final = 16.0

    def __init__(
        self,
        ids: npt.NDArray[np.uint32],
        idf: npt.NDArray[np.uint8],
        default: npt.NDArray[np.uint8],
    ) -> None:
        self._ids, self._idf, self._default = ids, idf, default

    def __len__(self) -> int:
        return int(self._ids.size)

    @classmethod
    def shipped(cls) -> IdfTable:
        """The table of this package.

        Raises:
            StartError: the file is missing or damaged.
        """
        file = resources.files("rerankd.builtin").joinpath("lexical", "idf.npz")
        try:
            with resources.as_file(file) as path, np.load(path, allow_pickle=False) as held:
                return cls(held["ids"], held["idf"], held["default"])
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise StartError(f"{file} cannot be read: install rerankd again") from error

    def lookup(self, ids: TokenIds) -> Floats:
        """IDF of each id, shape (L,) -> (L,), in nats, > 0."""
        wanted = ids.view(np.uint32)
        at = np.minimum(np.searchsorted(self._ids, wanted), max(len(self) - 1, 0))
        known = (self._ids[at] == wanted) if len(self) else np.zeros(wanted.shape, bool)
        default = self._default[wanted >> CHANNEL_BITS]
        return np.where(known, self._idf[at] if len(self) else 0, default) / self.STEP


class LexicalEngine:
    """Engine of `rerankd-lexical`: pure numpy, one thread, exact and deterministic."""

    def __init__(self, table: IdfTable | None = None, weights: Weights | None = None) -> None:
        self._table = IdfTable.shipped() if table is None else table
        self._weights = Weights() if weights is None else weights
        self._info = EngineInfo(
            name="lexical", device="cpu", precision="fp32", max_length=None, batch_tokens=262_144
        )

    @property
    def info(self) -> EngineInfo:
        """No limit of length; batches large enough that numpy's overhead does not show."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Scores, shape (B, 1): 0 = no term in common, grows with every match, finite.

        Rows with the same query are scored together; a row's score is the same alone.
        """
        out = np.zeros((len(batch), 1), dtype=np.float32)
        mix = np.array([1.0, self._weights.coverage, self._weights.phrase])
        groups: dict[bytes, list[int]] = {}
        for i, row in enumerate(batch):
            groups.setdefault(row.ids[: row.second].tobytes(), []).append(i)
        for rows in groups.values():
            query = batch[rows[0]].ids[: batch[rows[0]].second]
            step = max(1, _MAX_CELLS // max(1, query.size))
            for at in range(0, len(rows), step):
                some = rows[at : at + step]
                documents = [batch[i].ids[batch[i].second :] for i in some]
                found = features(query, documents, self._table, self._weights)
                out[some, 0] = np.sum(found * mix, axis=1)  # not @: its sums depend on B
        return out

    def close(self) -> None:
        """Nothing to free."""


def features(
    query: TokenIds, documents: Sequence[TokenIds], table: IdfTable, weights: Weights
) -> Floats:
    """[BM25 / its largest value for this query, coverage, phrase], shape (B, 3), each in [0, 1].

    A query term that is repeated counts as often as it is repeated (k3 = infinity in Robertson's
    notation). Without query terms everything is 0.
    """
    out = np.zeros((len(documents), 3))
    terms, repeats = np.unique(query, return_counts=True)
    weight = np.asarray(weights.channels)[terms.view(np.uint32) >> CHANNEL_BITS]
    mass = table.lookup(terms) * weight * repeats
    if mass.sum() <= 0.0 or not documents:
        return out
    lengths = np.array([document.size for document in documents])
    joined = np.concatenate(documents)
    hit, slot = _occurrences(terms, joined)
    owner = np.repeat(np.arange(len(documents)), lengths)
    cells = owner[hit] * terms.size + slot
    tf = np.bincount(cells, minlength=len(documents) * terms.size).reshape(-1, terms.size)
    # Two terms a word, one a character: 150 words are about 250 to 300 characters.
    long = joined.view(np.uint32) >> CHANNEL_BITS != CHARACTER
    counted = np.bincount(owner[long], minlength=len(documents))
    norm = weights.k1 * (1.0 - weights.b + weights.b * counted / weights.average_terms)
    share = mass / mass.sum()
    # Sums along a row, not a matrix product: BLAS orders its sums by the number of rows.
    out[:, 0] = np.sum(tf / (tf + norm[:, None] + 1e-9) * share, axis=1)
    out[:, 1] = np.sum((tf > 0) * share, axis=1)
    out[:, 2] = _phrase(query, joined, owner, len(documents), table)
    return out


def _phrase(
    query: TokenIds,
    joined: TokenIds,
    owner: npt.NDArray[np.int64],
    documents: int,
    table: IdfTable,
) -> Floats:
    """Share of neighbouring query terms that stand side by side, in order, in each document, (B,).

    Neighbours are taken within STEM and BIGRAM, the channels that carry one term per position.
    """
    channel = query.view(np.uint32) >> CHANNEL_BITS
    kept = query[(channel == 1) | (channel == 2)]
    if kept.size < 2:
        return np.zeros(documents)
    pairs, where = np.unique(_pairs(kept), return_index=True)
    idf = table.lookup(kept)
    mass = (idf[:-1] + idf[1:])[where]
    channel = joined.view(np.uint32) >> CHANNEL_BITS
    at = np.flatnonzero((channel == 1) | (channel == 2))
    if at.size < 2:
        return np.zeros(documents)
    found = _pairs(joined[at])
    hit, slot = _occurrences(pairs, found)
    first, second = owner[at[hit]], owner[at[hit + 1]]
    cells = (first * pairs.size + slot)[first == second]
    seen = np.bincount(cells, minlength=documents * pairs.size).reshape(-1, pairs.size) > 0
    return np.sum(seen * (mass / mass.sum()), axis=1)


_Ids = TypeVar("_Ids", np.int32, np.int64)


def _occurrences(
    wanted: npt.NDArray[_Ids], found: npt.NDArray[_Ids]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions in `found` of values of `wanted` (sorted, not empty), and which value each is.

    Few of them are: a look at their low bits sorts out most, for a fifth of a binary search.
    """
    marked = np.zeros(_MARKS, bool)
    marked[wanted & (_MARKS - 1)] = True
    maybe = np.flatnonzero(marked[found & (_MARKS - 1)])
    place = np.minimum(np.searchsorted(wanted, found[maybe]), wanted.size - 1)
    same = wanted[place] == found[maybe]
    return maybe[same], place[same]


def _pairs(ids: TokenIds) -> npt.NDArray[np.int64]:
    wide = ids.astype(np.int64)
    return wide[:-1] << 32 | wide[1:]
