"""A vector for each text, and the cosine of two: what embedding models are, in fp32.

A row of one text gives its vector; a row of two gives their cosine, each text encoded once a batch.
Shapes: B rows, L tokens, d values of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from rerankd.core.options import Precision
from rerankd.core.rows import Logits, Row, SoleText, Vectors
from rerankd.engines.base import EngineInfo
from rerankd.engines.dense import Floats, unit

_NO_IDS: Final = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class TextPair(Row):
    """A row that carries its two texts in place of `ids`, of which it has none; see text_pair()."""

    query: SoleText
    document: SoleText

    @property
    def tokens(self) -> int:
        """Of both texts."""
        return self.query.tokens + self.document.tokens

    def key(self) -> tuple[int, bytes]:
        """By both; `second` says where the query ends."""
        return self.second, self.query.ids.tobytes() + self.document.ids.tobytes()


def text_pair(query: SoleText, document: SoleText) -> TextPair:
    """The row of a query and a document, or a chunk of one."""
    return TextPair(_NO_IDS, query.tokens, query, document)


class PooledEncoder(Protocol):
    """Rows -> one vector each, independent of one another."""

    batch_tokens: int  # what one call should be given
    precision: Precision

    def encode(self, rows: Sequence[Row]) -> Sequence[Floats]:
        """As engines.openvino.states.StateEncoder.encode, with pooling."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


class TextVectorEngine:
    """Engine of embedding models; see engines.base.Engine and EmbeddingEngine."""

    def __init__(self, encoder: PooledEncoder) -> None:
        """Around an encoder."""
        self._encoder = encoder
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

    def embed(self, batch: Sequence[SoleText]) -> Vectors:
        """Vectors as the weights give them, (B, d), not normalised. Raises EngineFailed."""
        return np.stack(self._encoder.encode(batch))

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Cosines, shape (B, 1), float64.

        Raises:
            EngineFailed: the encoder could not run.
            TypeError: a row is not a TextPair.
        """
        pairs = [_pair(row) for row in batch]
        places: dict[tuple[int, bytes], int] = {}
        texts: list[SoleText] = []
        for text in (text for pair in pairs for text in (pair.query, pair.document)):
            if places.setdefault(text.key(), len(texts)) == len(texts):
                texts.append(text)
        vectors = unit(np.stack(self._encoder.encode(texts))).astype(np.float64)
        out = np.empty((len(pairs), 1))
        for i, pair in enumerate(pairs):  # one by one: a product of matrices depends on B
            query, document = places[pair.query.key()], places[pair.document.key()]
            out[i, 0] = np.sum(vectors[query] * vectors[document])
        return out

    def close(self) -> None:
        """Free the encoder."""
        self._encoder.close()


def _pair(row: Row) -> TextPair:
    if not isinstance(row, TextPair):
        raise TypeError("TextVectorEngine takes TextPair and SoleText only")
    return row
