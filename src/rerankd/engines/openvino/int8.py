"""int8: the layers' matrices as whole numbers, and each token's activations, all with one scale.

A matrix is stored once per output channel as int8 and one fp32 scale, symmetric around zero. The
graph divides a token's activations by the largest of them, rounds the quotients to 255 levels
(FakeQuantize) and multiplies the product back. The CPU plugin makes a product of int8 values of
that, summed in whole numbers: a token's rounding depends on that
token only, and its sums are the same in any batch.

Int8Rows.group asks for a scale per so many inputs instead: finer, and slower; the plugin then makes
it of the matrix alone, where compile_graph() is given the same group.

A CPU whose sums are not exact (arithmetic.py) takes the int8 matrices and multiplies in fp32:
slower, and closer to fp32.

What lies between the products, and attention, is fp32, or bf16 where compile_graph() is told so.
Sources: Yao et al. 2022, arXiv:2206.01861, token-wise activations; docs.openvino.ai, low precision
transformations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rerankd.core.errors import StartError
from rerankd.engines.encoder import FloatWeights, Int8Rows
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.engines.openvino.arithmetic import int8_is_exact, rounded
from rerankd.engines.openvino.runtime import Node, ops, ov

_LEAST: Final = 1e-20  # a token whose activations are all 0 has a scale too


def quantize(matrix: npt.NDArray[np.float32]) -> Int8Rows:
    """A matrix (outputs, inputs) as int8 rows.

    The largest value of a row becomes 127 or -127; every value is off by half a scale at most.
    """
    largest = np.abs(matrix).max(axis=1)
    scales = np.maximum(largest / np.float32(127), np.finfo(np.float32).tiny)
    return Int8Rows(np.rint(matrix / scales[:, None]).astype(np.int8), scales)


def quantize_columns(matrix: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]) -> Int8Rows:
    """As quantize(), of a matrix whose inputs are multiplied by `columns` (inputs,) first."""
    return replace(quantize(matrix / columns), columns=columns)


@dataclass(frozen=True, slots=True)
class Int8Weights:
    """Weights whose layers multiply in int8; all other tensors are as the checkpoint has them."""

    source: FloatWeights
    prefixes: tuple[str, ...]  # matrices whose names start with one of them are rounded
    factors: Mapping[str, npt.NDArray[np.float32]] = field(  # of their inputs (calibration.py)
        default_factory=dict[str, npt.NDArray[np.float32]]
    )
    arrays: MappedArrays | None = None  # where the whole numbers lie; None = in plain memory

    def __call__(self, name: str) -> npt.NDArray[np.float32] | Int8Rows:
        """One tensor; a layer's matrix as int8 rows.

        Raises:
            StartError: it cannot be rounded, or there is no room for it.
        """
        tensor = self.source(name)
        if tensor.ndim < 2 or not name.startswith(self.prefixes):
            return tensor
        if not np.isfinite(tensor).all():
            raise StartError(f"{name} holds values that are not finite; the weights are damaged.")
        columns = self.factors.get(name)
        made = quantize(tensor) if columns is None else quantize_columns(tensor, columns)
        if self.arrays is None:
            return made
        values = self.arrays.array(made.values.shape, np.int8)
        values[...] = made.values
        return replace(made, values=values)


def product(x: Node, matrix: Int8Rows) -> Node:
    """x W^T, (..., inputs) -> (..., outputs), of whole tokens where this CPU sums int8 exactly."""
    scaled = ops.multiply(
        ops.convert(ov.op.Constant(matrix.values, shared_memory=True), "f32"),
        ov.op.Constant(matrix.scales[:, None], shared_memory=True),
    )
    if matrix.columns is not None:
        x = ops.multiply(x, ov.op.Constant(matrix.columns, shared_memory=True))
    if matrix.group or not int8_is_exact():
        return ops.matmul(x, scaled, False, True)
    last = ops.constant(np.array([-1], np.int64))
    # not reduce_max(abs(x)), which writes all of abs(x) to memory
    top = ops.maximum(ops.reduce_max(x, last, True), ops.negative(ops.reduce_min(x, last, True)))
    top = ops.maximum(top, ops.constant(np.float32(_LEAST)))
    return ops.multiply(ops.matmul(rounded(ops.divide(x, top)), scaled, False, True), top)
