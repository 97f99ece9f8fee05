"""What the graph needs to know of a decoder that scores pairs: sizes, and its tensors.

Tensor names are canonical: transformers' without the `model.` prefix.
Sources: transformers, configuration_qwen3.Qwen3Config, configuration_qwen2.Qwen2Config,
configuration_mistral.MistralConfig and configuration_gemma.GemmaConfig.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rerankd.engines.encoder import FloatWeights, TableWeights

Architecture = Literal["qwen3", "qwen2", "mistral", "gemma", "llama"]
Activation = Literal["silu", "gelu-tanh"]
EMBEDDINGS = "embed_tokens.weight"
HEAD = "lm_head.weight"
SCORE = "score.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes of one decoder."""

    architecture: Architecture
    hidden: int
    layers: int
    heads: int  # of queries
    kv_heads: int  # of keys and values; each serves heads / kv_heads query heads
    head_dim: int  # even
    intermediate: int
    vocab: int
    max_length: int  # tokens per row
    rms_norm_eps: float
    rope_theta: float
    attention_bias: bool  # of the query, key and value projections
    output_bias: bool  # of the projection behind attention
    tied: bool  # the language model's head is the embedding table
    labels: int = 0  # rows of a classifier's head, `score`; 0 = the language model's head

    @property
    def query_width(self) -> int:
        """Values per token that attention takes and gives."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Values per token of a layer's keys; the values are as many."""
        return self.kv_heads * self.head_dim

    @property
    def has_head_norms(self) -> bool:
        """Whether each query and key head is normalised before it is rotated."""
        return self.architecture == "qwen3"

    @property
    def activation(self) -> Activation:
        """What the gate of a layer's MLP goes through."""
        return "gelu-tanh" if self.architecture == "gemma" else "silu"

    @property
    def embedding_scale(self) -> float:
        """What an embedding is multiplied by before the first layer."""
        return self.hidden**0.5 if self.architecture == "gemma" else 1.0

    @property
    def head(self) -> str:
        """The table whose rows are what a score is made of, (vocab or labels, h)."""
        if self.labels:
            return SCORE
        return EMBEDDINGS if self.tied else HEAD


def tensor_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that is read, with its shape."""
    h, inner = config.hidden, config.intermediate
    projections = {
        "q_proj": (config.query_width, h, config.attention_bias),
        "k_proj": (config.kv_width, h, config.attention_bias),
        "v_proj": (config.kv_width, h, config.attention_bias),
        "o_proj": (h, config.query_width, config.output_bias),
    }
    shapes: dict[str, tuple[int, ...]] = {EMBEDDINGS: (config.vocab, h), "norm.weight": (h,)}
    if config.head != EMBEDDINGS:
        shapes[config.head] = (config.labels or config.vocab, h)
    for layer in range(config.layers):
        block = f"layers.{layer}"
        for name, (outputs, inputs, has_bias) in projections.items():
            shapes[f"{block}.self_attn.{name}.weight"] = (outputs, inputs)
            if has_bias:
                shapes[f"{block}.self_attn.{name}.bias"] = (outputs,)
        if config.has_head_norms:
            shapes[f"{block}.self_attn.q_norm.weight"] = (config.head_dim,)
            shapes[f"{block}.self_attn.k_norm.weight"] = (config.head_dim,)
        shapes[f"{block}.input_layernorm.weight"] = (h,)
        shapes[f"{block}.post_attention_layernorm.weight"] = (h,)
        shapes[f"{block}.mlp.gate_proj.weight"] = (inner, h)
        shapes[f"{block}.mlp.up_proj.weight"] = (inner, h)
        shapes[f"{block}.mlp.down_proj.weight"] = (h, inner)
    return shapes


def folded(config: DecoderConfig, weights: FloatWeights) -> FloatWeights:
    """The tensors as the graph computes with them: Gemma's norms multiply by 1 + w."""
    if config.architecture != "gemma":
        return weights

    def read(name: str) -> npt.NDArray[np.float32]:
        tensor = weights(name)
        return tensor + np.float32(1.0) if name.endswith("norm.weight") else tensor

    return read


def answer_row(
    config: DecoderConfig, weights: TableWeights, *, yes: int, no: int | None
) -> npt.NDArray[np.float32]:
    """The one row of the head that is needed, (1, h): w_yes - w_no, so that both are one product.

    Without `no` it is w_yes. Source: softmax over two logits is the sigmoid of their difference.
    """
    rows = weights.rows(config.head, np.array([yes] if no is None else [yes, no], np.int32))
    if no is None:
        return rows
    pair = rows.astype(np.float64)
    return (pair[:1] - pair[1:]).astype(np.float32)
