"""`StateEncoder`: no head, but the hidden states of rows, or one vector of each.

What late interaction compares and what an embedding is: body, then pooling if there is one, then
linear layers. Vectors are not normalised; engines.dense.unit does that.

Shapes: T tokens of the batch, B rows, L tokens of a row, h hidden size, d values of a vector.
Source of the pooling: sentence-transformers 6.2, sentence_transformer/modules/pooling.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.core.batch import plan_for_streams
from rerankd.core.options import Precision
from rerankd.core.rows import Row
from rerankd.engines.cores import usable_cores
from rerankd.engines.dense import (
    BehindLayer,
    Dense,
    DenseActivation,
    DenseNorm,
    Floats,
    PoolingMode,
)
from rerankd.engines.encoder import EncoderConfig, FloatWeights, Weights
from rerankd.engines.gte_config import GteConfig
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.openvino.blocks import (
    Packing,
    constant,
    embeddings,
    encoder,
    take,
    used_slots,
)
from rerankd.engines.openvino.calibration import channel_factors
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.engine import (
    MAX_ROWS,
    MICRO_BATCH_TOKENS,
    MIN_MICRO_BATCH_TOKENS,
)
from rerankd.engines.openvino.families import LAYERS
from rerankd.engines.openvino.gte import GteLayers
from rerankd.engines.openvino.int8 import Int8Weights
from rerankd.engines.openvino.modernbert import ModernBertInputs, ModernBertLayers
from rerankd.engines.openvino.modernbert_pack import pack as pack_modernbert
from rerankd.engines.openvino.runtime import Model, Node, ops, ov
from rerankd.engines.openvino.streams import Streams
from rerankd.engines.pack import pack, pack_typed

BodyConfig = EncoderConfig | ModernBertConfig | GteConfig  # labels = 0
_LOWEST: Final = -1e9  # of a slot without a token, when the largest is looked for
_Member = tuple[Row, int]  # a row, and how many of its tokens are attended to


class StateEncoder:
    """Token ids in, vectors out; several one-thread streams. One thread calls it at a time."""

    def __init__(
        self,
        config: BodyConfig,
        weights: FloatWeights,
        *,
        pooling: Sequence[PoolingMode] = (),
        dense: Sequence[BehindLayer] = (),
        streams: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        """Build the graph and compile it.

        Args:
            config: sizes of the body.
            weights: its tensors; read once, and not kept.
            pooling: of a row's states to one vector; several stand behind one another, none keeps
                the states of all tokens.
            dense: layers behind it, in order.
            streams: micro-batches that run at once, one thread each; None = all usable cores.
            precision: "int8" is of the body's layers (int8.py).

        Raises:
            StartError: OpenVINO cannot compile the graph here, or cannot run it in `precision`.
        """
        self._config, self._pools = config, bool(pooling)
        self._count = streams or usable_cores()
        held: Weights = weights
        if precision == "int8":
            factors = channel_factors(
                lambda watched: build(config, watched, pooling=pooling, dense=dense),
                lambda rows: self._inputs([(row, row.tokens) for row in rows]),
                weights,
                LAYERS,
                vocab=config.vocab,
                longest=config.max_length,
            )
            held = Int8Weights(weights, LAYERS, factors)
        graph = build(config, held, pooling=pooling, dense=dense)
        compiled = compile_graph(
            graph, streams=self._count, threads=self._count, precision=precision
        )
        self._streams = Streams(compiled, self._count)
        width = config.hidden * max(1, len(pooling))
        self.precision: Precision = precision
        self.dimensions = dense[-1].outputs if dense else width  # d
        self.max_length = config.max_length  # of a row, special tokens included
        self.batch_tokens = MICRO_BATCH_TOKENS * self._count * 2  # what one call should be given

    def encode(self, rows: Sequence[Row], attended: Sequence[int] | None = None) -> list[Floats]:
        """The vectors of each row, float32: (L, d), or (d,) with pooling.

        Those of a row are the same whatever stands beside it, within 1e-5 in fp32; equal rows run
        once.

        Args:
            rows: B of them, 0 < L <= max_length.
            attended: how many tokens of each row, from its first, others look at, (B,); all have
                vectors. None = all. Without pooling only.

        Raises:
            EngineFailed: the encoder is closed, or could not run.
        """
        seen = attended if attended is not None else [row.tokens for row in rows]
        places: dict[tuple[int, int, bytes], int] = {}
        members: list[_Member] = []
        at: list[int] = []
        for row, count in zip(rows, seen, strict=True):
            key = (count, *row.key())
            if key not in places:
                places[key] = len(members)
                members.append((row, count))
            at.append(places[key])
        plan = self._plan([row.tokens for row, _ in members])
        batches = [[members[i] for i in batch] for batch in plan]
        found: dict[int, Floats] = {}
        answers = self._streams.run(batches, self._inputs, _output)
        for indexes, batch, answer in zip(plan, batches, answers, strict=True):
            ends = range(1, len(batch)) if self._pools else np.cumsum([r.tokens for r, _ in batch])
            parts = np.split(answer, ends[: len(batch) - 1])
            found.update(zip(indexes, parts, strict=True))
        if self._pools:
            return [found[i][0] for i in at]
        return [found[i] for i in at]

    def _plan(self, lengths: Sequence[int]) -> list[list[int]]:
        """Micro-batches of like lengths, fine enough that every stream has work."""
        return plan_for_streams(
            lengths,
            streams=self._count,
            least=MIN_MICRO_BATCH_TOKENS,
            most=MICRO_BATCH_TOKENS,
            max_rows=MAX_ROWS,
        )

    def _inputs(self, members: Sequence[_Member]) -> dict[str, npt.NDArray[Any]]:
        rows = [row for row, _ in members]
        attended = np.fromiter((count for _, count in members), np.int32, count=len(members))
        if self._config.architecture == "modernbert":
            return pack_modernbert(rows, self._config, attended)
        config = self._config
        packed = pack_typed(rows) if config.architecture == "gte" else pack(rows, config)
        return {**packed, "lengths": attended}  # which say what is masked

    def close(self) -> None:
        """Drop the compiled graph and its weights. Safe to call twice."""
        self._streams.close()


def build(
    config: BodyConfig,
    weights: Weights,
    *,
    pooling: Sequence[PoolingMode] = (),
    dense: Sequence[BehindLayer] = (),
) -> Model:
    """The graph: packed rows -> vectors, (T, d) or, with pooling, (B, d)."""
    inputs: Packing | ModernBertInputs
    is_first = list(pooling) == ["cls"]  # of each row, its first token's state alone
    if config.architecture == "modernbert":
        layers = ModernBertLayers(config, weights)
        inputs = layers.inputs
        x = layers.firsts() if is_first else layers.states()
    elif config.architecture == "gte":
        inputs = Packing.inputs()
        x = GteLayers(config, weights, inputs).states(every_token=not is_first)
    else:
        inputs = Packing.inputs()
        x = embeddings(inputs, weights, config.layer_norm_eps)
        x = encoder(x, inputs, weights, config, every_token=not is_first)
    if pooling and not is_first:
        parts = [_POOLING[mode](x, inputs) for mode in pooling]
        x = ops.concat(parts, 1) if len(parts) > 1 else parts[0]
    for layer in dense:
        x = _dense(x, layer) if isinstance(layer, Dense) else _norm(x, layer)
    return ov.Model([ops.result(x, name="vectors")], inputs.parameters(), "states")


def _dense(x: Node, layer: Dense) -> Node:
    """One linear layer, (N, i) -> (N, o)."""
    made = ops.matmul(x, ov.op.Constant(layer.weight, shared_memory=True), False, True)
    if layer.bias is not None:
        made = ops.add(made, ov.op.Constant(layer.bias, shared_memory=True))
    made = _ACTIVATIONS[layer.activation](made)
    if not layer.is_residual:
        return made
    if layer.residual is not None:
        x = ops.matmul(x, ov.op.Constant(layer.residual, shared_memory=True), False, True)
    return ops.add(made, x)


def _norm(x: Node, layer: DenseNorm) -> Node:
    """Layer normalisation, (N, o) -> (N, o)."""
    centred = ops.mvn(x, constant([-1], np.int64), True, layer.eps, "INSIDE_SQRT")
    scaled = ops.multiply(centred, ov.op.Constant(layer.weight, shared_memory=True))
    return ops.add(scaled, ov.op.Constant(layer.bias, shared_memory=True))


_ACTIVATIONS: Final[Mapping[DenseActivation, Callable[[Node], Node]]] = {
    "identity": lambda x: x,
    "tanh": ops.tanh,
    "gelu": lambda x: ops.gelu(x, "erf"),
    "relu": ops.relu,
    "sigmoid": ops.sigmoid,
    "silu": ops.swish,
}


def _first(x: Node, inputs: Packing | ModernBertInputs) -> Node:
    return take(x, inputs.first)


def _last(x: Node, inputs: Packing | ModernBertInputs) -> Node:
    one = constant(1, np.int32)
    return take(x, ops.subtract(ops.add(inputs.first, inputs.lengths), one))


def _used(inputs: Packing | ModernBertInputs) -> Node:
    """Whether a slot holds a token, (B, S, 1) bool."""
    return ops.unsqueeze(used_slots(inputs.slots, inputs.lengths), constant(-1, np.int32))


def _total(x: Node, inputs: Packing | ModernBertInputs) -> Node:
    """The sum of each row's states, (B, h)."""
    share = ops.convert(_used(inputs), "f32")
    return ops.reduce_sum(ops.multiply(take(x, inputs.slots), share), constant(1, np.int32), False)


def _count(inputs: Packing | ModernBertInputs) -> Node:
    return ops.convert(ops.unsqueeze(inputs.lengths, constant(1, np.int32)), "f32")


def _mean(x: Node, inputs: Packing | ModernBertInputs) -> Node:
    return ops.divide(_total(x, inputs), _count(inputs))


def _mean_sqrt(x: Node, inputs: Packing | ModernBertInputs) -> Node:
    return ops.divide(_total(x, inputs), ops.sqrt(_count(inputs)))


def _max(x: Node, inputs: Packing | ModernBertInputs) -> Node:
    states = ops.select(_used(inputs), take(x, inputs.slots), constant(_LOWEST, np.float32))
    return ops.reduce_max(states, constant(1, np.int32), False)


_POOLING: Final[Mapping[PoolingMode, Callable[[Node, Packing | ModernBertInputs], Node]]] = {
    "cls": _first,
    "mean": _mean,
    "max": _max,
    "lasttoken": _last,
    "mean_sqrt_len_tokens": _mean_sqrt,
}


def _output(request: Any) -> Floats:
    return request.get_output_tensor(0).data.copy()
