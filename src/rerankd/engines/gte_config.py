"""What the graph needs to know of a GTE cross-encoder: sizes, and the tensors it reads.

Tensor names are canonical: as published, without the `new.` prefix.
Sources: Zhang et al. 2024, arXiv:2407.19669; transformers, configuration_gte.GteConfig.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rerankd.engines.encoder import WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class GteConfig:
    """Sizes of one encoder, with a classification head if there are labels."""

    architecture: Literal["gte"] = "gte"
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int  # longest row in tokens, special tokens included
    token_types: int  # 0: there is no table of them
    layer_norm_eps: float
    theta: float  # of the rotary positions
    position_scale: float  # every frequency is divided by it
    labels: int  # K; 0 = an encoder without a head

    @property
    def head_dim(self) -> int:
        """Values of one head, even."""
        return self.hidden // self.heads

    @property
    def max_length(self) -> int:
        """Longest row in tokens, special tokens included."""
        return self.positions


def tensor_shapes(config: GteConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    h, inner = config.hidden, config.intermediate
    shapes: dict[str, tuple[int, ...]] = {WORDS: (config.vocab, h)}
    if config.token_types:
        shapes["embeddings.token_type_embeddings.weight"] = (config.token_types, h)

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (h,)

    norm("embeddings.LayerNorm")
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        linear(f"{block}.attention.qkv_proj", 3 * h, h)
        linear(f"{block}.attention.o_proj", h, h)
        norm(f"{block}.attn_ln")
        shapes[f"{block}.mlp.up_gate_proj.weight"] = (2 * inner, h)
        linear(f"{block}.mlp.down_proj", h, inner)
        norm(f"{block}.mlp_ln")
    if config.labels:
        linear("pooler.dense", h, h)
        linear("classifier", config.labels, h)
    return shapes
