"""BM25 over term ids with a shipped IDF table: no weights, no device, no other documents.

A score depends on one query and one document. The usual trap, IDF taken from the candidate list,
is avoided: every candidate already contains the query's words, so list IDF says nothing.

Source: Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from rerankd.core.errors import StartError
from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines.base import EngineInfo

Floats = npt.NDArray[np.float64]
FEATURES: Final = ("bm25", "coverage", "phrase")
Counted = npt.NDArray[np.int64]
# A term id is int32 >= 0: a channel above CHANNEL_BITS, a hash of the term below.
CHANNEL_BITS: Final = 28
WORD, STEM, BIGRAM, CHARACTER = 0, 1, 2, 3  # a BIGRAM is also a Korean syllable pair
NOTHING: Final = 4 << CHANNEL_BITS  # reserved: the one term of a pair without any; matches nothing

STEP_TERMS: Final = 262_144  # what is counted at once: some tens of milliseconds
_MAX_CELLS: Final = 4_000_000  # documents x query terms counted at once: ~100 MB at most
_MARKS: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalWeights:
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
    @cache
    def shipped(cls) -> IdfTable:
        """The table of this package, read once.

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

    def __init__(
        self, table: IdfTable | None = None, weights: LexicalWeights | None = None
    ) -> None:
        self._table = IdfTable.shipped() if table is None else table
        self._weights = LexicalWeights() if weights is None else weights
        self._info = EngineInfo(
            name="lexical",
            device="cpu",
            precision="fp32",
            max_length=None,
            batch_tokens=STEP_TERMS,
            slice_tokens=STEP_TERMS,
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
                out[some, 0] = self._score(found)
        return out

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """See engines.base.Sliced: the document's terms are counted STEP_TERMS at a time."""
        query, document = row.ids[: row.second], row.ids[row.second :]
        found = LongDocument(QueryTerms(query, self._table, self._weights))
        for at in range(0, document.size, STEP_TERMS):
            piece = document[at : at + STEP_TERMS]
            found.add(piece)
            yield int(piece.size)
        return self._score(found.features()).astype(np.float32)

    def close(self) -> None:
        """Nothing to free."""

    def _score(self, found: Floats) -> Floats:
        """Features, (B, 3) -> (B,); not a matrix product: its sums depend on B."""
        mix = np.array([1.0, self._weights.coverage, self._weights.phrase])
        return np.sum(found * mix, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What the score needs of B documents, for one query with T terms and P pairs."""

    tf: Counted  # (B, T), how often each term occurs
    length: Counted  # (B,), terms without single characters
    pairs: npt.NDArray[np.bool_]  # (B, P), whether each pair of neighbours occurs


class QueryTerms:
    """A query as documents are compared with it: its terms, their neighbours, what each weighs."""

    def __init__(self, query: TokenIds, table: IdfTable, weights: LexicalWeights) -> None:
        self._weights = weights
        self._terms, repeats = np.unique(query, return_counts=True)
        channel = self._terms.view(np.uint32) >> CHANNEL_BITS
        mass = table.lookup(self._terms) * np.asarray(weights.channels)[channel] * repeats
        self.counts_nothing = bool(mass.sum() <= 0.0)
        self._share = mass / max(float(mass.sum()), 1e-300)
        kept = query[_positioned(query)]
        self._pairs, where = np.unique(_pairs(kept), return_index=True)
        idf = table.lookup(kept)
        together = (idf[:-1] + idf[1:])[where]
        self._pair_share = together / max(float(together.sum()), 1e-300)

    def count(self, documents: Sequence[TokenIds]) -> Counts:
        """Counts of B >= 1 documents."""
        lengths = np.array([document.size for document in documents])
        joined = np.concatenate(documents)
        owner = np.repeat(np.arange(len(documents)), lengths)
        hit, slot = _occurrences(self._terms, joined)
        tf = np.bincount(owner[hit] * self._terms.size + slot, minlength=self._cells(lengths))
        # Two terms a word, one a character: 150 words are about 250 to 300 characters.
        long = joined.view(np.uint32) >> CHANNEL_BITS != CHARACTER
        return Counts(
            tf=tf.reshape(len(documents), -1),
            length=np.bincount(owner[long], minlength=len(documents)),
            pairs=self._neighbours(joined, owner, len(documents)),
        )

    def features(self, counts: Counts) -> Floats:
        """[BM25 / its largest value for this query, coverage, phrase], (B, 3), each in [0, 1]."""
        if self.counts_nothing:
            return np.zeros((counts.length.size, 3))
        w = self._weights
        norm = w.k1 * (1.0 - w.b + w.b * counts.length / w.average_terms)
        # Sums along a row, not a matrix product: BLAS orders its sums by the number of rows.
        bm25 = np.sum(counts.tf / (counts.tf + norm[:, None] + 1e-9) * self._share, axis=1)
        coverage = np.sum((counts.tf > 0) * self._share, axis=1)
        phrase = np.sum(counts.pairs * self._pair_share, axis=1)
        return np.stack((bm25, coverage, phrase), axis=1)

    def features_of(self, documents: Sequence[TokenIds]) -> Floats:
        """[BM25 / its largest value for this query, coverage, phrase], shape (B, 3), in [0, 1].

        A query term that is repeated counts as often as it is repeated (k3 = infinity in
        Robertson's notation). Without query terms everything is 0. A document of more than
        STEP_TERMS is better given to LongDocument piece by piece.
        """
        if self.counts_nothing or not documents:
            return np.zeros((len(documents), 3))
        return self.features(self.count(documents))

    def _cells(self, lengths: npt.NDArray[np.int_]) -> int:
        return int(lengths.size * self._terms.size)

    def _neighbours(
        self, joined: TokenIds, owner: npt.NDArray[np.int64], documents: int
    ) -> npt.NDArray[np.bool_]:
        """Which pairs of neighbouring query terms stand side by side, in order, (B, P).

        Neighbours are taken within STEM and BIGRAM, the channels with one term per position.
        """
        if self._pairs.size == 0:
            return np.zeros((documents, 0), bool)
        at = np.flatnonzero(_positioned(joined))
        hit, slot = _occurrences(self._pairs, _pairs(joined[at]))
        first, second = owner[at[hit]], owner[at[hit + 1]]
        cells = (first * self._pairs.size + slot)[first == second]
        seen = np.bincount(cells, minlength=documents * self._pairs.size) > 0
        return seen.reshape(documents, -1)


class LongDocument:
    """One document's counts, put together from pieces of it: the same numbers, bit for bit."""

    def __init__(self, query: QueryTerms) -> None:
        self._query = query
        self._before = np.empty(0, dtype=np.int32)  # the last term that has a position
        self._counts = query.count([self._before])

    def add(self, piece: TokenIds) -> None:
        """The next terms of the document; about 0.1 us a term."""
        if self._query.counts_nothing:
            return
        # The term before is given again, for the pair that it makes, and counted off again.
        again = self._query.count([self._before])
        new = self._query.count([np.concatenate((self._before, piece))])
        old = self._counts
        self._counts = Counts(
            tf=old.tf + new.tf - again.tf,
            length=old.length + new.length - again.length,
            pairs=old.pairs | new.pairs,
        )
        kept = np.flatnonzero(_positioned(piece))
        if kept.size:
            self._before = piece[kept[-1] : kept[-1] + 1].copy()

    def features(self) -> Floats:
        """The whole document's shares, shape (1, 3)."""
        return self._query.features(self._counts)


def features(
    query: TokenIds, documents: Sequence[TokenIds], table: IdfTable, weights: LexicalWeights
) -> Floats:
    """QueryTerms.features_of, of a query that is compared once."""
    return QueryTerms(query, table, weights).features_of(documents)


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


def _positioned(ids: TokenIds) -> npt.NDArray[np.bool_]:
    """Which terms stand for a position of the text, one each: STEM and BIGRAM, (L,)."""
    channel = ids.view(np.uint32) >> CHANNEL_BITS
    return (channel == STEM) | (channel == BIGRAM)
