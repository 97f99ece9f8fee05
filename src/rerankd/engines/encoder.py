"""What the graph needs to know of a BERT-like cross-encoder: sizes, and the tensors it reads.

Tensor names are canonical: without the `bert.` or `roberta.` prefix, LayerNorm parameters called
weight and bias. models.checkpoint maps the names that checkpoints in the wild use to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Architecture = Literal["bert", "xlm-roberta"]


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
    token_types: int
    layer_norm_eps: float
    labels: int  # K
    pad_id: int

    @property
    def first_position(self) -> int:
        """Row of the position table that the first token uses; RoBERTa starts after its pad id."""
        return self.pad_id + 1 if self.architecture == "xlm-roberta" else 0

    @property
    def max_length(self) -> int:
        """Longest row in tokens, special tokens included."""
        return self.positions - self.first_position


class Weights(Protocol):
    """Tensors by canonical name, read when asked for."""

    def __call__(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor, float32, C order, owned by the caller."""
        ...


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _layer_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def tensor_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    h = config.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab, h),
        "embeddings.position_embeddings.weight": (config.positions, h),
        "embeddings.token_type_embeddings.weight": (config.token_types, h),
        **_layer_norm("embeddings.LayerNorm", h),
    }
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{block}.attention.self.{part}", h, h)
        shapes |= _linear(f"{block}.attention.output.dense", h, h)
        shapes |= _layer_norm(f"{block}.attention.output.LayerNorm", h)
        shapes |= _linear(f"{block}.intermediate.dense", config.intermediate, h)
        shapes |= _linear(f"{block}.output.dense", h, config.intermediate)
        shapes |= _layer_norm(f"{block}.output.LayerNorm", h)
    if config.architecture == "bert":
        return shapes | _linear("pooler.dense", h, h) | _linear("classifier", config.labels, h)
    head = _linear("classifier.dense", h, h)
    return shapes | head | _linear("classifier.out_proj", config.labels, h)
