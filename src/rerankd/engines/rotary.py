"""The angles of rotary positions. Pure.

Source: Su et al. 2021, arXiv:2104.09864; every step is fp32, as in transformers
(modeling_qwen3.Qwen3RotaryEmbedding, modeling_modernbert.ModernBertRotaryEmbedding): at position
8000 the rounding of an angle is visible.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def rotations(
    positions: npt.NDArray[np.int32], head_dim: int, theta: float
) -> tuple[Floats, Floats]:
    """Cosine and sine of the angles of N positions, (N, 1, head_dim / 2) each."""
    steps = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.float32(1.0) / np.power(np.float32(theta), steps)
    angles = positions.astype(np.float32)[:, None, None] * frequencies[None, None, :]
    return np.cos(angles), np.sin(angles)
