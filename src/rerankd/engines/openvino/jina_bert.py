"""JinaBERT (jina-reranker-v1): BERT's order of steps, distances for positions, a gated MLP.

The head reads the first token of each row, so the last layer is computed for that one only: exact.
What a head adds to a score is a slope times a distance, so one table of distances serves all heads,
which are computed one after another: a row of 8192 tokens would need 3 GB for twelve tables.

Shapes: T tokens of the batch, B rows, S longest row, Q = S or 1 asking tokens, h hidden size, a
heads, d = h / a.
Sources: Günther et al. 2023, arXiv:2310.19923, as jinaai/jina-bert-implementation has it in
modeling_bert.JinaBertForSequenceClassification; ALiBi: Press et al., arXiv:2108.12409; gates:
Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

import numpy as np

from rerankd.engines.encoder import TYPES, WORDS, Weights
from rerankd.engines.jina_bert_config import JinaBertConfig
from rerankd.engines.openvino.blocks import (
    HIDDEN_SLOT,
    Packing,
    constant,
    dense_tanh,
    layer_norm,
    linear,
    model,
    rows_of,
    take,
    used_slots,
)
from rerankd.engines.openvino.runtime import Model, Node, ops, ov


def nearness(packing: Packing) -> Node:
    """Minus the distance of two slots, (B, S, S); HIDDEN_SLOT behind the end of a row."""
    zero, one = constant(0, np.int32), constant(1, np.int32)
    width = ops.gather(ops.shape_of(packing.slots, "i32"), one, zero)
    slot = ops.range(zero, width, one, "f32")
    distance = ops.abs(ops.subtract(ops.unsqueeze(slot, one), ops.unsqueeze(slot, zero)))
    used = ops.unsqueeze(used_slots(packing.slots, packing.lengths), one)
    return ops.select(used, ops.negative(distance), constant(HIDDEN_SLOT, np.float32))


def _attend(q: Node, k: Node, v: Node, near: Node, config: JinaBertConfig) -> Node:
    """Attention with ALiBi, head by head: q (B, a, Q, d), k and v (B, a, S, d) -> like q.

    near: (B, 1, Q, S). A hidden slot loses at least a millionth of HIDDEN_SLOT: far enough.
    """
    heads = ov.PartialShape([-1, 1, -1, config.head_dim])
    one_q, one_k, one_v = (ops.parameter(heads, ov.Type.f32) for _ in range(3))
    slope = ops.parameter(ov.PartialShape([1, 1, 1, 1]), ov.Type.f32)
    table = ops.parameter(ov.PartialShape([-1, 1, -1, -1]), ov.Type.f32)
    mask = ops.multiply(table, slope)
    mixed = ops.scaled_dot_product_attention(one_q, one_k, one_v, mask, causal=False)
    result = ops.result(mixed)
    loop = ops.tensor_iterator()
    loop.set_body(ov.Model([result], [one_q, one_k, one_v, slope, table], "head"))
    slopes = constant(config.slopes, np.float32)
    slopes = ops.reshape(slopes, constant([1, -1, 1, 1], np.int64), False)
    for inside, outside in ((one_q, q), (one_k, k), (one_v, v), (slope, slopes)):
        loop.set_sliced_input(inside, outside.output(0), 0, 1, 1, -1, 1)
    loop.set_invariant_input(table, near.output(0))
    return loop.get_concatenated_slices(result.output(0), 0, 1, 1, -1, 1)


class _Layers:
    """Builds the layers of one graph; holds what they share."""

    def __init__(self, config: JinaBertConfig, weights: Weights, packing: Packing) -> None:
        self.config = config
        self.weights = weights
        self.packing = packing
        one = constant(1, np.int64)
        near = nearness(packing)
        self._near = ops.unsqueeze(near, one)
        from_first = ops.gather(near, constant([0], np.int64), one)  # (B, 1, S)
        self._near_first = ops.unsqueeze(from_first, one)

    def first_states(self) -> Node:
        """The hidden state of the first token of each row, (B, h)."""
        packing = self.packing
        x = rows_of(self.weights, WORDS, packing.ids)
        x = ops.add(x, rows_of(self.weights, TYPES, packing.types))
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(self.config.layers):
            is_last = layer == self.config.layers - 1
            x = self._layer(x, f"encoder.layer.{layer}", first=is_last)
        return x

    def _layer(self, x: Node, block: str, *, first: bool) -> Node:
        """One layer, (T, h) -> (T, h), or (B, h) of the first token of each row."""
        mixed = self._attention(x, f"{block}.attention.self", first=first)
        x = take(x, self.packing.first) if first else x
        x = ops.add(linear(mixed, self.weights, f"{block}.attention.output.dense"), x)
        x = self._norm(x, f"{block}.attention.output.LayerNorm")
        both = linear(x, self.weights, f"{block}.mlp.gated_layers", bias=False)
        halves = ops.split(both, constant(1, np.int64), 2)
        gate, up = halves.output(0), halves.output(1)
        gate = ops.gelu(gate, "erf") if self.config.gate == "gelu" else ops.relu(gate)
        down = linear(ops.multiply(gate, up), self.weights, f"{block}.mlp.wo")
        return self._norm(ops.add(x, down), f"{block}.mlp.layernorm")

    def _norm(self, x: Node, name: str) -> Node:
        return layer_norm(x, self.weights, name, self.config.layer_norm_eps)

    def _attention(self, x: Node, name: str, *, first: bool) -> Node:
        """Attention of one layer before its dense step, (T, h) -> (T, h), or (B, h)."""
        config, packing = self.config, self.packing
        split = constant([0, 0, config.heads, config.head_dim], np.int64)
        swap = constant([0, 2, 1, 3], np.int64)
        asking = take(x, packing.first) if first else x
        q = linear(asking, self.weights, f"{name}.query")
        q = ops.unsqueeze(q, constant(1, np.int32)) if first else take(q, packing.slots)
        k, v = (
            take(linear(x, self.weights, f"{name}.{part}"), packing.slots)
            for part in ("key", "value")
        )
        q, k, v = (ops.transpose(ops.reshape(part, split, True), swap) for part in (q, k, v))
        mixed = _attend(q, k, v, self._near_first if first else self._near, config)
        flat = constant([-1, config.hidden], np.int64)
        mixed = ops.reshape(ops.transpose(mixed, swap), flat, False)
        return mixed if first else take(mixed, packing.tokens)


def build(config: JinaBertConfig, weights: Weights) -> Model:
    """The graph: packed rows -> logits (B, K)."""
    packing = Packing.inputs()
    x = _Layers(config, weights, packing).first_states()
    x = dense_tanh(x, weights, "pooler.dense")
    return model(linear(x, weights, "classifier"), packing, "jina_bert")
