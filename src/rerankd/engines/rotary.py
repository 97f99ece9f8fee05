"""The angles of rotary positions. Pure.

Source: Su et al. 2021, arXiv:2104.09864; every step is fp32, as in transformers
(modeling_qwen3.Qwen3RotaryEmbedding, modeling_modernbert.ModernBertRotaryEmbedding): at position
8000 the rounding of an angle is visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LowFrequencies:
    """Low frequencies divided, high ones kept, those between blended: transformers' "llama3"."""

    factor: float
    low: float  # wave lengths of over `positions` / low are divided
    high: float  # those of under `positions` / high are kept
    positions: int

    def of(self, turns: Floats) -> Floats:
        """The frequencies changed. Source: modeling_rope_utils._compute_llama3_parameters."""
        lengths = np.float32(2 * np.pi) / turns
        divided = turns / np.float32(self.factor)
        share = (np.float32(self.positions) / lengths - np.float32(self.low)) / np.float32(
            self.high - self.low
        )
        blended = (np.float32(1.0) - share) * divided + share * turns
        found = np.where(lengths > self.positions / self.low, divided, blended)
        return np.where(lengths < self.positions / self.high, turns, found).astype(np.float32)


def frequencies(dim: int, theta: float) -> Floats:
    """How far neighbouring positions turn each pair of `dim` values, (dim / 2,).

    The power is rounded once: numpy's own in fp32 is off by a unit in the last place, and where
    depends on the processor; an angle at position 8000 is then off by 2e-4.
    """
    steps = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    powers = np.power(np.float64(np.float32(theta)), steps.astype(np.float64))
    turns = np.float32(1.0) / powers.astype(np.float32)
    return turns.astype(np.float32, copy=False)  # for the type checker: it is


def rotations(
    positions: npt.NDArray[np.int32],
    head_dim: int,
    theta: float,
    scale: float = 1.0,
    stretch: LowFrequencies | None = None,
) -> tuple[Floats, Floats]:
    """Cosine and sine of the angles of N positions, (N, 1, head_dim / 2) each.

    With a scale every frequency is divided by it: transformers' rope type "linear".
    """
    turns = frequencies(head_dim, theta) / np.float32(scale)
    if stretch is not None:
        turns = stretch.of(turns)
    angles = positions.astype(np.float32)[:, None, None] * turns
    return np.cos(angles), np.sin(angles)
