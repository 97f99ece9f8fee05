"""Llama's layers without the causal mask (llama-nemotron-rerank): every token sees every other.

The head reads the mean of all tokens of a row; so the last layer is computed for every token.

Shapes: T tokens of the batch, B rows, S longest row, h hidden size, a query heads, k key heads, d
head size.
Sources: NeMo Automodel, llama_bidirectional/model.py; transformers, modeling_llama.LlamaModel with
`is_causal` false; rotary positions: Su et al., arXiv:2104.09864; SwiGLU: Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

import numpy as np

from rerankd.engines.bidirectional_config import BidirectionalConfig
from rerankd.engines.decoder import EMBEDDINGS, SCORE
from rerankd.engines.encoder import FloatWeights, Weights
from rerankd.engines.openvino.blocks import (
    Packing,
    constant,
    linear,
    model,
    rotate,
    slot_mask,
    take,
    used_slots,
    weight,
)
from rerankd.engines.openvino.qwen import rms_norm
from rerankd.engines.openvino.runtime import Model, Node, ops, ov
from rerankd.engines.rotary import rotations


class BidirectionalLayers:
    """Builds the layers of one graph; holds what they share."""

    def __init__(self, config: BidirectionalConfig, weights: Weights) -> None:
        self.body = config.body
        self.weights = weights
        self.packing = Packing.inputs()
        self.used = used_slots(self.packing.slots, self.packing.lengths)
        self._mask = slot_mask(self.used)
        places = np.arange(self.body.max_length, dtype=np.int32)
        tables = rotations(places, self.body.head_dim, self.body.rope_theta, stretch=config.stretch)
        self._angles = [take(ops.constant(table), self.packing.positions) for table in tables]

    def norm(self, x: Node, name: str) -> Node:
        """RMSNorm."""
        return rms_norm(x, self.weights, name, self.body.rms_norm_eps)

    def _heads(self, x: Node, name: str) -> Node:
        """A projection as heads, (T, heads, d)."""
        split = constant([0, -1, self.body.head_dim], np.int64)
        return ops.reshape(linear(x, self.weights, name, bias=False), split, True)

    def _slots(self, x: Node) -> Node:
        """(T, a, d) -> (B, a, S, d)."""
        return ops.transpose(take(x, self.packing.slots), constant([0, 2, 1, 3], np.int64))

    def _attention(self, x: Node, name: str) -> Node:
        """Attention of one layer, (T, h) -> (T, h)."""
        body = self.body
        q = rotate(self._heads(x, f"{name}.q_proj"), *self._angles)
        k = rotate(self._heads(x, f"{name}.k_proj"), *self._angles)
        v = self._heads(x, f"{name}.v_proj")
        served = np.repeat(np.arange(body.kv_heads), body.heads // body.kv_heads)
        k, v = (
            ops.gather(each, constant(served, np.int32), constant(1, np.int32)) for each in (k, v)
        )
        q, k, v = (self._slots(each) for each in (q, k, v))
        mixed = ops.scaled_dot_product_attention(q, k, v, self._mask, causal=False)
        flat = constant([-1, body.query_width], np.int64)
        mixed = ops.reshape(ops.transpose(mixed, constant([0, 2, 1, 3], np.int64)), flat, False)
        return linear(take(mixed, self.packing.tokens), self.weights, f"{name}.o_proj", bias=False)

    def layer(self, x: Node, index: int) -> Node:
        """One layer, (T, h) -> (T, h)."""
        block, weights = f"layers.{index}", self.weights
        y = self.norm(x, f"{block}.input_layernorm")
        x = ops.add(x, self._attention(y, f"{block}.self_attn"))
        y = self.norm(x, f"{block}.post_attention_layernorm")
        gate = ops.swish(linear(y, weights, f"{block}.mlp.gate_proj", bias=False))
        inner = ops.multiply(gate, linear(y, weights, f"{block}.mlp.up_proj", bias=False))
        return ops.add(x, linear(inner, weights, f"{block}.mlp.down_proj", bias=False))

    def mean(self, x: Node) -> Node:
        """Of the tokens of each row, (T, h) -> (B, h)."""
        last, one = constant(-1, np.int32), constant(1, np.int32)
        share = ops.convert(ops.unsqueeze(self.used, last), "f32")
        total = ops.reduce_sum(ops.multiply(take(x, self.packing.slots), share), one, False)
        return ops.divide(total, ops.convert(ops.unsqueeze(self.packing.lengths, one), "f32"))


def build(config: BidirectionalConfig, weights: Weights, floats: FloatWeights) -> Model:
    """The graph: packed rows -> logits (B, K); floats: the tensors as they are."""
    layers = BidirectionalLayers(config, weights)
    x = take(weight(weights, EMBEDDINGS), layers.packing.ids)
    for index in range(config.body.layers):
        x = layers.layer(x, index)
    x = layers.mean(layers.norm(x, "norm"))
    head = floats(SCORE) / np.float32(config.temperature)
    logits = ops.matmul(x, ov.op.Constant(head), False, True)
    return model(logits, layers.packing, config.architecture)
