"""Vectors as int8 rows, and the largest products between two texts' rows: what MaxSim sums.

Products of int8 values are whole numbers that float32 sums exactly, in any order, and the largest
of all is the largest of the parts': a comparison is the same whole or in parts, alone or beside
others.

Shapes: L tokens, W windows, Q asked rows, B documents, p and h sizes of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.int8]

_STEP_CELLS: Final = 500_000  # query tokens x document tokens compared at once: 2 MB
_STEP_ROWS: Final = 2_048  # document tokens compared at once: 1 MB as float32, near the cores
# OpenBLAS splits a product among threads that spin, unless it is of at most so many multiplications
# (interface/gemm.c: SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD). Cut smaller, a request of
# 1000 remembered documents takes about 60 ms of CPU instead of 123 (bench/mini.py).
_ONE_THREAD: Final = 65_536 * 4
_BLOCK_ROWS: Final = 64
# Rows that BLAS multiplies at once. With 2048 rows of 128 values, 7 rows take it 105 us and 8 take
# 60; 13 take 120 and 16 take 101; but 10 take 87.
_KERNEL_ROWS: Final = 8


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

    def cut(self, rows: int) -> Iterator[Vectors]:
        """The same in parts of at most so many tokens and windows, as views; at least one."""
        parts = max(1, -(-max(len(self.tokens), len(self.means)) // rows))
        tokens, means = (
            [i * len(whole) // parts for i in range(parts + 1)]
            for whole in (self.tokens, self.means)
        )
        for i in range(parts):
            own = slice(tokens[i], tokens[i + 1])
            windows = slice(means[i], means[i + 1])
            yield Vectors(
                tokens=self.tokens[own],
                token_scales=self.token_scales[own],
                means=self.means[windows],
                mean_scales=self.mean_scales[windows],
            )


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The largest cosine of each asked mean and token with any of each document."""

    means: Wide  # (W, B)
    tokens: Wide  # (Q, B)

    @classmethod
    def nothing(cls, asked: Vectors) -> Best:
        """Before any part of one document is compared: -inf, (W, 1) and (Q, 1)."""
        return cls(
            np.full((len(asked.means), 1), -np.inf), np.full((len(asked.tokens), 1), -np.inf)
        )

    def larger(self, other: Best) -> Best:
        """Of other parts of the same documents together."""
        return Best(np.maximum(self.means, other.means), np.maximum(self.tokens, other.tokens))


def compare(asked: Vectors, documents: Sequence[Vectors]) -> Best:
    """A query with B documents, or with one part of one: -inf where that has no mean."""
    return Best(
        _best(asked.means, asked.mean_scales, documents, of_tokens=False),
        _best(asked.tokens, asked.token_scales, documents, of_tokens=True),
    )


def compare_one(asked: Vectors, document: Vectors) -> Best:
    """A query with one document of any length, in parts that take little memory."""
    best = Best.nothing(asked)
    for part in document.cut(_rows_at_once(len(asked.tokens))):
        best = best.larger(compare(asked, [part]))
    return best


def concatenated(parts: Sequence[Vectors]) -> Vectors:
    """Parts of one text as a whole."""
    return Vectors(
        tokens=np.concatenate([part.tokens for part in parts]),
        token_scales=np.concatenate([part.token_scales for part in parts]),
        means=np.concatenate([part.means for part in parts]),
        mean_scales=np.concatenate([part.mean_scales for part in parts]),
    )


def int8_vectors(parts: Sequence[EncodedText]) -> Vectors:
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
    sizes = [d.tokens.shape[0] if of_tokens else d.means.shape[0] for d in documents]
    if not any(sizes):
        return np.full((asked.shape[0], len(documents)), -np.inf)
    wide = asked.astype(np.float32)
    out = np.empty((asked.shape[0], len(documents)))
    step = _rows_at_once(asked.shape[0])
    start, held = 0, 0
    for end in range(1, len(documents) + 1):
        held += sizes[end - 1]
        if held < step and end < len(documents):
            continue
        part = documents[start:end]
        values = np.concatenate(
            [d.tokens if of_tokens else d.means for d in part], dtype=np.float32
        )
        scales = np.concatenate([d.token_scales if of_tokens else d.mean_scales for d in part])
        cosines = products(wide, values)
        cosines *= scales
        first = np.concatenate(([0], np.cumsum(sizes[start:end])[:-1]))
        out[:, start:end] = np.maximum.reduceat(cosines, first, axis=1)
        start, held = end, 0
    return out * asked_scales[:, None].astype(np.float64)


def _rows_at_once(asked: int) -> int:
    """How many rows of documents are compared with so many asked rows at once."""
    return max(1, min(_STEP_ROWS, _STEP_CELLS // asked))


def products(asked: Floats, values: Floats) -> Floats:
    """asked @ values.T, (Q, p) and (N, p) -> (Q, N), in pieces that BLAS does not split.

    Exact whole numbers, below 2^24 up to 1040 values a row, whatever order BLAS sums in.
    """
    rows = asked.shape[0]
    whole = values.shape[0] // _BLOCK_ROWS * _BLOCK_ROWS
    if whole and rows % _KERNEL_ROWS > _KERNEL_ROWS // 2:
        missing = np.zeros((-rows % _KERNEL_ROWS, asked.shape[1]), np.float32)
        asked = np.concatenate((asked, missing))
    out = np.empty((asked.shape[0], values.shape[0]), np.float32)
    blocks = values[:whole].reshape(-1, _BLOCK_ROWS, values.shape[1])
    step = max(1, _ONE_THREAD // (_BLOCK_ROWS * values.shape[1]))
    for at in range(0, asked.shape[0], step):
        some = asked[at : at + step]
        made = np.matmul(blocks, some.T)  # (N / _BLOCK_ROWS, _BLOCK_ROWS, step)
        out[at : at + step, :whole] = made.reshape(-1, some.shape[0]).T
        out[at : at + step, whole:] = some @ values[whole:].T
    return out[:rows]
