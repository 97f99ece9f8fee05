"""Late interaction on the CPU: each text is encoded once, a pair costs a few dot products.

A pair's features are BM25, coverage and phrase (engines.lexical), the cosine of the mean vectors,
and MaxSim twice: the mean over the query's tokens of the best cosine with a document token, every
token alike and weighted by IDF. The head is linear; its weights depend on how much of the query the
encoder's vocabulary covers, since an English encoder knows nothing of Chinese. Of the query alone:
documents of one list would otherwise be judged by different weights.

Vectors are kept as int8. Products of int8 values are whole numbers that float32 sums exactly, in
any order, so that a pair's score is the same whatever is scored beside it.

Sources: Khattab & Zaharia 2020, arXiv:2004.12832 (MaxSim); Robertson & Zaragoza 2009 (BM25).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rerankd.core.types import Logits, Row, TokenIds
from rerankd.engines.base import EngineInfo
from rerankd.engines.lexical import NOTHING, IdfTable, Weights, features
from rerankd.engines.vector_cache import ByteCache

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.int8]

FEATURES: Final = ("bm25", "coverage", "phrase", "cosine", "maxsim", "maxsim_idf")
# What a word piece is: bits of PieceTable.kinds.
COUNTED, FOREIGN, OTHER_SCRIPT = 1, 2, 4
# Each query is taken to have two more pieces, as foreign as those of English text are.
SMOOTHING: Final = 2.0
ENGLISH_SHARE: Final = 0.08

_QUERY_CACHE_BYTES: Final = 4 << 20
_STEP_CELLS: Final = 500_000  # query tokens x document tokens compared at once: 2 MB
_STEP_ROWS: Final = 2_048  # document tokens compared at once: 1 MB as float32, near the cores
# OpenBLAS splits a product among threads that spin, unless it is of at most so many multiplications
# (interface/gemm.c: SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD). Cut smaller, a request of
# 1000 remembered documents takes about 60 ms of CPU instead of 123 (bench/mini.py).
_ONE_THREAD: Final = 65_536 * 4
_BLOCK_ROWS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A query or a document as both halves of the score see it."""

    pieces: TokenIds  # (L,) word pieces, no special tokens
    terms: TokenIds  # (M,) terms of models.segment
    key: bytes  # equal for equal texts only: a hash of the text

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return int(self.pieces.nbytes + self.terms.nbytes) + 300


@dataclass(frozen=True, slots=True, eq=False)
class TextRow(Row):
    """A row that also carries its two texts; `ids` are the pieces of both, `second` as ever."""

    query: Text
    document: Text

    def key(self) -> tuple[int, bytes]:
        """By the texts themselves: different texts may have the same word pieces."""
        return self.second, self.query.key + self.document.key


def text_row(query: Text, document: Text) -> TextRow:
    """The row of a pair; a pair without any word piece has one reserved id, which counts as 1."""
    ids = np.concatenate((query.pieces, document.pieces))
    if ids.size == 0:
        ids = np.array([NOTHING], dtype=np.int32)
    return TextRow(ids, int(query.pieces.size), query, document)


class EncodedText(Protocol):
    """What an encoder makes of one window."""

    @property
    def tokens(self) -> Floats:
        """(L, p), rows of length 1."""
        ...

    @property
    def mean(self) -> Floats:
        """(h,), of length 1."""
        ...


class Encoder(Protocol):
    """Windows of word pieces with special tokens -> vectors, independent of one another."""

    def encode(self, texts: Sequence[TokenIds]) -> Sequence[EncodedText]:
        """As engines.openvino.token_encoder.TokenEncoder.encode."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PieceTable:
    """What is known of each word piece of the vocabulary."""

    idf: Floats  # (V,), in nats, 0 for special tokens
    kinds: npt.NDArray[np.uint8]  # (V,), COUNTED | FOREIGN | OTHER_SCRIPT

    def foreign_share(self, pieces: TokenIds) -> float:
        """How little of a query the vocabulary covers, in [0, 1].

        The share of its pieces that do not begin a word of the vocabulary, smoothed so that one
        rare English name does not make a short query foreign; or the share that is of another
        script or unknown, if larger.
        """
        kinds = self.kinds[pieces]
        counted = int(np.count_nonzero(kinds & COUNTED))
        foreign = int(np.count_nonzero(kinds & FOREIGN))
        other = int(np.count_nonzero(kinds & OTHER_SCRIPT))
        smoothed = (foreign + SMOOTHING * ENGLISH_SHARE) / (counted + SMOOTHING)
        return max(smoothed, other / max(counted, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Weights by the query's foreign share: linear between the knots, constant beyond them."""

    knots: Wide  # (n,) rising foreign shares
    weights: Wide  # (n, 6), of FEATURES, >= 0: more of a feature never hurts
    bias: Wide  # (n,)

    def __call__(self, found: Wide, foreign: float) -> Wide:
        """Log-odds, (B,), of features (B, 6) of one query with a foreign share in [0, 1]."""
        out = np.full(found.shape[0], np.interp(foreign, self.knots, self.bias))
        for i in range(len(FEATURES)):  # one by one: a product of matrices would depend on B
            out += float(np.interp(foreign, self.knots, self.weights[:, i])) * found[:, i]
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a text is given to the encoder."""

    pieces: int  # at most so many of the text at once
    first_id: int  # [CLS]
    last_id: int  # [SEP]

    def cut(self, pieces: TokenIds) -> list[TokenIds]:
        """Windows of like size, none overlapping, each between the special tokens; at least one."""
        count = max(1, -(-pieces.size // self.pieces))
        bounds = [i * pieces.size // count for i in range(count + 1)]
        return [
            np.concatenate(([self.first_id], pieces[a:z], [self.last_id])).astype(np.int32)
            for a, z in pairwise(bounds)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """One text's vectors as int8 rows, all windows joined; row i is values[i] * scales[i]."""

    tokens: Bytes  # (L, p), special tokens included
    token_scales: Floats  # (L,)
    means: Bytes  # (W, h), one per window
    mean_scales: Floats  # (W,)

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        arrays = (self.tokens, self.token_scales, self.means, self.mean_scales)
        return sum(array.nbytes for array in arrays) + 700


class LateInteractionEngine:
    """Engine of `rerankd-mini`; see engines.base.Engine. Takes TextRow only."""

    def __init__(
        self,
        encoder: Encoder,
        window: Window,
        pieces: PieceTable,
        head: Head,
        *,
        cache_bytes: int,
    ) -> None:
        """Put the parts together.

        Args:
            encoder: takes windows of window.pieces + 2 tokens.
            window: how texts are cut.
            pieces: of the encoder's vocabulary.
            head: from features to log-odds.
            cache_bytes: what the vectors of documents may take in memory, and those of queries, but
                for these _QUERY_CACHE_BYTES at most.
        """
        self._encoder, self._window = encoder, window
        self._pieces, self._head = pieces, head
        self._table, self._lexical = IdfTable.shipped(), Weights()
        self._queries: ByteCache[Vectors] = ByteCache(min(cache_bytes, _QUERY_CACHE_BYTES))
        self.documents: ByteCache[Vectors] = ByteCache(cache_bytes)
        self._info = EngineInfo(
            name="openvino", device="cpu", precision="int8", max_length=None, batch_tokens=8192
        )

    @property
    def info(self) -> EngineInfo:
        """No limit of length: a long text is encoded in windows."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Log-odds, shape (B, 1); a row's number is the same alone.

        Raises:
            EngineFailed: the encoder could not run.
            TypeError: a row is not a TextRow.
        """
        out = np.empty((len(batch), 1), dtype=np.float32)
        for members, foreign, found in self.features(batch):
            out[members, 0] = self._head(found, foreign)
        return out

    def remembered_tokens(self, batch: Sequence[Row]) -> Sequence[int]:
        """See engines.base.Remembering: the documents whose vectors are kept.

        The query's own pieces are not counted: they are encoded once, however many rows ask.
        """
        return [
            int(row.document.pieces.size)
            if isinstance(row, TextRow) and row.document.key in self.documents
            else 0
            for row in batch
        ]

    def features(self, batch: Sequence[Row]) -> Iterator[tuple[list[int], float, Wide]]:
        """For each query of a batch: its rows, its foreign share, and their FEATURES, (B', 6)."""
        rows: list[TextRow] = []
        for row in batch:
            if not isinstance(row, TextRow):
                raise TypeError("LateInteractionEngine takes TextRow only")
            rows.append(row)
        queries = self._vectors([row.query for row in rows], self._queries)
        documents = self._vectors([row.document for row in rows], self.documents)
        groups: dict[bytes, list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(row.query.key, []).append(i)
        for members in groups.values():
            query = rows[members[0]].query
            terms = [rows[i].document.terms for i in members]
            lexical = features(query.terms, terms, self._table, self._lexical)
            vectors = [documents[rows[i].document.key] for i in members]
            semantic = self._compare(query, queries[query.key], vectors)
            foreign = self._pieces.foreign_share(query.pieces)
            yield members, foreign, np.concatenate((lexical, semantic), axis=1)

    def close(self) -> None:
        """Free the encoder and the vectors."""
        self._encoder.close()
        self._queries.clear()
        self.documents.clear()

    def _vectors(self, texts: Sequence[Text], cache: ByteCache[Vectors]) -> dict[bytes, Vectors]:
        """The vectors of all texts by key; those that are not cached are encoded, each once."""
        found: dict[bytes, Vectors] = {}
        missing: dict[bytes, Text] = {}
        for text in texts:
            if text.key in found or text.key in missing:
                continue
            vectors = cache.get(text.key)
            if vectors is None:
                missing[text.key] = text
            else:
                found[text.key] = vectors
        windows = {key: self._window.cut(text.pieces) for key, text in missing.items()}
        encoded = iter(self._encoder.encode([w for cut in windows.values() for w in cut]))
        for key, cut in windows.items():
            parts = [next(encoded) for _ in cut]
            made = found[key] = kept(parts)
            cache.put(key, made, made.nbytes)
        return found

    def _compare(self, query: Text, asked: Vectors, documents: Sequence[Vectors]) -> Wide:
        """[cosine, MaxSim, MaxSim by IDF], (B, 3)."""
        out = np.zeros((len(documents), 3))
        cosine = _best(asked.means, asked.mean_scales, documents, of_tokens=False)
        out[:, 0] = np.max(cosine, axis=0)
        best = _best(asked.tokens, asked.token_scales, documents, of_tokens=True)
        windows = self._window.cut(query.pieces)
        idf = self._pieces.idf[np.concatenate(windows)].astype(np.float64)
        mass = idf.sum()
        # Added token by token: numpy's own sums along an axis may depend on B.
        for i in range(best.shape[0]):
            out[:, 1] += best[i] / best.shape[0]
            if mass > 0.0:
                out[:, 2] += best[i] * (idf[i] / mass)
        return out


def kept(parts: Sequence[EncodedText]) -> Vectors:
    """The vectors of a text's windows as they are kept."""
    tokens, token_scales = int8_rows(np.concatenate([part.tokens for part in parts]))
    means, mean_scales = int8_rows(np.stack([part.mean for part in parts]))
    return Vectors(tokens=tokens, token_scales=token_scales, means=means, mean_scales=mean_scales)


def int8_rows(x: Floats) -> tuple[Bytes, Floats]:
    """Rows as int8 and a scale each: x ~ values * scales[:, None]."""
    scales = np.maximum(np.abs(x).max(axis=1), np.float32(1e-12)) / np.float32(127)
    return np.rint(x / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _best(
    asked: Bytes, asked_scales: Floats, documents: Sequence[Vectors], *, of_tokens: bool
) -> Wide:
    """For each asked row and each document the largest product with one of its rows, (Q, B)."""
    wide = asked.astype(np.float32)
    out = np.empty((asked.shape[0], len(documents)))
    sizes = [d.tokens.shape[0] if of_tokens else d.means.shape[0] for d in documents]
    step = max(1, min(_STEP_ROWS, _STEP_CELLS // asked.shape[0]))
    start, held = 0, 0
    for end in range(1, len(documents) + 1):
        held += sizes[end - 1]
        if held < step and end < len(documents):
            continue
        part = documents[start:end]
        values = np.concatenate([d.tokens if of_tokens else d.means for d in part])
        scales = np.concatenate([d.token_scales if of_tokens else d.mean_scales for d in part])
        cosines = products(wide, values.astype(np.float32)) * scales
        first = np.concatenate(([0], np.cumsum(sizes[start:end])[:-1]))
        out[:, start:end] = np.maximum.reduceat(cosines, first, axis=1)
        start, held = end, 0
    return out * asked_scales[:, None].astype(np.float64)


def products(asked: Floats, values: Floats) -> Floats:
    """asked @ values.T, (Q, p) and (N, p) -> (Q, N), in pieces that BLAS does not split.

    Exact whole numbers, below 2^24 up to 1040 values a row, whatever order BLAS sums in.
    """
    out = np.empty((asked.shape[0], values.shape[0]), np.float32)
    whole = values.shape[0] // _BLOCK_ROWS * _BLOCK_ROWS
    blocks = values[:whole].reshape(-1, _BLOCK_ROWS, values.shape[1])
    step = max(1, _ONE_THREAD // (_BLOCK_ROWS * values.shape[1]))
    for at in range(0, asked.shape[0], step):
        some = asked[at : at + step]
        made = np.matmul(blocks, some.T)  # (N / _BLOCK_ROWS, _BLOCK_ROWS, step)
        out[at : at + step, :whole] = made.reshape(-1, some.shape[0]).T
        out[at : at + step, whole:] = some @ values[whole:].T
    return out
