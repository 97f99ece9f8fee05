"""What the graph needs to know of a ModernBERT cross-encoder: sizes, and the tensors it reads.

Tensor names are canonical: transformers' without the `model.` prefix.
Source: transformers, configuration_modernbert.ModernBertConfig.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pooling = Literal["cls", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModernBertConfig:
    """Sizes of one encoder, with a classification head or without."""

    architecture: Literal["modernbert"] = "modernbert"
    hidden: int
    heads: int
    intermediate: int
    vocab: int
    positions: int  # longest row in tokens, special tokens included
    is_global: tuple[bool, ...]  # per layer: every token is seen, not only near ones
    reach: int  # tokens that a local layer sees on each side, >= 1
    global_theta: float
    local_theta: float
    norm_eps: float
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    head_bias: bool  # of the head's first linear layer; its last always has one
    pooling: Pooling
    labels: int  # K; 0 = an encoder without a head

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.is_global)

    @property
    def head_dim(self) -> int:
        """Values of one head, even."""
        return self.hidden // self.heads

    @property
    def max_length(self) -> int:
        """Longest row in tokens, special tokens included."""
        return self.positions

    @property
    def token_types(self) -> int:
        """ModernBERT does not tell query and document apart by type."""
        return 1


def tensor_shapes(config: ModernBertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    h, inner = config.hidden, config.intermediate
    shapes: dict[str, tuple[int, ...]] = {"embeddings.tok_embeddings.weight": (config.vocab, h)}

    def linear(name: str, outputs: int, inputs: int, *, bias: bool) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = (h,)
        if config.norm_bias:
            shapes[f"{name}.bias"] = (h,)

    norm("embeddings.norm")
    for layer in range(config.layers):
        block = f"layers.{layer}"
        if layer > 0:  # the embeddings are normalised already
            norm(f"{block}.attn_norm")
        linear(f"{block}.attn.Wqkv", 3 * h, h, bias=config.attention_bias)
        linear(f"{block}.attn.Wo", h, h, bias=config.attention_bias)
        norm(f"{block}.mlp_norm")
        linear(f"{block}.mlp.Wi", 2 * inner, h, bias=config.mlp_bias)
        linear(f"{block}.mlp.Wo", h, inner, bias=config.mlp_bias)
    norm("final_norm")
    if config.labels == 0:
        return shapes
    linear("head.dense", h, h, bias=config.head_bias)
    norm("head.norm")
    linear("classifier", config.labels, h, bias=True)
    return shapes
