"""GTE (gte-multilingual-reranker-base): BERT's order of steps, rotary positions, a gated MLP.

The head reads the first token of each row, so the last layer is computed for that one only: exact.

Shapes: T tokens of the batch, B rows, S longest row, h hidden size, a heads, d = h / a.
Sources: Zhang et al. 2024, arXiv:2407.19669, as transformers has it in
modeling_gte.GteForSequenceClassification; rotary positions: Su et al., arXiv:2104.09864; GeGLU:
Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

import numpy as np

from rerankd.engines.encoder import WORDS, Weights
from rerankd.engines.gte_config import GteConfig
from rerankd.engines.openvino.blocks import (
    Packing,
    constant,
    dense_tanh,
    layer_norm,
    linear,
    linear_part,
    model,
    rotate,
    take,
    weight,
)
from rerankd.engines.openvino.runtime import Model, Node, ops
from rerankd.engines.rotary import rotations


class GteLayers:
    """Builds the layers of one graph; holds what they share."""

    def __init__(self, config: GteConfig, weights: Weights, packing: Packing) -> None:
        self.config = config
        self.weights = weights
        self.packing = packing
        self._mask = packing.mask()
        places = np.arange(config.positions, dtype=np.int32)
        tables = rotations(places, config.head_dim, config.theta, config.position_scale)
        self._angles = [take(ops.constant(table), packing.positions) for table in tables]

    def states(self, *, every_token: bool) -> Node:
        """The hidden states of all tokens, (T, h), or of the first of each row, (B, h)."""
        weights, packing = self.weights, self.packing
        x = take(weight(weights, WORDS), packing.ids)
        if self.config.token_types:
            types = weight(weights, "embeddings.token_type_embeddings.weight")
            x = ops.add(x, take(types, packing.types))
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(self.config.layers):
            is_last = layer == self.config.layers - 1
            x = self._layer(x, f"encoder.layer.{layer}", first=is_last and not every_token)
        return x

    def _layer(self, x: Node, block: str, *, first: bool) -> Node:
        """One layer, (T, h) -> (T, h), or (B, h) of the first token of each row."""
        mixed = self._attention(x, f"{block}.attention", first=first)
        x = take(x, self.packing.first) if first else x
        x = self._norm(ops.add(x, mixed), f"{block}.attn_ln")
        halves = ops.split(
            linear(x, self.weights, f"{block}.mlp.up_gate_proj", bias=False),
            constant(1, np.int64),
            2,
        )
        up, gate = halves.output(0), halves.output(1)
        inner = ops.multiply(ops.gelu(gate, "erf"), up)
        down = linear(inner, self.weights, f"{block}.mlp.down_proj")
        return self._norm(ops.add(x, down), f"{block}.mlp_ln")

    def _norm(self, x: Node, name: str) -> Node:
        return layer_norm(x, self.weights, name, self.config.layer_norm_eps)

    def _attention(self, x: Node, name: str, *, first: bool) -> Node:
        """Attention of one layer, (T, h) -> (T, h), or (B, h)."""
        config, packing, h = self.config, self.packing, self.config.hidden
        fused = f"{name}.qkv_proj"
        if first:
            q = linear_part(take(x, packing.first), self.weights, fused, 0, h)
            k, v = (linear_part(x, self.weights, fused, start, start + h) for start in (h, 2 * h))
        else:
            parts = ops.split(linear(x, self.weights, fused), constant(1, np.int64), 3)
            q, k, v = (parts.output(i) for i in range(3))
        split = constant([0, config.heads, config.head_dim], np.int64)
        q, k, v = (ops.reshape(part, split, True) for part in (q, k, v))
        cos, sin = self._angles
        # the first token's angle is 0: nothing to turn
        q = q if first else rotate(q, cos, sin)
        k = rotate(k, cos, sin)
        swap = constant([0, 2, 1, 3], np.int64)
        q = ops.unsqueeze(q, constant(1, np.int32)) if first else take(q, packing.slots)
        q, k, v = (
            ops.transpose(part, swap)
            for part in (q, take(k, packing.slots), take(v, packing.slots))
        )
        mixed = ops.scaled_dot_product_attention(q, k, v, self._mask, causal=False)
        flat = constant([-1, h], np.int64)
        mixed = ops.reshape(ops.transpose(mixed, swap), flat, False)
        mixed = mixed if first else take(mixed, packing.tokens)
        return linear(mixed, self.weights, f"{name}.o_proj")


def build(config: GteConfig, weights: Weights) -> Model:
    """The graph: packed rows -> logits (B, K)."""
    packing = Packing.inputs()
    x = GteLayers(config, weights, packing).states(every_token=False)
    x = dense_tanh(x, weights, "pooler.dense")
    return model(linear(x, weights, "classifier"), packing, "gte")
