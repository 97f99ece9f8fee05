"""Decoders (Qwen3, Qwen2, Mistral, Gemma) as rerankers: packed rows behind a shared past -> logits.

The rows of one call continue the same P tokens, whose keys and values come in as `past` and which
may be none (P = 0). Each row attends to them and to its own tokens up to itself. The keys and
values of the tokens named by `keep` come out, so that they can be the past of a later call; what
comes out when, and how long a past is, changes no logit. The last layer's queries, output and MLP
are computed for the last token of each row only, because the head reads nothing else: exact.

Shapes: T own tokens of the call, B rows, S longest row, P tokens of the past, N tokens to keep,
h hidden size, a query heads, k key heads, g = a / k, d head size.
Sources: transformers, modeling_qwen3.Qwen3ForCausalLM, modeling_qwen2.Qwen2ForCausalLM,
modeling_mistral.MistralForCausalLM and modeling_gemma.GemmaForCausalLM;
rotary positions: Su et al., arXiv:2104.09864; RMSNorm: Zhang and Sennrich, arXiv:1910.07467;
grouped-query attention: Ainslie et al., arXiv:2305.13245; SwiGLU, GeGLU: Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.encoder import Weights
from rerankd.engines.openvino.blocks import HIDDEN_SLOT, constant, linear, rotate, take, weight
from rerankd.engines.openvino.runtime import Model, Node, ops, ov
from rerankd.engines.turned import inner_block, turn


@dataclass(frozen=True, slots=True)
class QwenInputs:
    """The graph's inputs: what decoder_pack.pack() makes of rows; int32 where not said."""

    words: Node  # (T, h) float32, the embedding of each token
    cos: Node  # (T, 1, d / 2) float32, of each token's rotation
    sin: Node  # (T, 1, d / 2) float32
    slots: Node  # (B, S) packed index of the token in each slot; 0 behind the end of a row
    tokens: Node  # (T,) flat slot of each packed token
    lengths: Node  # (B,) own tokens per row
    last: Node  # (B,) packed index of each row's last token
    keep: Node  # (N,) packed indexes of the tokens whose keys and values are to come out
    past: Node  # (P, 2 layers, k, d) float32, keys and values by turns

    @classmethod
    def open(cls, config: DecoderConfig) -> QwenInputs:
        """Fresh graph parameters with open sizes."""
        half, heads = config.head_dim // 2, [config.kv_heads, config.head_dim]
        shapes = {
            "words": [-1, config.hidden],
            "cos": [-1, 1, half],
            "sin": [-1, 1, half],
            "slots": [-1, -1],
            "past": [-1, 2 * config.layers, *heads],
        }
        floats = {"words", "cos", "sin", "past"}
        return cls(
            *(
                ops.parameter(
                    ov.PartialShape(shapes.get(field.name, [-1])),
                    ov.Type.f32 if field.name in floats else ov.Type.i32,
                    name=field.name,
                )
                for field in fields(cls)
            )
        )

    def parameters(self) -> list[Node]:
        """All inputs, in the order in which they are declared."""
        return [getattr(self, field.name) for field in fields(self)]

    def masks(self) -> tuple[Node, Node]:
        """What is added to attention scores: 0 for a token that may be seen, HIDDEN_SLOT else.

        Returns:
            For all slots, (S, P + S), and for the last token of each row, (B, 1, 1, 1, P + S).
        """
        zero, one = constant(0, np.int32), constant(1, np.int32)
        past = ops.gather(ops.shape_of(self.past, "i32"), zero, zero)
        width = ops.gather(ops.shape_of(self.slots, "i32"), one, zero)
        seen = ops.range(zero, ops.add(past, width), one, "i32")
        own = ops.add(past, ops.range(zero, width, one, "i32"))
        ends = ops.add(past, ops.subtract(self.lengths, one))

        def hide(at: Node) -> Node:
            is_seen = ops.less_equal(seen, at)
            return ops.select(is_seen, constant(0.0, np.float32), constant(HIDDEN_SLOT, np.float32))

        return (
            hide(ops.unsqueeze(own, one)),
            hide(ops.reshape(ends, constant([-1, 1, 1, 1, 1], np.int64), False)),
        )


def rms_norm(x: Node, weights: Weights, name: str, eps: float) -> Node:
    """x / sqrt(mean(x^2) + eps) * w over the last axis, in the form that the CPU plugin fuses."""
    square = ops.power(x, constant(2.0, np.float32))
    mean = ops.reduce_mean(square, constant([-1], np.int64), True)
    root = ops.sqrt(ops.add(mean, constant(eps, np.float32)))
    scaled = ops.multiply(x, ops.divide(constant(1.0, np.float32), root))
    return ops.multiply(scaled, weight(weights, f"{name}.weight"))


def kept_name(layer: int) -> str:
    """The result that holds a layer's keys and values to keep, (N, 2, k, d)."""
    return f"kept.{layer}"


def read_kept(request: Any, past: npt.NDArray[np.float32]) -> None:
    """Write the keys and values that a call kept to `past` (N, 2 layers, k, d)."""
    for layer in range(past.shape[1] // 2):
        past[:, 2 * layer : 2 * layer + 2] = request.get_tensor(kept_name(layer)).data


class QwenLayers:
    """Builds the layers of one graph; holds what they share."""

    def __init__(self, config: DecoderConfig, weights: Weights, *, is_turned: bool = False) -> None:
        """Take the tensors; those of TurnedWeights if `is_turned`."""
        self.config = config
        self.weights = weights
        self.is_turned = is_turned
        self.turned_block = inner_block(config) if is_turned else 1
        self.normed: list[Node] = []  # what the matrices of the layers so far were given
        self.inputs = QwenInputs.open(config)
        self.mask, self.last_mask = self.inputs.masks()

    def _heads(self, x: Node, name: str, norm: str | None, at: tuple[Node, Node] | None) -> Node:
        """A projection as heads, normalised and rotated where asked for: (T, heads, d)."""
        config = self.config
        x = linear(x, self.weights, name, bias=config.attention_bias)
        x = ops.reshape(x, constant([0, -1, config.head_dim], np.int64), True)
        if norm is not None and config.has_head_norms:
            x = rms_norm(x, self.weights, norm, config.rms_norm_eps)
        return x if at is None else rotate(x, *at)

    def _past(self, layer: int) -> Node:
        """What a layer sees of the past, (P, 2 layers, k, d); `layer` as in _seen()."""
        del layer
        return self.inputs.past

    def _mask(self, index: int) -> Node:
        """What is added to the attention scores of all slots in layer `index`, (S, P + S)."""
        del index
        return self.mask

    def _attend_last(self, q: Node, k: Node, v: Node, index: int) -> Node:
        """As _attend() of the tokens that are read alone, q (B, a d)."""
        del index
        return self._attend(ops.unsqueeze(q, constant(1, np.int32)), k, v, self.last_mask)

    def _seen(self, x: Node, layer: int) -> Node:
        """Past and own keys (or values) of a layer: (T, k, d) -> (B, k, 1, P + S, d).

        `layer` counts keys and values: 2 l and 2 l + 1.
        """
        inputs = self.inputs
        own = ops.transpose(take(x, inputs.slots), constant([0, 2, 1, 3], np.int64))
        past = ops.gather(self._past(layer), constant(layer, np.int32), constant(1, np.int32))
        past = ops.transpose(past, constant([1, 0, 2], np.int64))  # (k, P, d)
        rows = ops.slice(
            ops.shape_of(inputs.slots, "i64"), *(constant([i], np.int64) for i in (0, 1, 1))
        )
        past = ops.broadcast(past, ops.concat([rows, ops.shape_of(past, "i64")], 0))
        both = ops.concat([past, own], 2)
        return ops.unsqueeze(both, constant(2, np.int32))

    def _attend(self, q: Node, k: Node, v: Node, mask: Node) -> Node:
        """Softmax attention; q (B, Q, a, d) -> (B * Q, a d)."""
        config = self.config
        group = config.heads // config.kv_heads
        split = constant([0, 0, config.kv_heads, group, config.head_dim], np.int64)
        q = ops.transpose(ops.reshape(q, split, True), constant([0, 2, 3, 1, 4], np.int64))
        q = ops.multiply(q, constant(config.head_dim**-0.5, np.float32))
        scores = ops.add(ops.matmul(q, k, False, True), mask)
        mixed = ops.matmul(ops.softmax(scores, -1), v, False, False)
        mixed = ops.transpose(mixed, constant([0, 3, 1, 2, 4], np.int64))
        return ops.reshape(mixed, constant([-1, config.query_width], np.int64), False)

    def layer(self, x: Node, index: int, *, only_last: bool) -> tuple[Node, Node]:
        """One layer, (T, h) -> (T, h), or (B, h) if only the last tokens of rows are read.

        Its keys and values to keep, (N, 2, k, d), come with it.
        """
        config, weights, inputs = self.config, self.weights, self.inputs
        block = f"layers.{index}"
        attend = f"{block}.self_attn"
        turn = (inputs.cos, inputs.sin)
        y = rms_norm(x, weights, f"{block}.input_layernorm", config.rms_norm_eps)
        self.normed.append(y)
        k = self._heads(y, f"{attend}.k_proj", f"{attend}.k_norm", turn)
        v = self._heads(y, f"{attend}.v_proj", None, None)
        one = constant(1, np.int32)
        kept = ops.concat([ops.unsqueeze(take(part, inputs.keep), one) for part in (k, v)], 1)
        keys, values = self._seen(k, 2 * index), self._seen(v, 2 * index + 1)
        if only_last:
            x, y = take(x, inputs.last), take(y, inputs.last)
            turn = (take(inputs.cos, inputs.last), take(inputs.sin, inputs.last))
            q = self._heads(y, f"{attend}.q_proj", f"{attend}.q_norm", turn)
            mixed = self._attend_last(q, keys, values, index)
        else:
            q = self._heads(y, f"{attend}.q_proj", f"{attend}.q_norm", turn)
            mixed = self._attend(take(q, inputs.slots), keys, values, self._mask(index))
            mixed = take(mixed, inputs.tokens)
        x = ops.add(x, linear(mixed, weights, f"{attend}.o_proj", bias=config.output_bias))
        y = rms_norm(x, weights, f"{block}.post_attention_layernorm", config.rms_norm_eps)
        self.normed.append(y)
        return ops.add(x, self._mlp(y, f"{block}.mlp")), kept

    def _mlp(self, y: Node, name: str) -> Node:
        """The gated layers behind attention, (T, h) -> (T, h)."""
        gate = linear(y, self.weights, f"{name}.gate_proj", bias=False)
        gate = ops.swish(gate) if self.config.activation == "silu" else ops.gelu(gate, "tanh")
        inner = ops.multiply(gate, linear(y, self.weights, f"{name}.up_proj", bias=False))
        if self.turned_block > 1:
            blocks = ops.reshape(inner, constant([0, -1, self.turned_block], np.int64), True)
            blocks = ops.matmul(blocks, ops.constant(turn(self.turned_block)), False, False)
            inner = ops.reshape(blocks, constant([0, -1], np.int64), True)
        return linear(inner, self.weights, f"{name}.down_proj", bias=False)

    def run(self, *, keeps_stream: bool) -> tuple[Node, list[Node]]:
        """All layers: the hidden states (B, h) of the tokens that are read, and results.

        Results stand in the order in which they are computed, and keys and values of a layer on
        their own. The CPU plugin runs what leads to the first result first; and a part of a joint
        result takes a large buffer until the end: 23 MB a layer for 1000 tokens of Qwen3-0.6B
        (2026.4.1).

        Args:
            keeps_stream: the residual stream and the norms stay fp32 where the products are bf16.
                The plugin leaves everything in fp32 that leads to a result without a product
                between; so they become results too, of the tokens that are read only.
        """
        config, read = self.config, self.inputs.last
        x = self.inputs.words
        if config.embedding_scale != 1.0:
            x = ops.multiply(x, constant(config.embedding_scale, np.float32))
        if self.is_turned:
            x = ops.matmul(x, ops.constant(turn(config.hidden)), False, False)
        results: list[Node] = []
        for index in range(config.layers):
            is_last = index == config.layers - 1
            x, pair = self.layer(x, index, only_last=is_last)
            before, behind = self.normed[-2:]
            kept = ops.result(pair, name=kept_name(index))
            if keeps_stream:
                behind = behind if is_last else take(behind, read)
                results += [ops.result(take(before, read)), kept, ops.result(behind)]
            else:
                results.append(kept)
        if keeps_stream:
            results.append(ops.result(x))
        return rms_norm(x, self.weights, "norm", config.rms_norm_eps), results


def build(
    config: DecoderConfig,
    weights: Weights,
    head: npt.NDArray[np.float32],
    *,
    is_turned: bool = False,
    keeps_stream: bool = False,
) -> Model:
    """The graph: packed rows -> "logits" (B, K), and what is kept of each layer (kept_name()).

    Args:
        config: sizes.
        weights: the tensors of decoder.tensor_shapes() but the embeddings.
        head: (K, h), e.g. decoder.answer_row().
        is_turned: weights and head are those of TurnedWeights.
        keeps_stream: as QwenLayers.run().
    """
    graph = QwenLayers(config, weights, is_turned=is_turned)
    x, results = graph.run(keeps_stream=keeps_stream)
    logits = ops.matmul(x, ov.op.Constant(head, shared_memory=True), False, True)
    results.append(ops.result(logits, name="logits"))
    return ov.Model(results, graph.inputs.parameters(), config.architecture)
