"""Late interaction on the CPU: each text is encoded once, a pair costs a few dot products.

A pair's features are BM25, coverage and phrase (engines.lexical), the cosine of the mean vectors,
and MaxSim twice: the mean over the query's tokens of the best cosine with a document token, every
token alike and weighted by IDF. The head is linear; its weights depend on how much of the query the
encoder's vocabulary covers, since an English encoder knows nothing of Chinese. Of the query alone:
documents of one list would otherwise be judged by different weights.

Vectors are kept as int8 and compared exactly (engines.max_sim), so that a pair's score is the same
whatever is scored beside it. A long document is encoded and compared in steps, with the same
score: of what is behind, the largest cosine of each query token is enough.

Sources: Khattab & Zaharia 2020, arXiv:2004.12832 (MaxSim); Robertson & Zaragoza 2009 (BM25).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines.base import EngineInfo
from rerankd.engines.cores import usable_cores
from rerankd.engines.freed import give_back
from rerankd.engines.lexical import (
    NOTHING,
    IdfTable,
    LongDocument,
    QueryTerms,
    Weights,
    features,
)
from rerankd.engines.max_sim import (
    Best,
    EncodedText,
    Floats,
    Vectors,
    Wide,
    compare,
    compare_one,
    joined,
    kept,
)
from rerankd.engines.vector_cache import ByteCache

FEATURES: Final = ("bm25", "coverage", "phrase", "cosine", "maxsim", "maxsim_idf")
TERMS_PER_TOKEN: Final = 512  # they take as long as one piece; usual texts have two or three
# What a word piece is: bits of PieceTable.kinds.
COUNTED, FOREIGN, OTHER_SCRIPT = 1, 2, 4
# Each query is taken to have two more pieces, as foreign as those of English text are.
SMOOTHING: Final = 2.0
ENGLISH_SHARE: Final = 0.08

_QUERY_CACHE_BYTES: Final = 4 << 20
# One step of a long document: 0.06 s or so, on all cores.
_STEP_TOKENS_PER_CORE: Final = 1024
# Query tokens x document tokens that one step compares where nothing is to be encoded.
_STEP_CELLS: Final = 4_000_000
_STEP_ROWS: Final = 65_536
# After a row of more, what it and its text's preparation freed is given back.
_GIVE_BACK_TOKENS: Final = 32_768
# A long document whose vectors take more than this part of the cache is not kept: it would drive
# out everything else.
_CACHE_SHARE: Final = 4


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

    @property
    def tokens(self) -> int:
        """Word pieces, or a token for each TERMS_PER_TOKEN terms where that is more.

        A text without spaces may be one piece and a million terms.
        """
        terms = self.query.terms.size + self.document.terms.size
        return max(int(self.ids.size), terms // TERMS_PER_TOKEN)

    def key(self) -> tuple[int, bytes]:
        """By the texts themselves: different texts may have the same word pieces."""
        return self.second, self.query.key + self.document.key


def text_row(query: Text, document: Text) -> TextRow:
    """The row of a pair; a pair without any word piece has one reserved id, which counts as 1."""
    ids = np.concatenate((query.pieces, document.pieces))
    if ids.size == 0:
        ids = np.array([NOTHING], dtype=np.int32)
    return TextRow(ids, int(query.pieces.size), query, document)


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


class _Made:
    """A long document's vectors for the cache: none, if all together would be over the limit."""

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self.parts: list[Vectors] = []

    def add(self, part: Vectors) -> None:
        """The next part."""
        self._room -= part.nbytes
        self.parts = [*self.parts, part] if self._room >= 0 else []


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
        slice_tokens: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            encoder: takes windows of window.pieces + 2 tokens.
            window: how texts are cut.
            pieces: of the encoder's vocabulary.
            head: from features to log-odds.
            cache_bytes: what the vectors of documents may take in memory, and those of queries, but
                for these _QUERY_CACHE_BYTES at most; a long document a _CACHE_SHARE-th at most.
            slice_tokens: rows of more run in steps of about so many; None = by the cores.
        """
        self._encoder, self._window = encoder, window
        self._pieces, self._head = pieces, head
        self._table, self._lexical = IdfTable.shipped(), Weights()
        self._queries: ByteCache[Vectors] = ByteCache(min(cache_bytes, _QUERY_CACHE_BYTES))
        self.documents: ByteCache[Vectors] = ByteCache(cache_bytes)
        self._long_bytes = cache_bytes // _CACHE_SHARE
        self._slice_tokens = slice_tokens or _STEP_TOKENS_PER_CORE * usable_cores()
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision="int8",
            max_length=None,
            batch_tokens=8192,
            slice_tokens=self._slice_tokens,
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

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """See engines.base.Sliced: the document by groups of windows, the query in the first step.

        It holds the document's pieces and terms, one step's vectors, and those that go to the
        cache.

        Raises:
            EngineFailed: the encoder could not run.
            TypeError: the row is not a TextRow.
        """
        text = _text_row(row)
        try:
            found = yield from self._long_features(text)
        finally:
            if row.tokens > _GIVE_BACK_TOKENS:
                give_back()
        return self._head(found, self._pieces.foreign_share(text.query.pieces)).astype(np.float32)

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
        """For each query of a batch: its rows, its foreign share, and their FEATURES, (B', 6).

        Rows of more than info.slice_tokens come one by one.
        """
        rows = [_text_row(row) for row in batch]
        short = [i for i, row in enumerate(rows) if row.tokens <= self._slice_tokens]
        queries = self._vectors([rows[i].query for i in short], self._queries)
        documents = self._vectors([rows[i].document for i in short], self.documents)
        groups: dict[bytes, list[int]] = {}
        for i in short:
            groups.setdefault(rows[i].query.key, []).append(i)
        for members in groups.values():
            query = rows[members[0]].query
            terms = [rows[i].document.terms for i in members]
            lexical = features(query.terms, terms, self._table, self._lexical)
            vectors = [documents[rows[i].document.key] for i in members]
            semantic = self._semantic(query, compare(queries[query.key], vectors))
            foreign = self._pieces.foreign_share(query.pieces)
            yield members, foreign, np.concatenate((lexical, semantic), axis=1)
        for i in sorted(set(range(len(rows))) - set(short)):
            found = _last(self._long_features(rows[i]))
            yield [i], self._pieces.foreign_share(rows[i].query.pieces), found

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

    def _long_features(self, row: TextRow) -> Generator[int, None, Wide]:
        """The FEATURES of one row, (1, 6), step by step; yields the tokens of each step."""
        query, document = row.query, row.document
        asked = self._vectors([query], self._queries)[query.key]
        steps = -(-row.tokens // self._slice_tokens)
        known = self.documents.get(document.key)
        made = _Made(self._long_bytes)
        if known is None:
            parts = self._encoded(document, steps, made)
        else:
            at_once = max(self._slice_tokens, min(_STEP_ROWS, _STEP_CELLS // len(asked.tokens)))
            steps = min(steps, -(-len(known.tokens) // at_once))
            parts = known.cut(-(-len(known.tokens) // steps))
        best = Best.nothing(asked)
        lexical = LongDocument(QueryTerms(query.terms, self._table, self._lexical))
        for step in range(steps):
            for part in islice(parts, 1):  # none is left if there are far more terms than pieces
                best = best.larger(compare_one(asked, part))
            lexical.add(document.terms[_share(document.terms.size, step, steps)])
            tokens = _share(row.tokens, step, steps)
            yield tokens.stop - tokens.start
        if made.parts:
            whole = joined(made.parts)
            self.documents.put(document.key, whole, whole.nbytes)
        return np.concatenate((lexical.features(), self._semantic(query, best)), axis=1)

    def _encoded(self, document: Text, steps: int, made: _Made) -> Iterator[Vectors]:
        """A document's vectors in so many parts at most."""
        windows = self._window.cut(document.pieces)
        group = -(-len(windows) // steps)
        for at in range(0, len(windows), group):
            part = kept(self._encoder.encode(windows[at : at + group]))
            made.add(part)
            yield part

    def _semantic(self, query: Text, best: Best) -> Wide:
        """[cosine, MaxSim, MaxSim by IDF], (B, 3)."""
        out = np.zeros((best.tokens.shape[1], 3))
        out[:, 0] = np.max(best.means, axis=0)
        windows = self._window.cut(query.pieces)
        idf = self._pieces.idf[np.concatenate(windows)].astype(np.float64)
        mass = idf.sum()
        # Added token by token: numpy's own sums along an axis may depend on B.
        for i in range(best.tokens.shape[0]):
            out[:, 1] += best.tokens[i] / best.tokens.shape[0]
            if mass > 0.0:
                out[:, 2] += best.tokens[i] * (idf[i] / mass)
        return out


def _share(size: int, step: int, steps: int) -> slice:
    """What one of several like steps takes."""
    return slice(step * size // steps, (step + 1) * size // steps)


def _text_row(row: Row) -> TextRow:
    if not isinstance(row, TextRow):
        raise TypeError("LateInteractionEngine takes TextRow only")
    return row


def _last(steps: Generator[int, None, Wide]) -> Wide:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
