"""What the graph needs to know of a JinaBERT cross-encoder: sizes, and the tensors it reads.

Tensor names are canonical: as published, without the `bert.` prefix.
Sources: Günther et al. 2023, arXiv:2310.19923; jinaai/jina-bert-implementation, modeling_bert.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rerankd.engines.encoder import TYPES, WORDS

Gate = Literal["gelu", "relu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JinaBertConfig:
    """Sizes of one encoder with a classification head."""

    architecture: Literal["jina-bert"] = "jina-bert"
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int  # longest row in tokens, special tokens included
    token_types: int
    layer_norm_eps: float
    gate: Gate  # of the feed-forward step
    slopes: tuple[float, ...]  # (a,): what a token of distance 1 loses in each head, > 0
    labels: int  # K

    @property
    def head_dim(self) -> int:
        """Values of one head."""
        return self.hidden // self.heads

    @property
    def max_length(self) -> int:
        """Longest row in tokens, special tokens included."""
        return self.positions


def tensor_shapes(config: JinaBertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph reads, with its shape: a checkpoint has these and no others."""
    h, inner = config.hidden, config.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        WORDS: (config.vocab, h),
        TYPES: (config.token_types, h),
    }

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (h,)

    norm("embeddings.LayerNorm")
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{block}.attention.self.{part}", h, h)
        linear(f"{block}.attention.output.dense", h, h)
        norm(f"{block}.attention.output.LayerNorm")
        shapes[f"{block}.mlp.gated_layers.weight"] = (2 * inner, h)
        linear(f"{block}.mlp.wo", h, inner)
        norm(f"{block}.mlp.layernorm")
    linear("pooler.dense", h, h)
    linear("classifier", config.labels, h)
    return shapes
