"""int8: the layers' matrices as whole numbers, activations rounded while they are multiplied.

A matrix is stored once per output channel as int8 and one fp32 scale, symmetric around zero. The
graph multiplies it back (Convert, Multiply, MatMul); the CPU plugin recognises that form, keeps the
int8 and rounds each token's activations to int8 by groups of `group` values, each with its own
scale: dynamic quantisation, nothing to calibrate. A token's rounding depends on that token only.
Where a CPU has no int8 dot product, the plugin multiplies in fp32: slower, and closer to fp32.

What stays fp32: embeddings, norms, attention, and the head, whose few rows cost no time.
Source: docs.openvino.ai, hint::dynamic_quantization_group_size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rerankd.core.errors import StartError
from rerankd.engines.encoder import EncoderConfig, FloatWeights, Int8Rows

# Best first. On the MiniLM-L6 shape 64 is as fast as 128 and agrees better; 32 agrees better still
# and is slower. The plugin takes multiples of 16 only.
GROUPS: Final = (64, 32, 16)
_LAYERS: Final = "encoder.layer."  # tensors of the layers start so; all others are fp32


def group_size(config: EncoderConfig) -> int:
    """The group of activations that share a scale: the best that divides every matrix's inputs.

    Raises:
        StartError: none does.
    """
    for group in GROUPS:
        if config.hidden % group == 0 and config.intermediate % group == 0:
            return group
    raise StartError(
        f'quantization = "int8" needs layers whose width is a multiple of {GROUPS[-1]}; this model '
        f"has {config.hidden} and {config.intermediate}. Leave quantization unset to run it in "
        "fp32."
    )


def quantize(matrix: npt.NDArray[np.float32]) -> Int8Rows:
    """A matrix (outputs, inputs) as int8 rows.

    The largest value of a row becomes 127 or -127; every value is off by half a scale at most.
    """
    largest = np.abs(matrix).max(axis=1)
    scales = np.maximum(largest / np.float32(127), np.finfo(np.float32).tiny)
    return Int8Rows(np.rint(matrix / scales[:, None]).astype(np.int8), scales)


@dataclass(frozen=True, slots=True)
class Int8Weights:
    """Weights whose layers multiply in int8; all other tensors are as the checkpoint has them."""

    source: FloatWeights

    def __call__(self, name: str) -> npt.NDArray[np.float32] | Int8Rows:
        """One tensor; a layer's matrix as int8 rows.

        Raises:
            StartError: it cannot be rounded.
        """
        tensor = self.source(name)
        if tensor.ndim < 2 or not name.startswith(_LAYERS):
            return tensor
        if not np.isfinite(tensor).all():
            raise StartError(f"{name} holds values that are not finite; the weights are damaged.")
        return quantize(tensor)
