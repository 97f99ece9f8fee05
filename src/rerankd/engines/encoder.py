"""What the graph needs to know of a BERT-like cross-encoder: sizes, and the tensors it reads.

Tensor names are canonical: without the `bert.` or `roberta.` prefix, LayerNorm parameters called
weight and bias. models.checkpoint maps the names that checkpoints in the wild use to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

WORDS: Final = "embeddings.word_embeddings.weight"  # (V, h)

Architecture = Literal["bert", "xlm-roberta", "electra", "distilbert"]


TYPES: Final = "embeddings.token_type_embeddings.weight"
PROJECT: Final = "embeddings_project"  # a linear layer from a word's vector to the hidden size
# The two linear layers of a head, over the first token.
HEADS: Final[dict[Architecture, tuple[str, str]]] = {
    "bert": ("pooler.dense", "classifier"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
    "electra": ("classifier.dense", "classifier.out_proj"),
    "distilbert": ("pre_classifier", "classifier"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Sizes of one encoder with a classification head."""

    architecture: Architecture
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int  # rows of the position table
    token_types: int  # 0: there is no table of them
    layer_norm_eps: float
    labels: int  # K; 0 = an encoder without a head
    pad_id: int
    embedding: int = 0  # values of a word's vector, which are projected; 0 = hidden, as they are

    @property
    def first_position(self) -> int:
        """Row of the position table that the first token uses; RoBERTa starts after its pad id."""
        return self.pad_id + 1 if self.architecture == "xlm-roberta" else 0

    @property
    def max_length(self) -> int:
        """Longest row in tokens, special tokens included."""
        return self.positions - self.first_position


@dataclass(frozen=True, slots=True, eq=False)
class Int8Rows:
    """A matrix of N rows: row i is values[i] * scales[i], times `columns` where there are some."""

    values: npt.NDArray[np.int8]  # (N, h)
    scales: npt.NDArray[np.float32]  # (N,), > 0
    columns: npt.NDArray[np.float32] | None = None  # (h,), > 0; inputs are multiplied by them
    group: int = 0  # inputs of a token that are rounded with one scale in a product; 0 = all


@dataclass(frozen=True, slots=True, eq=False)
class InputRanges:
    """What the inputs of a linear layer were over many texts, each (inputs,)."""

    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]  # rare values may lie beyond both
    mean: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FourBitRows:
    """A matrix of N rows of whole numbers -8..7, every BLOCK along a row with a scale."""

    BLOCK: ClassVar[int] = 32

    # (N, h / 2): two neighbours a byte, the first in the low half, each 8 more than its value. It
    # may be the file itself: only what is read of it is in memory.
    values: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]  # (N, h / BLOCK)

    def rows(self, ids: npt.NDArray[np.int32] | slice) -> npt.NDArray[np.float32]:
        """Rows as they are meant, (L,) -> (L, h)."""
        packed, scales = self.values[ids], self.scales[ids].astype(np.float32)
        halves = np.stack((packed & 15, packed >> 4), axis=-1).astype(np.float32) - 8
        blocks = halves.reshape(*scales.shape, self.BLOCK) * scales[:, :, None]
        return blocks.reshape(len(packed), -1)


class FloatWeights(Protocol):
    """Tensors by canonical name, read when asked for."""

    def __call__(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor, float32, C order, never to be written to: it may be the file itself."""
        ...


class TableWeights(FloatWeights, Protocol):
    """As FloatWeights, with rows of a tensor that is too large to be read as a whole."""

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Of a table (V, h), (L,) -> (L, h)."""
        ...


class Weights(Protocol):
    """As FloatWeights; matrices may be int8 rows."""

    def __call__(self, name: str) -> npt.NDArray[np.float32] | Int8Rows:
        """One tensor, float32 or int8 rows, C order, never to be written to."""
        ...


class Ranges(Protocol):
    """Of the layers' inputs, by the names of range_shapes()."""

    def __call__(self, name: str) -> InputRanges:
        """Of one linear layer, or of several with the same inputs."""
        ...


class WordTable(Protocol):
    """The word embeddings, where they are no part of the graph."""

    def rows(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Of word pieces, (L,) -> (L, h)."""
        ...


def range_shapes(config: EncoderConfig) -> dict[str, int]:
    """How many inputs the layers of an encoder have, by what Ranges calls them."""
    shapes: dict[str, int] = {}
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        for name in ("attention.self", "attention.output.dense", "intermediate.dense"):
            shapes[f"{block}.{name}"] = config.hidden
        shapes[f"{block}.output.dense"] = config.intermediate
    return shapes


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _layer_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def tensor_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    h, e = config.hidden, config.embedding or config.hidden
    shapes: dict[str, tuple[int, ...]] = {
        WORDS: (config.vocab, e),
        "embeddings.position_embeddings.weight": (config.positions, e),
        **_layer_norm("embeddings.LayerNorm", e),
    }
    if config.token_types:
        shapes[TYPES] = (config.token_types, e)
    if config.embedding:
        shapes |= _linear(PROJECT, h, e)
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{block}.attention.self.{part}", h, h)
        shapes |= _linear(f"{block}.attention.output.dense", h, h)
        shapes |= _layer_norm(f"{block}.attention.output.LayerNorm", h)
        shapes |= _linear(f"{block}.intermediate.dense", config.intermediate, h)
        shapes |= _linear(f"{block}.output.dense", h, config.intermediate)
        shapes |= _layer_norm(f"{block}.output.LayerNorm", h)
    if config.labels == 0:
        return shapes
    dense, last = HEADS[config.architecture]
    return shapes | _linear(dense, h, h) | _linear(last, config.labels, h)
