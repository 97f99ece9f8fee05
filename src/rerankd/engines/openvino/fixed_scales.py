"""BERT's layers in int8, with a scale for each input of a linear layer that is fixed beforehand.

What the inputs are over many texts is measured once (training/measure_ranges.py) and comes with the
weights. An input less the middle of its range, divided by its reach, is rounded to 255 levels; its
reach goes into the matrix's columns, its middle into the bias. So nothing is looked for in a token,
and the plugin rounds where it has just computed a value. A token's rounding depends on that token
alone, and sums of int8 products are the same in any batch.

A reach lies between an input's own range and the largest of all: the first rounds inputs best, the
second the matrix (Xiao et al. 2023, arXiv:2211.10438). Few inputs of the last product in a layer
are much larger than all others, and would take the levels from them: those stay fp32 (Dettmers et
al. 2022, arXiv:2208.07339). The mean of what rounding a matrix changes goes into the bias (Nagel et
al. 2019, arXiv:1906.04721).

Attention is bf16 where this CPU has that; residuals and norms are fp32.

Shapes: T tokens, B rows, S slots, h hidden size, a heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.engines.encoder import EncoderConfig, InputRanges, Int8Rows, Ranges, Weights
from rerankd.engines.openvino.arithmetic import LEVELS, bf16_is_right
from rerankd.engines.openvino.blocks import Packing, constant, layer_norm
from rerankd.engines.openvino.runtime import Node, ops, ov

Bytes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]

SMOOTHING: Final = 0.75  # of a reach: 1 = an input's own range, 0 = the largest of all inputs
FLOAT_INPUTS: Final = 32  # of the last product in a layer, at most
_ROWS: Final = 256  # of a matrix that are folded at once: they stay near the core


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """How the inputs of a layer are rounded: (x - middle) / reach to 255 levels of -1..1."""

    middle: Floats  # (inputs,)
    reach: Floats  # (inputs,), > 0
    mean: Floats  # (inputs,), of x

    @classmethod
    def of(cls, ranges: InputRanges, smoothing: float) -> Reach:
        """From what the inputs were."""
        half = np.maximum((ranges.high - ranges.low) / 2, np.float32(1e-6))
        reach = half**smoothing * (half ** (1 - smoothing)).max()
        middle = (ranges.low + ranges.high) / np.float32(2)
        return cls(middle, reach.astype(np.float32), ranges.mean)

    def round(self, x: Node, ends: Ends) -> Node:
        """Inputs of the layer, rounded. Values beyond the reach are its ends."""
        scaled = ops.multiply(x, _constant(np.float32(1) / self.reach))
        # The maximum changes nothing. Without it the plugin makes of all this one operation on
        # channels, which takes several times as long.
        moved = ops.add(scaled, _constant(-self.middle / self.reach))
        return ends.rounded(ops.maximum(moved, ends.low))

    def round_activated(self, x: Node, ends: Ends) -> Node:
        """As round(), of what an activation function gives: done as it is computed."""
        low, high = _constant(self.middle - self.reach), _constant(self.middle + self.reach)
        return ops.fake_quantize(x, low, high, ends.low, ends.high, LEVELS)

    def product(self, x: Node, matrix: Int8Rows, bias: Floats) -> Node:
        """W x + b of rounded inputs."""
        values, scales, added = self._folded(matrix, bias)
        scaled = ops.multiply(
            ops.convert(ov.op.Constant(values, shared_memory=True), "f32"),
            _constant(scales[:, None]),
        )
        return ops.add(ops.matmul(x, scaled, False, True), _constant(added))

    def _folded(self, matrix: Int8Rows, bias: Floats) -> tuple[Bytes, Floats, Floats]:
        """Values, scales and bias of the product of rounded inputs."""
        if self.reach.min() == self.reach.max():
            added = matrix.scales * _times(matrix.values.astype(np.float32), self.middle)
            whole: Floats = np.multiply(matrix.scales, self.reach[0], dtype=np.float32)
            return matrix.values, whole, (bias + added).astype(np.float32)
        values = np.empty_like(matrix.values)
        steps: Floats = np.empty(len(values), np.float32)
        moved: Floats = np.empty(len(values), np.float32)
        at_mean, from_middle = self.mean / self.reach, (self.mean - self.middle) / self.reach
        for start in range(0, len(values), _ROWS):
            rows = slice(start, start + _ROWS)
            # Without the rows' scales.
            columns: Floats = np.multiply(matrix.values[rows], self.reach, dtype=np.float32)
            meant = _times(columns, at_mean)
            largest = np.maximum(columns.max(axis=1), -columns.min(axis=1))
            step = np.maximum(largest / np.float32(127), np.finfo(np.float32).tiny)
            columns /= step[:, None]
            np.rint(columns, out=columns)
            values[rows], steps[rows] = columns, step
            moved[rows] = meant - step * _times(columns, from_middle)
        scales: Floats = np.multiply(matrix.scales, steps, dtype=np.float32)
        return values, scales, np.add(bias, matrix.scales * moved, dtype=np.float32)


class Ends:
    """-1 and 1, once for a graph: the time of its compilation goes by operations and constants."""

    def __init__(self) -> None:
        """Make the constants."""
        self.low, self.high = (constant(bound, np.float32) for bound in (-1, 1))

    def rounded(self, x: Node) -> Node:
        """As arithmetic.rounded()."""
        return ops.fake_quantize(x, self.low, self.high, self.low, self.high, LEVELS)


class _Attention:
    """Scaled dot-product attention of all layers, with the constants that they share."""

    def __init__(self, packing: Packing, config: EncoderConfig) -> None:
        self._slots, self._tokens = packing.slots, packing.tokens
        self._precision = "bf16" if bf16_is_right() else "f32"
        self._mask = ops.convert(packing.mask(), self._precision)
        self._first = constant(0, np.int32)
        size = config.hidden // config.heads
        self._split = constant([0, 0, 3, config.heads, size], np.int64)
        self._swap, self._back = (
            constant(order, np.int64) for order in ([2, 0, 3, 1, 4], [0, 1, 3, 2, 4])
        )
        self._flat = constant([-1, config.hidden], np.int64)

    def __call__(self, projected: Node) -> Node:
        """Of queries, keys and values beside one another, (T, 3 h) -> (T, h)."""
        slots = ops.gather(ops.convert(projected, self._precision), self._slots, self._first)
        parts = ops.transpose(ops.reshape(slots, self._split, True), self._swap)
        q, k, v = ops.split(parts, self._first, 3).outputs()  # (1, B, a, S, h / a)
        shares = ops.softmax(ops.add(ops.matmul(q, k, False, True), self._mask), -1)
        mixed = ops.transpose(ops.matmul(shares, v, False, False), self._back)
        flat = ops.reshape(mixed, self._flat, False)
        return ops.convert(ops.gather(flat, self._tokens, self._first), "f32")


def encoder(
    x: Node, packing: Packing, weights: Weights, ranges: Ranges, config: EncoderConfig
) -> Node:
    """As blocks.encoder() of every token, (T, h) -> (T, h), of layers whose matrices are int8."""
    attention, ends = _Attention(packing, config), Ends()
    for layer in range(config.layers):
        made = _Layer(weights, ranges, config, f"encoder.layer.{layer}", ends)
        mixed = attention(made.projected(x))
        x = made.normalised(ops.add(made.output(mixed), x), "attention.output.LayerNorm")
        x = made.normalised(ops.add(made.feed_forward(x), x), "output.LayerNorm")
    return x


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's parts."""

    weights: Weights
    ranges: Ranges
    config: EncoderConfig
    block: str
    ends: Ends

    def projected(self, x: Node) -> Node:
        """Queries, already scaled, keys and values by one product, (T, h) -> (T, 3 h)."""
        name = f"{self.block}.attention.self"
        parts = [self._linear(f"{name}.{part}") for part in ("query", "key", "value")]
        scales = [matrix.scales for matrix, _ in parts]
        biases = [bias for _, bias in parts]
        factor = np.float32((self.config.hidden // self.config.heads) ** -0.5)
        scales[0], biases[0] = scales[0] * factor, biases[0] * factor
        values = np.concatenate([matrix.values for matrix, _ in parts])
        reach = Reach.of(self.ranges(name), SMOOTHING)
        matrix = Int8Rows(values, np.concatenate(scales))
        return reach.product(reach.round(x, self.ends), matrix, np.concatenate(biases))

    def output(self, mixed: Node) -> Node:
        """What attention adds, (T, h)."""
        name = f"{self.block}.attention.output.dense"
        reach = Reach.of(self.ranges(name), SMOOTHING)
        return reach.product(reach.round(mixed, self.ends), *self._linear(name))

    def feed_forward(self, x: Node) -> Node:
        """Two linear layers with GELU between them, (T, h) -> (T, h)."""
        name, last = f"{self.block}.intermediate.dense", f"{self.block}.output.dense"
        reach, ranges = Reach.of(self.ranges(name), SMOOTHING), self.ranges(last)
        inputs = reach.round(x, self.ends)
        (first, first_bias), (second, bias) = self._linear(name), self._linear(last)

        def inner(neurons: Any) -> Node:
            some = Int8Rows(first.values[neurons], first.scales[neurons])
            return ops.gelu(reach.product(inputs, some, first_bias[neurons]), "erf")

        large, others = by_range(ranges)
        kept = InputRanges(ranges.low[others], ranges.high[others], ranges.mean[others])
        own = Reach.of(kept, 0.0)
        columns = replace(second, values=np.ascontiguousarray(second.values[:, others]))
        added = own.product(own.round_activated(inner(others), self.ends), columns, bias)
        if not large.size:
            return added
        floats = _constant(
            np.multiply(second.values[:, large], second.scales[:, None], dtype=np.float32)
        )
        return ops.add(added, ops.matmul(inner(large), floats, False, True))

    def normalised(self, x: Node, name: str) -> Node:
        """Layer normalisation."""
        return layer_norm(x, self.weights, f"{self.block}.{name}", self.config.layer_norm_eps)

    def _linear(self, name: str) -> tuple[Int8Rows, Floats]:
        matrix, bias = self.weights(f"{name}.weight"), self.weights(f"{name}.bias")
        if not isinstance(matrix, Int8Rows) or isinstance(bias, Int8Rows):
            raise TypeError(f"{name} is not int8 rows and a vector.")
        return matrix, bias


def by_range(ranges: InputRanges) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """FLOAT_INPUTS of the largest ranges, or a sixteenth of all, and the others; each sorted."""
    wide = ranges.high - ranges.low
    order = np.argsort(-wide, kind="stable")
    count = min(FLOAT_INPUTS, wide.size // 16)
    return np.sort(order[:count]), np.sort(order[count:])


def _times(matrix: Floats, vector: Floats) -> Floats:
    """Their product, without the threads of BLAS, which would take longer to start than it."""
    return np.einsum("ij,j->i", matrix, vector)


def _constant(values: Floats) -> Node:
    return ov.op.Constant(np.ascontiguousarray(values, np.float32))
