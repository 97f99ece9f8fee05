"""What this CPU computes rightly in int8 and in bf16, found by trying: no flag of a CPU says it.

Without an int8 dot product (VNNI) the plugin adds pairs of products in 16 bits, which overflow: a
product of large values then comes out a hundredth of what it is. Without bf16 the plugin may leave
an output empty. A product of a few values costs 10 ms, once in a process.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.engines.openvino.runtime import Model, Node, core, ops, ov

_INPUTS, _OUTPUTS = 64, 16
LEVELS: Final = 255  # -127..127
_BF16_STEP: Final = 2.0**-8  # bf16 has 8 bits of a value


def rounded(x: Node) -> Node:
    """Values of -1..1 as the nearest of 255 levels: the plugin keeps them as int8."""
    low, high = (ops.constant(np.float32(bound)) for bound in (-1, 1))
    return ops.fake_quantize(x, low, high, low, high, LEVELS)


@cache
def int8_is_exact() -> bool:
    """Whether products of int8 values, summed, are the whole numbers that they should be."""
    largest = np.full((_OUTPUTS, _INPUTS), 127, np.int8)
    largest[1::2] = -127
    x = ops.parameter([2, _INPUTS], np.float32)
    scales = ops.constant(np.full((_OUTPUTS, 1), 2.0**-7, np.float32))
    matrix = ops.multiply(ops.convert(ops.constant(largest), "f32"), scales)
    product = ops.matmul(rounded(x), matrix, False, True)
    ones = np.ones((2, _INPUTS), np.float32)
    ones[1] = -1
    expected = ones @ largest.T.astype(np.float32) * np.float32(2.0**-7)
    return _is_close(_run(product, x, ones, "f32"), expected, 1e-6)


@cache
def bf16_is_right() -> bool:
    """Whether products of bf16 values come out within the rounding of one result."""
    values = (np.arange(_OUTPUTS * _INPUTS) * 7 % 17 - 8).astype(np.float32)
    values = values.reshape(_OUTPUTS, _INPUTS)
    x = ops.parameter([_OUTPUTS, _INPUTS], np.float32)
    product = ops.matmul(x, ops.constant(values), False, True)
    return _is_close(_run(product, x, values, "bf16"), values @ values.T, _BF16_STEP)


def _run(result: Node, x: Node, values: npt.NDArray[np.float32], hint: str) -> Any:
    """What comes of values; None where the plugin would compute in anything but `hint`."""
    model: Model = ov.Model([ops.result(result)], [x], "arithmetic")
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": hint,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        compiled = core().compile_model(model, "CPU", options)
        if str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string()) != hint:
            return None
        request = compiled.create_infer_request()
        request.infer([values])
        return request.get_output_tensor(0).data.copy()
    except RuntimeError:
        return None  # refused: not right either


def _is_close(found: Any, expected: npt.NDArray[np.float32], step: float) -> bool:
    """Whether every value is there and off by `step` of the largest at most."""
    if found is None or found.shape != expected.shape:
        return False
    return bool(np.abs(found - expected).max() <= step * np.abs(expected).max())
