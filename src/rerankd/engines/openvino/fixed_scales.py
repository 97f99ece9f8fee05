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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.engines.encoder import EncoderConfig, InputRanges, Int8Rows, Ranges, Weights
from rerankd.engines.openvino.arithmetic import LEVELS, bf16_is_right, rounded
from rerankd.engines.openvino.blocks import Packing, constant, layer_norm, take
from rerankd.engines.openvino.runtime import Node, ops, ov

Bytes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]

SMOOTHING: Final = 0.75  # of a reach: 1 = an input's own range, 0 = the largest of all inputs
FLOAT_INPUTS: Final = 32  # of the last product in a layer, at most


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

    def round(self, x: Node) -> Node:
        """Inputs of the layer, rounded. Values beyond the reach are its ends."""
        scaled = ops.multiply(x, _constant(np.float32(1) / self.reach))
        # The maximum changes nothing. Without it the plugin makes of all this one operation on
        # channels, which takes several times as long.
        moved = ops.add(scaled, _constant(-self.middle / self.reach))
        return rounded(ops.maximum(moved, constant(-1, np.float32)))

    def round_activated(self, x: Node) -> Node:
        """As round(), of what an activation function gives: done as it is computed."""
        low, high = _constant(self.middle - self.reach), _constant(self.middle + self.reach)
        lowest, highest = (constant(bound, np.float32) for bound in (-1, 1))
        return ops.fake_quantize(x, low, high, lowest, highest, LEVELS)

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
        # Without the rows' scales.
        columns: Floats = np.multiply(matrix.values, self.reach, dtype=np.float32)
        added = _times(columns, self.mean / self.reach)
        largest = np.maximum(columns.max(axis=1), -columns.min(axis=1))
        steps = np.maximum(largest / np.float32(127), np.finfo(np.float32).tiny)
        columns /= steps[:, None]
        np.rint(columns, out=columns)
        added -= steps * _times(columns, (self.mean - self.middle) / self.reach)
        return columns.astype(np.int8), matrix.scales * steps, bias + matrix.scales * added


def encoder(
    x: Node, packing: Packing, weights: Weights, ranges: Ranges, config: EncoderConfig
) -> Node:
    """As blocks.encoder() of every token, (T, h) -> (T, h), of layers whose matrices are int8."""
    precision = "bf16" if bf16_is_right() else "f32"
    mask = ops.convert(packing.mask(), precision)
    for layer in range(config.layers):
        made = _Layer(weights, ranges, config, f"encoder.layer.{layer}")
        mixed = made.attention(x, packing, mask, precision)
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

    def attention(self, x: Node, packing: Packing, mask: Node, precision: str) -> Node:
        """Scaled dot-product attention, (T, h) -> (T, h)."""
        name = f"{self.block}.attention.self"
        reach = Reach.of(self.ranges(name), SMOOTHING)
        inputs = reach.round(x)
        size = self.config.hidden // self.config.heads
        split = constant([0, 0, self.config.heads, size], np.int64)
        swap = constant([0, 2, 1, 3], np.int64)

        def heads(part: str, scale: float = 1.0) -> Node:
            matrix, bias = self._linear(f"{name}.{part}")
            scaled = replace(matrix, scales=matrix.scales * np.float32(scale))
            made = reach.product(inputs, scaled, bias * np.float32(scale))
            slots = take(ops.convert(made, precision), packing.slots)
            return ops.transpose(ops.reshape(slots, split, True), swap)

        q, k, v = heads("query", size**-0.5), heads("key"), heads("value")
        shares = ops.softmax(ops.add(ops.matmul(q, k, False, True), mask), -1)
        mixed = ops.transpose(ops.matmul(shares, v, False, False), swap)
        flat = constant([-1, self.config.hidden], np.int64)
        joined = ops.reshape(mixed, constant([0, 0, self.config.hidden], np.int64), True)
        return ops.convert(take(ops.reshape(joined, flat, False), packing.tokens), "f32")

    def output(self, mixed: Node) -> Node:
        """What attention adds, (T, h)."""
        name = f"{self.block}.attention.output.dense"
        reach = Reach.of(self.ranges(name), SMOOTHING)
        return reach.product(reach.round(mixed), *self._linear(name))

    def feed_forward(self, x: Node) -> Node:
        """Two linear layers with GELU between them, (T, h) -> (T, h)."""
        name, last = f"{self.block}.intermediate.dense", f"{self.block}.output.dense"
        reach, ranges = Reach.of(self.ranges(name), SMOOTHING), self.ranges(last)
        inputs = reach.round(x)
        (first, first_bias), (second, bias) = self._linear(name), self._linear(last)

        def inner(neurons: Any) -> Node:
            some = Int8Rows(first.values[neurons], first.scales[neurons])
            return ops.gelu(reach.product(inputs, some, first_bias[neurons]), "erf")

        large, others = by_range(ranges)
        kept = InputRanges(ranges.low[others], ranges.high[others], ranges.mean[others])
        own = Reach.of(kept, 0.0)
        columns = replace(second, values=np.ascontiguousarray(second.values[:, others]))
        added = own.product(own.round_activated(inner(others)), columns, bias)
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


def _constant(values: Floats | Sequence[float]) -> Node:
    return ops.constant(np.ascontiguousarray(values, np.float32))
