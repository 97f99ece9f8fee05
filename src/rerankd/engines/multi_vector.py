"""Late interaction as ColBERT models are trained: each text is a vector a token, MaxSim the score.

A row is a query and a document, or a chunk of one. Their vectors depend on one of them alone: a
query is encoded once for all its rows, a document once while its vectors are kept. They are kept
in fp32, as the encoder gives them: a score is the same whether they were kept or not.

Shapes: Q and D vectors of a query and of a document, p values of a vector, B rows.
Source: Khattab & Zaharia 2020, arXiv:2004.12832.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rerankd.core.options import Precision
from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines.alignment import KeptVectors, Numbers, Pair, nearest
from rerankd.engines.base import EngineInfo
from rerankd.engines.dense import Floats, unit
from rerankd.engines.max_sim import products
from rerankd.engines.vector_cache import ByteCache

_QUERY_CACHE_BYTES: Final = 4 << 20
_STEP_ROWS: Final = 2048  # document vectors compared at once: 0.5 MB of products with 64 others
_OVERHEAD_BYTES: Final = 300  # of a kept array
_NO_IDS: Final = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class TokenText:
    """A query or a document as the encoder reads it."""

    ids: TokenIds  # (L,), special tokens included
    attended: int  # tokens, from the first, that others look at; behind them a query's expansion
    key: bytes  # equal for equal texts of one scope only
    skipped: TokenIds  # ids whose vectors are left out
    own: tuple[int, int]  # [start, end) in ids: the text's own tokens, without what is around them
    begins: int = 0  # index, in the whole text, of the first of them: a chunk's begin within it


@dataclass(frozen=True, slots=True, eq=False)
class MultiVectorRow(Row):
    """A row that carries its two texts in place of `ids`, of which it has none; see pair_row()."""

    query: TokenText
    document: TokenText

    @property
    def tokens(self) -> int:
        """Of both texts."""
        return int(self.query.ids.size + self.document.ids.size)

    def key(self) -> tuple[int, bytes]:
        """By the texts themselves."""
        return self.second, self.query.key + self.document.key


def pair_row(query: TokenText, document: TokenText) -> MultiVectorRow:
    """The row of a pair."""
    return MultiVectorRow(_NO_IDS, int(query.ids.size), query, document)


class RowEncoder(Protocol):
    """Rows -> a vector for each token, independent of one another."""

    batch_tokens: int  # what one call should be given
    precision: Precision

    def encode(self, rows: Sequence[Row], attended: Sequence[int] | None = None) -> list[Floats]:
        """As engines.openvino.states.StateEncoder.encode, without pooling."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


class MultiVectorEngine:
    """Engine of ColBERT models; see engines.base.Engine. Takes MultiVectorRow only."""

    def __init__(self, encoder: RowEncoder, *, is_normalised: bool, cache_bytes: int) -> None:
        """Put the parts together.

        Args:
            encoder: of rows.
            is_normalised: vectors are made to have length 1.
            cache_bytes: what document vectors may take in memory, 4 bytes a value.
        """
        self._encoder, self._is_normalised = encoder, is_normalised
        self.documents: ByteCache[Floats] = ByteCache(cache_bytes)
        self._queries: ByteCache[Floats] = ByteCache(min(cache_bytes, _QUERY_CACHE_BYTES))
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision=encoder.precision,
            max_length=None,
            batch_tokens=encoder.batch_tokens,
        )

    @property
    def info(self) -> EngineInfo:
        """No limit of a row: the model cuts both its texts."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """MaxSim and the number of the query's vectors, shape (B, 2), float64.

        Raises:
            EngineFailed: the encoder could not run.
            TypeError: a row is not a MultiVectorRow.
        """
        rows = [_pair(row) for row in batch]
        queries = self._vectors({row.query.key: row.query for row in rows}, self._queries)
        documents = self._vectors({row.document.key: row.document for row in rows}, self.documents)
        out = np.empty((len(rows), 2))
        for i, row in enumerate(rows):
            query = queries[row.query.key]
            out[i] = max_sim(query, documents[row.document.key]), len(query)
        return out

    def remembered_tokens(self, batch: Sequence[Row]) -> Sequence[int]:
        """See engines.base.Remembering: the documents whose vectors are kept."""
        return [
            int(row.document.ids.size)
            if isinstance(row, MultiVectorRow) and row.document.key in self.documents
            else 0
            for row in batch
        ]

    def alignment(self, row: Row) -> tuple[Pair, ...]:
        """Which tokens of a row's texts, by their index in the whole text, are most alike.

        Safe on any thread. None of texts whose vectors are not kept.
        """
        pair = _pair(row)
        query, document = self._queries.peek(pair.query.key), self.documents.peek(pair.document.key)
        if query is None or document is None:
            return ()
        return nearest(
            KeptVectors(query, _numbers(pair.query)),
            KeptVectors(document, _numbers(pair.document)),
        )

    def close(self) -> None:
        """Free the encoder and the vectors."""
        self._encoder.close()
        self._queries.clear()
        self.documents.clear()

    def _vectors(
        self, texts: Mapping[bytes, TokenText], cache: ByteCache[Floats]
    ) -> dict[bytes, Floats]:
        """The vectors of all texts by key; those that are not kept are encoded in one call."""
        found = {key: kept for key in texts if (kept := cache.get(key)) is not None}
        missing = [text for key, text in texts.items() if key not in found]
        if not missing:
            return found
        rows = [Row(text.ids, int(text.ids.size)) for text in missing]
        states = self._encoder.encode(rows, [text.attended for text in missing])
        for text, each in zip(missing, states, strict=True):
            made = self._kept(text, each)
            found[text.key] = made
            cache.put(text.key, made, made.nbytes + _OVERHEAD_BYTES)
        return found

    def _kept(self, text: TokenText, states: Floats) -> Floats:
        """A text's vectors, an array of their own: a view would hold its whole batch."""
        if text.skipped.size:
            states = states[_is_kept(text)]
        return unit(states) if self._is_normalised else states.copy()


def max_sim(query: Floats, document: Floats) -> float:
    """The sum over a query's vectors of the largest product with one of a document's.

    Products are float32, the sum is float64. A pair's is the same whatever else is compared. A
    document without vectors has 0, as in sentence-transformers.
    """
    if not len(document) or not len(query):
        return 0.0
    best = np.full(len(query), -np.inf, np.float32)
    for start in range(0, len(document), _STEP_ROWS):
        part = products(query, document[start : start + _STEP_ROWS])
        np.maximum(best, part.max(axis=1), out=best)
    return float(best.sum(dtype=np.float64))


def _is_kept(text: TokenText) -> npt.NDArray[np.bool_]:
    """Of which ids of a text a vector is kept, (L,)."""
    return ~np.isin(text.ids, text.skipped)


def _numbers(text: TokenText) -> Numbers:
    """Which token of the whole text each of its vectors is of; -1: none."""
    start, end = text.own
    numbers = np.full(text.ids.size, -1, np.int64)
    numbers[start:end] = np.arange(text.begins, text.begins + end - start)
    return numbers[_is_kept(text)]


def _pair(row: Row) -> MultiVectorRow:
    if not isinstance(row, MultiVectorRow):
        raise TypeError("MultiVectorEngine takes MultiVectorRow only")
    return row
