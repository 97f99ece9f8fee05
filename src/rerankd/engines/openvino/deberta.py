"""DeBERTa-v2 (mxbai-rerank v1): BERT's layers with disentangled attention, under a pooled head.

Beside content to content, attention scores have a content-to-position and a position-to-content
term: a query times the key of its distance to each token, and the reverse. A distance stands on a
diagonal, so both are one product with the distances that a batch has, then skewed() into place;
transformers multiplies with the whole table and gathers element by element. The last layer is
computed for the first token of each row only; that is exact.

Shapes: T tokens of the batch, B rows, S longest row, h hidden size, a heads, d = h / a; P rows of
the table of relative positions (engines.openvino.deberta_pack).
Sources: He et al. 2021, arXiv:2006.03654, as transformers has it in
modeling_deberta_v2.DebertaV2ForSequenceClassification; the skew: Huang et al. 2019,
arXiv:1809.04281.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from rerankd.engines.deberta_config import DebertaConfig, Term
from rerankd.engines.encoder import FloatWeights, Weights
from rerankd.engines.openvino.blocks import (
    constant,
    feed_forward,
    layer_norm,
    linear,
    slot_mask,
    take,
    used_slots,
    weight,
)
from rerankd.engines.openvino.deberta_pack import position_table, projected
from rerankd.engines.openvino.runtime import Model, Node, ops, ov


@dataclass(frozen=True, slots=True)
class DebertaInputs:
    """The graph's inputs, all int32: what deberta_pack.pack() makes of rows."""

    ids: Node  # (T,) token ids
    slots: Node  # (B, S) packed index of the token in each slot; 0 behind the end of a row
    tokens: Node  # (T,) flat slot of each packed token
    lengths: Node  # (B,) tokens per row
    first: Node  # (B,) packed index of each row's first token
    near: Node  # (2 S,) position rows of the distances S - 1 down to -S
    far: Node  # (2 S,) position rows of the distances 1 - S up to S
    types: Node | None  # (T,) token types, where the model has some

    @classmethod
    def open(cls, config: DebertaConfig) -> DebertaInputs:
        """Fresh graph parameters with open sizes."""

        def parameter(name: str) -> Node:
            shape = ov.PartialShape([-1] * (2 if name == "slots" else 1))
            return ops.parameter(shape, ov.Type.i32, name=name)

        return cls(
            ids=parameter("ids"),
            slots=parameter("slots"),
            tokens=parameter("tokens"),
            lengths=parameter("lengths"),
            first=parameter("first"),
            near=parameter("near"),
            far=parameter("far"),
            types=parameter("types") if config.token_types else None,
        )

    def parameters(self) -> list[Node]:
        """All inputs, in the order in which they are declared."""
        nodes = [getattr(self, field.name) for field in fields(self)]
        return [node for node in nodes if node is not None]


def skewed(products: Node) -> Node:
    """Row i moved i places to the left of row 0, (B, a, S, 2 S) -> (B, a, S, S).

    Row i of `products` has a value per distance; element j of its result stands S - 1 - i further
    to the right. Read in rows one shorter than they are, each row starts one later.
    """
    axis, zero, one = constant([2], np.int64), constant([0], np.int64), constant([1], np.int64)
    shape = ops.shape_of(products, "i64")
    rows_first = constant([0, 1], np.int64)
    leading = ops.gather(shape, rows_first, constant(0, np.int64))
    longest = ops.gather(shape, axis, constant(0, np.int64))
    width = ops.subtract(ops.multiply(longest, constant([2], np.int64)), one)
    flat = ops.reshape(products, ops.concat([leading, constant([-1], np.int64)], 0), False)
    start = ops.subtract(longest, one)
    stop = ops.add(start, ops.multiply(longest, width))
    moved = ops.slice(flat, start, stop, one, axis)
    short = ops.reshape(moved, ops.concat([leading, longest, width], 0), False)
    return ops.slice(short, zero, longest, one, constant([3], np.int64))


class DebertaLayers:
    """Builds the layers of one graph; holds what they share."""

    def __init__(self, config: DebertaConfig, weights: Weights, floats: FloatWeights) -> None:
        self.config = config
        self.weights = weights
        self._floats = floats
        self.inputs = DebertaInputs.open(config)
        self._mask = slot_mask(used_slots(self.inputs.slots, self.inputs.lengths))
        self._table = position_table(config, floats)
        self._scale = constant(config.scale, np.float32)

    def embeddings(self) -> Node:
        """Words, and types where the model has some, normalised, (T, h)."""
        inputs = self.inputs
        x = take(weight(self.weights, "embeddings.word_embeddings.weight"), inputs.ids)
        if inputs.types is not None:
            table = weight(self.weights, "embeddings.token_type_embeddings.weight")
            x = ops.add(x, take(table, inputs.types))
        return layer_norm(x, self.weights, "embeddings.LayerNorm", self.config.layer_norm_eps)

    def layer(self, x: Node, index: int) -> Node:
        """One layer, (T, h) -> (T, h); the last one -> (B, h), the first token of each row."""
        name = f"encoder.layer.{index}"
        attend = f"{name}.attention.self"
        inputs, is_last = self.inputs, index == self.config.layers - 1
        k = self._heads(take(linear(x, self.weights, f"{attend}.key_proj"), inputs.slots))
        v = self._heads(take(linear(x, self.weights, f"{attend}.value_proj"), inputs.slots))
        if is_last:
            x = take(x, inputs.first)
            one = constant(1, np.int32)
            q = ops.unsqueeze(linear(x, self.weights, f"{attend}.query_proj"), one)
        else:
            q = take(linear(x, self.weights, f"{attend}.query_proj"), inputs.slots)
        q = self._heads(q)
        bias = self._first_bias(q, k, index) if is_last else self._bias(q, k, index)
        mask = ops.add(ops.multiply(bias, self._scale), self._mask)
        mixed = ops.scaled_dot_product_attention(q, k, v, mask, self._scale, causal=False)
        mixed = ops.transpose(mixed, constant([0, 2, 1, 3], np.int64))
        mixed = ops.reshape(mixed, constant([-1, self.config.hidden], np.int64), False)
        if not is_last:
            mixed = take(mixed, inputs.tokens)
        return feed_forward(mixed, x, self.weights, name, self.config.layer_norm_eps)

    def _heads(self, x: Node) -> Node:
        """(B, L, h) -> (B, a, L, d)."""
        split = constant([0, 0, self.config.heads, self.config.head_dim], np.int64)
        return ops.transpose(ops.reshape(x, split, True), constant([0, 2, 1, 3], np.int64))

    def _positions(self, layer: int, term: Term, rows: Node) -> Node:
        """Some rows of a layer's positions, (a, rows, d)."""
        table = projected(self._table, self.config, self._floats, layer, term)
        return ops.gather(ops.constant(table), rows, constant(1, np.int32))

    def _bias(self, q: Node, k: Node, layer: int) -> Node:
        """The position terms of every pair of tokens, unscaled, (B, a, S, S)."""
        total: Node = constant(0.0, np.float32)
        if "c2p" in self.config.terms:
            near = self._positions(layer, "c2p", self.inputs.near)
            total = ops.add(total, skewed(ops.matmul(q, near, False, True)))
        if "p2c" in self.config.terms:
            far = self._positions(layer, "p2c", self.inputs.far)
            by_key = skewed(ops.matmul(k, far, False, True))
            total = ops.add(total, ops.transpose(by_key, constant([0, 1, 3, 2], np.int64)))
        return total

    def _first_bias(self, q: Node, k: Node, layer: int) -> Node:
        """The position terms of the first token and every token, unscaled, (B, a, 1, S).

        Its distances, 0 down to 1 - S, are the second half of `near`, less one.
        """
        total: Node = constant(0.0, np.float32)
        one = constant([1], np.int64)
        axis = constant([0], np.int64)
        width = ops.gather(ops.shape_of(self.inputs.slots, "i64"), one, constant(0, np.int64))
        start, stop = ops.subtract(width, one), ops.subtract(ops.add(width, width), one)
        rows = ops.slice(self.inputs.near, start, stop, one, axis)
        if "c2p" in self.config.terms:
            near = self._positions(layer, "c2p", rows)
            total = ops.add(total, ops.matmul(q, near, False, True))
        if "p2c" in self.config.terms:
            far = ops.multiply(k, self._positions(layer, "p2c", rows))
            by_key = ops.reduce_sum(far, constant([3], np.int64), False)
            total = ops.add(total, ops.unsqueeze(by_key, constant(2, np.int32)))
        return total


def build(config: DebertaConfig, weights: Weights, floats: FloatWeights) -> Model:
    """The graph: packed rows -> logits (B, K); floats: the tensors as they are."""
    graph = DebertaLayers(config, weights, floats)
    x = graph.embeddings()
    for index in range(config.layers):
        x = graph.layer(x, index)
    pooled = ops.gelu(linear(x, weights, "pooler.dense"), "erf")
    logits = linear(pooled, weights, "classifier")
    results = [ops.result(logits, name="logits")]
    return ov.Model(results, graph.inputs.parameters(), config.architecture)
