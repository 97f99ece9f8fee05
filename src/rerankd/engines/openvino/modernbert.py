"""ModernBERT (gte-reranker-modernbert): rotary positions, local and global layers, GeGLU.

Layers normalise before each step instead of after it. The head reads the mean of all tokens of a
row, or the first; of the first alone, the last layer is computed for it only, if it is global.

Shapes: T tokens of the batch, B rows, S longest row, h hidden size, a heads, d = h / a; N blocks
of w queries that see W keys in local layers (engines.openvino.modernbert_pack).
Sources: Warner et al. 2024, arXiv:2412.13663, as transformers has it in
modeling_modernbert.ModernBertForSequenceClassification; rotary positions: Su et al.,
arXiv:2104.09864; GeGLU: Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from rerankd.engines.encoder import Weights
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.openvino.blocks import (
    constant,
    layer_norm,
    linear,
    linear_part,
    rotate,
    slot_mask,
    take,
    used_slots,
    weight,
)
from rerankd.engines.openvino.runtime import Model, Node, ops, ov
from rerankd.engines.rotary import rotations


@dataclass(frozen=True, slots=True)
class ModernBertInputs:
    """The graph's inputs: what modernbert_pack.pack() makes of rows; int32 where not said."""

    ids: Node  # (T,) token ids
    positions: Node  # (T,) place of each token in its row
    slots: Node  # (B, S) packed index of the token in each slot; 0 behind the end of a row
    tokens: Node  # (T,) flat slot of each packed token
    lengths: Node  # (B,) tokens per row
    first: Node  # (B,) packed index of each row's first token
    local_queries: Node  # (N, w) packed indexes; the last of a row may be another's tokens
    local_keys: Node  # (N, W) packed indexes
    local_mask: Node  # (N, 1, w, W) float32, added to attention scores
    local_tokens: Node  # (T,) flat place of each packed token in local_queries

    @classmethod
    def open(cls) -> ModernBertInputs:
        """Fresh graph parameters with open sizes."""
        ranks = {"slots": 2, "local_queries": 2, "local_keys": 2, "local_mask": 4}
        return cls(
            *(
                ops.parameter(
                    ov.PartialShape([-1] * ranks.get(field.name, 1)),
                    ov.Type.f32 if field.name == "local_mask" else ov.Type.i32,
                    name=field.name,
                )
                for field in fields(cls)
            )
        )

    def parameters(self) -> list[Node]:
        """All inputs, in the order in which they are declared."""
        return [getattr(self, field.name) for field in fields(self)]


class ModernBertLayers:
    """Builds the layers of one graph; holds what they share."""

    def __init__(self, config: ModernBertConfig, weights: Weights) -> None:
        self.config = config
        self.weights = weights
        self.inputs = ModernBertInputs.open()
        self.used = used_slots(self.inputs.slots, self.inputs.lengths)
        self._mask = slot_mask(self.used)
        places = np.arange(config.positions, dtype=np.int32)
        self._angles = {
            is_global: tuple(
                take(ops.constant(table), self.inputs.positions)
                for table in rotations(places, config.head_dim, theta)
            )
            for is_global, theta in ((True, config.global_theta), (False, config.local_theta))
            if is_global in config.is_global
        }

    def norm(self, x: Node, name: str) -> Node:
        """Layer normalisation, with a bias where the checkpoint has one."""
        config = self.config
        return layer_norm(x, self.weights, name, config.norm_eps, bias=config.norm_bias)

    def _of_first(self, x: Node, name: str) -> Node:
        """Global attention of the first token of each row, (T, h) -> (B, h)."""
        config, inputs, h = self.config, self.inputs, self.config.hidden
        fused, bias = f"{name}.Wqkv", config.attention_bias
        q = linear_part(take(x, inputs.first), self.weights, fused, 0, h, bias=bias)
        k, v = (
            linear_part(x, self.weights, fused, start, start + h, bias=bias) for start in (h, 2 * h)
        )
        split = constant([0, config.heads, config.head_dim], np.int64)
        q, k, v = (ops.reshape(part, split, True) for part in (q, k, v))
        cos, sin = self._angles[True]
        k = rotate(k, cos, sin)  # the first token's own angle is 0
        swap = constant([0, 2, 1, 3], np.int64)
        q = ops.transpose(ops.unsqueeze(q, constant(1, np.int32)), swap)
        k, v = (ops.transpose(take(part, inputs.slots), swap) for part in (k, v))
        mixed = ops.scaled_dot_product_attention(q, k, v, self._mask, causal=False)
        mixed = ops.reshape(ops.transpose(mixed, swap), constant([-1, h], np.int64), False)
        return linear(mixed, self.weights, f"{name}.Wo", bias=bias)

    def _attention(self, x: Node, name: str, *, is_global: bool) -> Node:
        """Attention of one layer, (T, h) -> (T, h)."""
        config, inputs = self.config, self.inputs
        fused = linear(x, self.weights, f"{name}.Wqkv", bias=config.attention_bias)
        parts = ops.split(fused, constant(1, np.int64), 3)
        split = constant([0, config.heads, config.head_dim], np.int64)
        q, k, v = (ops.reshape(parts.output(i), split, True) for i in range(3))
        cos, sin = self._angles[is_global]
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        asked = inputs.slots if is_global else inputs.local_queries
        seen = inputs.slots if is_global else inputs.local_keys
        swap = constant([0, 2, 1, 3], np.int64)
        q, k, v = (
            ops.transpose(take(part, at), swap) for part, at in ((q, asked), (k, seen), (v, seen))
        )
        mask = self._mask if is_global else inputs.local_mask
        mixed = ops.scaled_dot_product_attention(q, k, v, mask, causal=False)
        flat = constant([-1, config.hidden], np.int64)
        mixed = ops.reshape(ops.transpose(mixed, swap), flat, False)
        mixed = take(mixed, inputs.tokens if is_global else inputs.local_tokens)
        return linear(mixed, self.weights, f"{name}.Wo", bias=config.attention_bias)

    def _mlp(self, x: Node, name: str) -> Node:
        """GeGLU: the first half of Wi's outputs, activated, gates the second, (T, h) -> (T, h)."""
        bias = self.config.mlp_bias
        halves = ops.split(
            linear(x, self.weights, f"{name}.Wi", bias=bias), constant(1, np.int64), 2
        )
        inner = ops.multiply(ops.gelu(halves.output(0), "erf"), halves.output(1))
        return linear(inner, self.weights, f"{name}.Wo", bias=bias)

    def layer(self, x: Node, index: int, *, first: bool = False) -> Node:
        """One layer, (T, h) -> (T, h), or (B, h) of the first token of each row."""
        block = f"layers.{index}"
        y = self.norm(x, f"{block}.attn_norm") if index > 0 else x
        if first:
            x = ops.add(take(x, self.inputs.first), self._of_first(y, f"{block}.attn"))
        else:
            is_global = self.config.is_global[index]
            x = ops.add(x, self._attention(y, f"{block}.attn", is_global=is_global))
        return ops.add(x, self._mlp(self.norm(x, f"{block}.mlp_norm"), f"{block}.mlp"))

    def _layers(self, *, first: bool) -> Node:
        x = take(weight(self.weights, "embeddings.tok_embeddings.weight"), self.inputs.ids)
        x = self.norm(x, "embeddings.norm")
        for index in range(self.config.layers - 1):
            x = self.layer(x, index)
        return self.layer(x, self.config.layers - 1, first=first)

    def states(self) -> Node:
        """The last hidden states of all tokens, normalised, (T, h)."""
        return self.norm(self._layers(first=False), "final_norm")

    def firsts(self) -> Node:
        """Those of the first token of each row, (B, h): the last layer for it alone if global."""
        is_global = self.config.is_global[-1]
        x = self._layers(first=is_global)
        return self.norm(x if is_global else take(x, self.inputs.first), "final_norm")

    def mean(self, x: Node) -> Node:
        """The mean of each row's tokens, (T, h) -> (B, h)."""
        inputs = self.inputs
        last, one = constant(-1, np.int32), constant(1, np.int32)
        share = ops.convert(ops.unsqueeze(self.used, last), "f32")
        total = ops.reduce_sum(ops.multiply(take(x, inputs.slots), share), one, False)
        return ops.divide(total, ops.convert(ops.unsqueeze(inputs.lengths, one), "f32"))


def build(config: ModernBertConfig, weights: Weights) -> Model:
    """The graph: packed rows -> logits (B, K)."""
    graph = ModernBertLayers(config, weights)
    x = graph.firsts() if config.pooling == "cls" else graph.mean(graph.states())
    x = ops.gelu(linear(x, weights, "head.dense", bias=config.head_bias), "erf")
    logits = linear(graph.norm(x, "head.norm"), weights, "classifier")
    results = [ops.result(logits, name="logits")]
    return ov.Model(results, graph.inputs.parameters(), config.architecture)
