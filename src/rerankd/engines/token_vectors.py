"""A token encoder with its memory: texts as int8 vectors, and how alike two of them are.

A text is cut into windows, each is encoded once, and its vectors are kept while there is room. A
pair has three features: the cosine of the mean vectors, and MaxSim twice: the mean over the query's
tokens of the best cosine with a document token, every token alike and weighted by IDF.

Vectors are kept as int8 and compared exactly (engines.max_sim), so that a pair's features are the
same whatever is compared beside it. A long document is encoded and compared in steps, with the same
features: of what is behind, the largest cosine of each query token is enough.

A model may have several of these, each with the word pieces of its own tokenizer.

Source: Khattab & Zaharia 2020, arXiv:2004.12832 (MaxSim). Shapes: L tokens, V vocabulary, B
documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import TokenIds
from rerankd.engines.alignment import DOCUMENT_ROWS, KeptVectors, Numbers, Pair, nearest
from rerankd.engines.max_sim import (
    Best,
    EncodedText,
    Floats,
    Vectors,
    Wide,
    compare,
    compare_one,
    concatenated,
    int8_vectors,
)
from rerankd.engines.vector_cache import ByteCache

FEATURES: Final = ("cosine", "maxsim", "maxsim_idf")

_QUERY_CACHE_BYTES: Final = 4 << 20
# Query tokens x document tokens that one step compares where nothing is to be encoded.
_STEP_CELLS: Final = 4_000_000
_STEP_ROWS: Final = 65_536
# A long document whose vectors take more than this part of the cache is not kept: it would drive
# out everything else.
_CACHE_SHARE: Final = 4
# Pieces in more than one of eight passages, as "the" and "?": alike everywhere, and of no interest.
_COMMON_IDF: Final = 2.0


class Encoder(Protocol):
    """Windows of word pieces with special tokens -> vectors, independent of one another."""

    def encode(self, texts: Sequence[TokenIds]) -> Sequence[EncodedText]:
        """As engines.openvino.token_encoder.TokenEncoder.encode."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a text is given to the encoder."""

    pieces: int  # at most so many of the text at once
    before: tuple[int, ...]  # ids that each window begins with: [CLS], a prompt
    after: tuple[int, ...]  # ids that it ends with: [SEP]

    @property
    def tokens(self) -> int:
        """The longest window, with the ids around the text."""
        return len(self.before) + self.pieces + len(self.after)

    def cut(self, pieces: TokenIds) -> list[TokenIds]:
        """Windows of like size, none overlapping, each between the ids around it; at least one."""
        return [
            np.concatenate((self.before, pieces[a:z], self.after)).astype(np.int32)
            for a, z in self._bounds(pieces.size)
        ]

    def numbers(self, size: int) -> list[Numbers]:
        """As cut(), of `size` pieces: each token's index among them, -1 of the ids around them."""
        before, after = np.full(len(self.before), -1), np.full(len(self.after), -1)
        return [np.concatenate((before, np.arange(a, z), after)) for a, z in self._bounds(size)]

    def _bounds(self, size: int) -> Iterator[tuple[int, int]]:
        count = max(1, -(-size // self.pieces))
        return pairwise([i * size // count for i in range(count + 1)])

    def idf(self, windows: Sequence[TokenIds], table: Floats) -> Floats:
        """What each token of windows weighs, (L,): the ids around the text nothing."""
        found: list[Floats] = []
        for window in windows:
            own = table[window]
            own[: len(self.before)] = 0.0
            own[window.size - len(self.after) :] = 0.0
            found.append(own)
        return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What is kept of an encoded window."""

    tokens: Floats  # (L, p)
    mean: Floats  # (h,)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A query's vectors, and what each of its tokens weighs."""

    vectors: Vectors
    idf: Floats  # (L,), in nats, of all windows' tokens

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return self.vectors.nbytes + self.idf.nbytes

    def features(self, best: Best) -> Wide:
        """FEATURES of B documents, (B, 3)."""
        out = np.zeros((best.tokens.shape[1], len(FEATURES)))
        out[:, 0] = np.max(best.means, axis=0)
        idf = self.idf.astype(np.float64)
        mass = idf.sum()
        # Added token by token: numpy's own sums along an axis may depend on B.
        for i in range(best.tokens.shape[0]):
            out[:, 1] += best.tokens[i] / best.tokens.shape[0]
            if mass > 0.0:
                out[:, 2] += best.tokens[i] * (idf[i] / mass)
        return out


K = TypeVar("K", Vectors, Query)


class TokenVectors:
    """A token encoder, how texts are cut for it, and the vectors of texts that came before.

    A text's key is equal for equal word pieces only, of one encoder: a hash of the text.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        query_window: Window,
        document_window: Window,
        idf: Floats,
        cache_bytes: int,
        common_idf: float | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            encoder: takes windows of at most Window.tokens tokens.
            query_window: how queries are cut.
            document_window: how documents are cut.
            idf: of each word piece, (V,), in nats, 0 for special tokens.
            cache_bytes: what the vectors of documents may take in memory, and those of queries, but
                for these _QUERY_CACHE_BYTES at most; a long document a _CACHE_SHARE-th at most.
            common_idf: no vector is kept of a document's tokens that weigh at most so much, unless
                a window has no others; None = every token's is.
        """
        self._encoder = encoder
        self._query_window, self._document_window = query_window, document_window
        self._idf, self._common_idf = idf, common_idf
        self._queries: ByteCache[Query] = ByteCache(min(cache_bytes, _QUERY_CACHE_BYTES))
        self.documents: ByteCache[Vectors] = ByteCache(cache_bytes)
        self.long_bytes = cache_bytes // _CACHE_SHARE

    def encode_queries(self, texts: Mapping[bytes, TokenIds]) -> dict[bytes, Query]:
        """Queries by key, from their word pieces without special tokens.

        Raises:
            EngineFailed: the encoder could not run.
        """
        window, encode = self._query_window, self._encoder.encode

        def made(vectors: Vectors, windows: Sequence[TokenIds]) -> Query:
            return Query(vectors, window.idf(windows, self._idf))

        return _remembered(texts, window, self._queries, encode, made)

    def encode_documents(self, texts: Mapping[bytes, TokenIds]) -> dict[bytes, Vectors]:
        """As encode_queries, of documents that are encoded at once."""

        def made(vectors: Vectors, _: Sequence[TokenIds]) -> Vectors:
            return vectors

        return _remembered(
            texts, self._document_window, self.documents, self._encoded_documents, made
        )

    def means(self, windows: Sequence[TokenIds]) -> Floats:
        """The mean vectors of whole windows, (B, h), rows of length 1; nothing is kept."""
        return np.stack([encoded.mean for encoded in self._encoder.encode(windows)])

    def features(self, query: Query, documents: Sequence[Vectors]) -> Wide:
        """FEATURES of B >= 1 documents, (B, 3)."""
        return query.features(compare(query.vectors, documents))

    def long_document(self, query: Query, key: bytes, pieces: TokenIds) -> LongComparison:
        """One document of any length, to be encoded and compared step by step."""
        return LongComparison(self, query, key, pieces)

    def alignment(
        self, query: tuple[bytes, TokenIds], document: tuple[bytes, TokenIds]
    ) -> tuple[Pair, ...] | None:
        """Pieces of two texts, by key, that are most alike; None = they are not both kept.

        Safe on any thread. Pieces of the query as common as those that no vector is kept of, or
        than _COMMON_IDF, are left out.
        """
        asked, read = self._queries.peek(query[0]), self.documents.peek(document[0])
        if asked is None or read is None:
            return None
        window = self._query_window
        numbers = np.concatenate(window.numbers(query[1].size))
        common = _COMMON_IDF if self._common_idf is None else max(self._common_idf, _COMMON_IDF)
        numbers[asked.idf <= common] = -1
        kept = self._kept_numbers(document[1])
        return nearest(
            KeptVectors(asked.vectors.tokens, numbers), KeptVectors(read.tokens[: kept.size], kept)
        )

    def _kept_numbers(self, pieces: TokenIds) -> Numbers:
        """Which piece of a document each of its first vectors is of, -1 of the ids around them.

        Of all of them, but for those that nearest() would not look at.
        """
        window, found, size = self._document_window, list[Numbers](), 0
        for numbers, cut in zip(window.numbers(pieces.size), window.cut(pieces), strict=True):
            found.append(numbers[self._is_kept(cut)])
            size += found[-1].size
            if size >= 2 * DOCUMENT_ROWS:
                break
        return np.concatenate(found)

    def _is_kept(self, window: TokenIds) -> npt.NDArray[np.bool_]:
        """Of which tokens of a document's window a vector is kept, (L,)."""
        if self._common_idf is None:
            return np.ones(window.size, np.bool_)
        rare = self._document_window.idf([window], self._idf) > self._common_idf
        return rare if rare.any() else np.ones(window.size, np.bool_)

    def encode_in_steps(self, pieces: TokenIds, steps: int) -> Iterator[Vectors]:
        """A document's vectors in so many parts at most, none of them kept."""
        windows = self._document_window.cut(pieces)
        group = -(-len(windows) // steps)
        for at in range(0, len(windows), group):
            yield int8_vectors(self._encoded_documents(windows[at : at + group]))

    def keep(self, key: bytes, parts: Sequence[Vectors]) -> None:
        """Remember a document by its parts."""
        whole = concatenated(parts)
        self.documents.put(key, whole, whole.nbytes)

    def close(self) -> None:
        """Free the encoder and the vectors."""
        self._encoder.close()
        self._queries.clear()
        self.documents.clear()

    def _encoded_documents(self, windows: Sequence[TokenIds]) -> Sequence[EncodedText]:
        """Windows of documents, without the tokens that are not kept."""
        encoded = self._encoder.encode(windows)
        if self._common_idf is None:
            return encoded
        found: list[EncodedText] = []
        for window, whole in zip(windows, encoded, strict=True):
            found.append(_Kept(whole.tokens[self._is_kept(window)], whole.mean))
        return found


def _remembered(
    texts: Mapping[bytes, TokenIds],
    window: Window,
    cache: ByteCache[K],
    encode: Callable[[Sequence[TokenIds]], Sequence[EncodedText]],
    made: Callable[[Vectors, Sequence[TokenIds]], K],
) -> dict[bytes, K]:
    """What is made of all texts' vectors, by key; what is not kept is encoded in one call."""
    found: dict[bytes, K] = {}
    windows: dict[bytes, list[TokenIds]] = {}
    for key, pieces in texts.items():
        kept = cache.get(key)
        if kept is None:
            windows[key] = window.cut(pieces)
        else:
            found[key] = kept
    if not windows:
        return found
    encoded = iter(encode([w for cut in windows.values() for w in cut]))
    for key, cut in windows.items():
        new = found[key] = made(int8_vectors(list(islice(encoded, len(cut)))), cut)
        cache.put(key, new, new.nbytes)
    return found


class LongComparison:
    """A query and a long document: encoded and compared in steps, then kept if it is not too long.

    First `steps`, then `begin`, `step` so many times, `features`. It holds one step's vectors, and
    those that are to be kept.
    """

    def __init__(self, owner: TokenVectors, query: Query, key: bytes, pieces: TokenIds) -> None:
        self._owner, self._query = owner, query
        self._key, self._pieces = key, pieces
        self._known = owner.documents.get(key)
        self._best = Best.nothing(query.vectors)
        self._parts: Iterator[Vectors] = iter(())
        self._room = owner.long_bytes
        self._made: list[Vectors] = []  # what is to be kept, all of it or nothing

    def steps(self, most: int, step_tokens: int) -> int:
        """How many steps it needs; fewer than `most`, of `step_tokens` each, where it is known."""
        if self._known is None:
            return most
        cells = _STEP_CELLS // len(self._query.vectors.tokens)
        at_once = max(step_tokens, min(_STEP_ROWS, cells))
        return min(most, -(-len(self._known.tokens) // at_once))

    def begin(self, steps: int) -> None:
        """Cut it for so many steps."""
        if self._known is None:
            self._parts = self._owner.encode_in_steps(self._pieces, steps)
        else:
            self._parts = self._known.cut(-(-len(self._known.tokens) // steps))

    def step(self) -> None:
        """Encode and compare the next part, if one is left. Raises EngineFailed."""
        for part in islice(self._parts, 1):
            self._best = self._best.larger(compare_one(self._query.vectors, part))
            if self._known is None:
                self._room -= part.nbytes
                self._made = [*self._made, part] if self._room >= 0 else []

    def features(self) -> Wide:
        """FEATURES after the last step, (1, 3)."""
        if self._made:
            self._owner.keep(self._key, self._made)
        return self._query.features(self._best)
