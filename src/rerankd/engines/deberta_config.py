"""What the graph needs to know of a DeBERTa-v2 cross-encoder: sizes, and the tensors it reads.

Tensor names are canonical: transformers' without the `deberta.` prefix.
Source: transformers, configuration_deberta_v2.DebertaV2Config.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Term = Literal["c2p", "p2c"]  # content to position, position to content
POSITIONS = "encoder.rel_embeddings.weight"  # the table of relative positions
POSITIONS_NORM = "encoder.LayerNorm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebertaConfig:
    """Sizes of one encoder with a classification head."""

    architecture: Literal["deberta-v2"] = "deberta-v2"
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int  # longest row in tokens, special tokens included
    token_types: int  # 0: query and document are not told apart by type
    buckets: int | None  # far distances share one; None = every distance has its own
    max_distance: int  # from here on, all distances are one
    terms: tuple[Term, ...]  # of attention, beside content to content
    share_projections: bool  # positions are projected as tokens are, not by tensors of their own
    norm_positions: bool
    layer_norm_eps: float
    labels: int  # K

    @property
    def max_length(self) -> int:
        """Longest row in tokens, special tokens included."""
        return self.positions

    @property
    def head_dim(self) -> int:
        """Values of one head."""
        return self.hidden // self.heads

    @property
    def span(self) -> int:
        """Relative positions on each side; the table has twice as many rows."""
        return self.buckets or self.max_distance

    @property
    def scale(self) -> float:
        """What every term of the attention scores is multiplied by."""
        return 1.0 / math.sqrt(self.head_dim * (1 + len(self.terms)))

    def projection(self, layer: int, term: Term) -> str:
        """The linear layer that positions go through for a term: a key for c2p, a query for p2c."""
        part = "key" if term == "c2p" else "query"
        prefix = "" if self.share_projections else "pos_"
        return f"encoder.layer.{layer}.attention.self.{prefix}{part}_proj"


def tensor_shapes(config: DebertaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    h, inner = config.hidden, config.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab, h),
        POSITIONS: (2 * config.span, h),
    }

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def layer_norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (h,)

    if config.token_types:
        shapes["embeddings.token_type_embeddings.weight"] = (config.token_types, h)
    layer_norm("embeddings.LayerNorm")
    if config.norm_positions:
        layer_norm(POSITIONS_NORM)
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{block}.attention.self.{part}_proj", h, h)
        for term in config.terms:
            linear(config.projection(layer, term), h, h)
        linear(f"{block}.attention.output.dense", h, h)
        layer_norm(f"{block}.attention.output.LayerNorm")
        linear(f"{block}.intermediate.dense", inner, h)
        linear(f"{block}.output.dense", h, inner)
        layer_norm(f"{block}.output.LayerNorm")
    linear("pooler.dense", h, h)
    linear("classifier", config.labels, h)
    return shapes
