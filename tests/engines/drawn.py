"""A made-up token encoder: every token's vector is drawn from its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import TokenIds
from rerankd.engines.token_vectors import TokenVectors, Window

Floats = npt.NDArray[np.float32]
VOCABULARY, WIDTH = 200, 24
WINDOW = Window(pieces=8, before=(1,), after=(2,))
IDF = np.linspace(0.0, 5.0, VOCABULARY).astype(np.float32)


@dataclass(frozen=True)
class Made:
    tokens: Floats
    mean: Floats


class DrawnEncoder:
    def __init__(self, seed: int = 5) -> None:
        self.table = np.random.default_rng(seed).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
        self.table /= np.linalg.norm(self.table, axis=1, keepdims=True)
        self.encoded: list[TokenIds] = []
        self.calls: list[int] = []  # tokens each
        self.closed = False

    def encode(self, texts: Sequence[TokenIds]) -> list[Made]:
        self.encoded += texts
        self.calls.append(sum(ids.size for ids in texts))
        out: list[Made] = []
        for ids in texts:
            mean = self.table[ids].mean(axis=0)
            out.append(Made(self.table[ids], mean / np.linalg.norm(mean)))
        return out

    def close(self) -> None:
        self.closed = True


def drawn_vectors(encoder: DrawnEncoder | None = None, cache_bytes: int = 1 << 20) -> TokenVectors:
    return TokenVectors(
        encoder or DrawnEncoder(),
        query_window=WINDOW,
        document_window=WINDOW,
        idf=IDF,
        cache_bytes=cache_bytes,
    )
