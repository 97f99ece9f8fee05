"""The angles of rotary positions. Pure.

Source: Su et al. 2021, arXiv:2104.09864; every step is fp32, as in transformers
(modeling_qwen3.Qwen3RotaryEmbedding, modeling_modernbert.ModernBertRotaryEmbedding): at position
8000 the rounding of an angle is visible.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def frequencies(dim: int, theta: float) -> Floats:
    """How far neighbouring positions turn each pair of `dim` values, (dim / 2,)."""
    steps = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    turns = np.float32(1.0) / np.power(np.float32(theta), steps)
    return turns.astype(np.float32, copy=False)  # for the type checker: it is


def rotations(
    positions: npt.NDArray[np.int32], head_dim: int, theta: float, scale: float = 1.0
) -> tuple[Floats, Floats]:
    """Cosine and sine of the angles of N positions, (N, 1, head_dim / 2) each.

    With a scale every frequency is divided by it: transformers' rope type "linear".
    """
    turns = frequencies(head_dim, theta) / np.float32(scale)
    angles = positions.astype(np.float32)[:, None, None] * turns
    return np.cos(angles), np.sin(angles)
