"""Graph pieces that BERT-like encoders share, on packed tokens.

Packed: the tokens of all rows of a batch lie behind one another, (T, h), so that linear layers
touch no padding. Only attention needs a rectangle: tokens are gathered to (B, S) slots before it
and back after it. The last layer is computed for the first token of each row only, because the
heads read nothing else; that is exact.

Shapes: T tokens of the batch, B rows, S longest row, h hidden size, a heads, d = h / a.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.engines.encoder import TYPES, WORDS, EncoderConfig, Int8Rows, Weights
from rerankd.engines.openvino import int8
from rerankd.engines.openvino.calibration import watch
from rerankd.engines.openvino.runtime import Model, Node, ops, ov

HIDDEN_SLOT = -1e9  # added to the attention scores of slots behind the end of a row


def constant(value: Any, dtype: type[np.generic]) -> Node:
    """A constant from plain numbers."""
    return ops.constant(np.asarray(value, dtype=dtype))


def weight(weights: Weights, name: str) -> Node:
    """A constant that uses the tensor's own memory: no second copy while the graph is built.

    Raises:
        TypeError: it is int8 rows, which product() multiplies by and rows_of() looks up.
    """
    tensor = weights(name)
    if isinstance(tensor, Int8Rows):
        raise TypeError(f"{name} is int8 rows; it cannot be a constant of the graph as it is.")
    return ov.op.Constant(tensor, shared_memory=True)


def rows_of(weights: Weights, name: str, indices: Node) -> Node:
    """Rows of a table, (N, h) and (T,) -> (T, h); of int8 rows only those taken become fp32."""
    table = weights(name)
    if isinstance(table, Int8Rows):
        values = take(ov.op.Constant(table.values, shared_memory=True), indices)
        scales = take(ov.op.Constant(table.scales[:, None], shared_memory=True), indices)
        return ops.multiply(ops.convert(values, "f32"), scales)
    return take(ov.op.Constant(table, shared_memory=True), indices)


def product(x: Node, matrix: npt.NDArray[np.float32] | Int8Rows) -> Node:
    """x W^T, (..., inputs) -> (..., outputs); by int8 rows as int8.product()."""
    if isinstance(matrix, Int8Rows):
        return int8.product(x, matrix)
    return ops.matmul(x, ov.op.Constant(matrix, shared_memory=True), False, True)


def linear(x: Node, weights: Weights, name: str, *, bias: bool = True) -> Node:
    """x W^T + b, (..., inputs) -> (..., outputs)."""
    watch(weights, x, f"{name}.weight")
    made = product(x, weights(f"{name}.weight"))
    return ops.add(made, weight(weights, f"{name}.bias")) if bias else made


def linear_part(
    x: Node, weights: Weights, name: str, start: int, end: int, *, bias: bool = True
) -> Node:
    """Some of the outputs of a linear layer, (..., inputs) -> (..., end - start)."""
    watch(weights, x, f"{name}.weight")
    matrix = weights(f"{name}.weight")
    if isinstance(matrix, Int8Rows):
        values, scales = matrix.values[start:end], matrix.scales[start:end]
        made = product(x, replace(matrix, values=values, scales=scales))
    else:
        made = product(x, matrix[start:end])
    if not bias:
        return made
    added = weights(f"{name}.bias")
    if isinstance(added, Int8Rows):
        raise TypeError(f"{name}.bias is a vector, and no int8 rows.")
    return ops.add(made, ov.op.Constant(added[start:end], shared_memory=True))


def layer_norm(x: Node, weights: Weights, name: str, eps: float, *, bias: bool = True) -> Node:
    """Layer normalisation over the last axis."""
    centred = ops.mvn(x, constant([-1], np.int64), True, eps, "INSIDE_SQRT")
    scaled = ops.multiply(centred, weight(weights, f"{name}.weight"))
    return ops.add(scaled, weight(weights, f"{name}.bias")) if bias else scaled


def rotate(x: Node, cos: Node, sin: Node) -> Node:
    """Rotary positions: value i and value i + d / 2 of a head turn together.

    x (T, a, d), angles (T, 1, d / 2). Source: Su et al. 2021, arXiv:2104.09864, in the half-split
    form of transformers.
    """
    halves = ops.split(x, constant(2, np.int64), 2)
    a, b = halves.output(0), halves.output(1)
    turned_a = ops.subtract(ops.multiply(a, cos), ops.multiply(b, sin))
    turned_b = ops.add(ops.multiply(b, cos), ops.multiply(a, sin))
    return ops.concat([turned_a, turned_b], 2)


def take(x: Node, indices: Node) -> Node:
    """x[indices] along the first axis."""
    return ops.gather(x, indices, constant(0, np.int32))


def used_slots(slots: Node, lengths: Node) -> Node:
    """Whether a slot holds a token, (B, S) bool, of slots (B, S) and lengths (B,)."""
    zero, one = constant(0, np.int32), constant(1, np.int32)
    width = ops.gather(ops.shape_of(slots, "i32"), one, zero)
    slot = ops.unsqueeze(ops.range(zero, width, one, "i32"), zero)
    return ops.less(slot, ops.unsqueeze(lengths, one))


def slot_mask(used: Node) -> Node:
    """What is added to attention scores, (B, 1, 1, S): 0 for a token, HIDDEN_SLOT else."""
    one = constant(1, np.int32)
    mask = ops.select(used, constant(0.0, np.float32), constant(HIDDEN_SLOT, np.float32))
    return ops.unsqueeze(ops.unsqueeze(mask, one), one)


@dataclass(frozen=True, slots=True)
class Packing:
    """The graph's inputs, all int32: what engine.pack() makes of a batch of rows."""

    ids: Node  # (T,) token ids
    types: Node  # (T,) token types
    positions: Node  # (T,) rows of the position table
    slots: Node  # (B, S) packed index of the token in each slot; 0 behind the end of a row
    tokens: Node  # (T,) flat slot of each packed token
    lengths: Node  # (B,) tokens per row
    first: Node  # (B,) packed index of each row's first token

    @classmethod
    def inputs(cls) -> Packing:
        """Fresh graph parameters with open sizes."""

        def parameter(name: str, *, rank: int = 1) -> Node:
            return ops.parameter(ov.PartialShape([-1] * rank), ov.Type.i32, name=name)

        return cls(
            ids=parameter("ids"),
            types=parameter("types"),
            positions=parameter("positions"),
            slots=parameter("slots", rank=2),
            tokens=parameter("tokens"),
            lengths=parameter("lengths"),
            first=parameter("first"),
        )

    def parameters(self) -> list[Node]:
        """All inputs, in the order in which they are declared."""
        return [
            self.ids,
            self.types,
            self.positions,
            self.slots,
            self.tokens,
            self.lengths,
            self.first,
        ]

    def mask(self) -> Node:
        """As slot_mask()."""
        return slot_mask(used_slots(self.slots, self.lengths))


def embeddings(
    packing: Packing,
    weights: Weights,
    eps: float,
    *,
    words: Node | None = None,
    typed: bool = True,
) -> Node:
    """Word + token type + position, normalised, (T, h).

    Args:
        packing: the graph's inputs.
        weights: the tables and the norm.
        eps: of the norm.
        words: those of the ids, if they are looked up already.
        typed: there is a table of token types.
    """
    x = rows_of(weights, WORDS, packing.ids) if words is None else words
    if typed:
        x = ops.add(x, rows_of(weights, TYPES, packing.types))
    places = rows_of(weights, "embeddings.position_embeddings.weight", packing.positions)
    return layer_norm(ops.add(x, places), weights, "embeddings.LayerNorm", eps)


def _attention(q: Node, k: Node, v: Node, mask: Node, config: EncoderConfig) -> Node:
    """Scaled dot-product attention; q (B, Q, h), k and v (B, S, h) -> (B, Q, h).

    Spelt out: the CPU plugin fuses it all the same, and about 2 % faster than the operation.
    """
    head_dim = config.hidden // config.heads
    split = constant([0, 0, config.heads, head_dim], np.int64)
    swap = constant([0, 2, 1, 3], np.int64)

    def heads(x: Node) -> Node:
        return ops.transpose(ops.reshape(x, split, True), swap)

    q = ops.multiply(heads(q), constant(head_dim**-0.5, np.float32))
    scores = ops.add(ops.matmul(q, heads(k), False, True), mask)
    mixed = ops.matmul(ops.softmax(scores, -1), heads(v), False, False)
    join = constant([0, 0, config.hidden], np.int64)
    return ops.reshape(ops.transpose(mixed, swap), join, True)


def feed_forward(mixed: Node, x: Node, weights: Weights, block: str, eps: float) -> Node:
    """The rest of a layer after attention: two residual steps, each normalised after the sum."""
    x = ops.add(linear(mixed, weights, f"{block}.attention.output.dense"), x)
    x = layer_norm(x, weights, f"{block}.attention.output.LayerNorm", eps)
    inner = ops.gelu(linear(x, weights, f"{block}.intermediate.dense"), "erf")
    x = ops.add(linear(inner, weights, f"{block}.output.dense"), x)
    return layer_norm(x, weights, f"{block}.output.LayerNorm", eps)


def encoder(
    x: Node, packing: Packing, weights: Weights, config: EncoderConfig, *, every_token: bool = False
) -> Node:
    """All layers, (T, h) -> (B, h): the hidden state of the first token of each row.

    With every_token: (T, h), the hidden states of all tokens.

    Source: Devlin et al. 2019, arXiv:1810.04805, with the layer order of transformers'
    modeling_bert.BertLayer; XLM-R has the same layers.
    """
    mask, one = packing.mask(), constant(1, np.int32)
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}"
        attend = f"{block}.attention.self"
        k = take(linear(x, weights, f"{attend}.key"), packing.slots)
        v = take(linear(x, weights, f"{attend}.value"), packing.slots)
        if layer == config.layers - 1 and not every_token:
            x = take(x, packing.first)
            q = ops.unsqueeze(linear(x, weights, f"{attend}.query"), one)
            mixed = ops.squeeze(_attention(q, k, v, mask, config), one)
        else:
            q = take(linear(x, weights, f"{attend}.query"), packing.slots)
            flat = constant([-1, config.hidden], np.int64)
            mixed = ops.reshape(_attention(q, k, v, mask, config), flat, False)
            mixed = take(mixed, packing.tokens)
        x = feed_forward(mixed, x, weights, block, config.layer_norm_eps)
    return x


def dense_tanh(x: Node, weights: Weights, name: str) -> Node:
    """tanh(x W^T + b): BERT's pooler and the first half of RoBERTa's head."""
    return ops.tanh(linear(x, weights, name))


def model(logits: Node, packing: Packing, name: str) -> Any:
    """The finished graph with one output, logits (B, K)."""
    return ov.Model([ops.result(logits, name="logits")], packing.parameters(), name)


def keep_residual(graph: Model) -> None:
    """Let a bf16 graph keep in fp32 what BERT's layers add up and normalise.

    The plugin lowers nothing between an output and the matrix products before it. From the last
    norm the way back leads through every residual step of every layer, so one row of that norm is
    made an output, which nobody reads. Logits then are half as far off, at the same speed.
    """
    norms = [node for node in graph.get_ordered_ops() if node.get_type_name() == "MVN"]
    last = norms[-1]
    for _ in ("weight", "bias"):
        last = next(iter(last.output(0).get_target_inputs())).get_node()
    row = take(last.output(0), constant([0], np.int32))
    graph.add_results([ops.result(row, name="kept")])
