"""Layers that a checkpoint keeps in folders of their own, behind the encoder's body.

Source: sentence-transformers 6.2, base/modules/dense.py and sentence_transformer/modules/
layer_norm.py; PyLate 1.6, models/Dense.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
PoolingMode = Literal["cls", "mean", "max", "lasttoken", "mean_sqrt_len_tokens"]
DenseActivation = Literal["identity", "tanh", "gelu", "relu", "sigmoid", "silu"]  # gelu: by erf


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dense:
    """activation(x W^T + b), plus the input where there is a residual, (..., i) -> (..., o)."""

    weight: Floats  # (o, i)
    bias: Floats | None = None  # (o,)
    activation: DenseActivation = "identity"
    is_residual: bool = False
    residual: Floats | None = None  # (o, i), of the input that is added; None = as it is

    @property
    def inputs(self) -> int:
        """Values of a vector before it."""
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        """Values of a vector behind it."""
        return int(self.weight.shape[0])


def unit(x: Floats) -> Floats:
    """Vectors of length 1 along the last axis, as torch.nn.functional.normalize makes them."""
    norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))
    return x / np.maximum(norm, np.float32(1e-12))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DenseNorm:
    """Layer normalisation over the last axis, (..., o) -> (..., o)."""

    weight: Floats  # (o,)
    bias: Floats  # (o,)
    eps: float = 1e-5

    @property
    def outputs(self) -> int:
        """Values of a vector behind it."""
        return int(self.weight.shape[0])


BehindLayer = Dense | DenseNorm
