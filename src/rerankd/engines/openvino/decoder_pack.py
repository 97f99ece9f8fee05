"""Rows behind a past as the arrays that the decoder's graph takes. Pure.

Shapes: T own tokens of the call, B rows, S longest row, P tokens of the past, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.core.types import TokenIds
from rerankd.engines.decoder import DecoderConfig

Floats = npt.NDArray[np.float32]


def rotations(positions: npt.NDArray[np.int32], config: DecoderConfig) -> tuple[Floats, Floats]:
    """Cosine and sine of each token's angles, (T, 1, d / 2) each.

    Every step is fp32, as in transformers: at position 8000 the rounding of an angle is visible.
    Source: transformers, modeling_qwen3.Qwen3RotaryEmbedding.
    """
    steps = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    frequencies = np.float32(1.0) / np.power(np.float32(config.rope_theta), steps)
    angles = positions.astype(np.float32)[:, None, None] * frequencies[None, None, :]
    return np.cos(angles), np.sin(angles)


def pack(
    rows: Sequence[TokenIds], config: DecoderConfig, *, past: Floats, keep: bool
) -> dict[str, npt.NDArray[Any]]:
    """The graph's inputs by name (engines.openvino.qwen.Inputs).

    Args:
        rows: the own tokens of B rows, each not empty.
        config: sizes of the model.
        past: keys and values of what stands before every row, (P, 2 layers, k, d).
        keep: whether the keys and values of all own tokens are wanted.
    """
    lengths = np.fromiter((row.size for row in rows), dtype=np.int32, count=len(rows))
    starts = np.zeros_like(lengths)
    np.cumsum(lengths[:-1], out=starts[1:])
    ids = np.concatenate(rows, dtype=np.int32)
    places = np.arange(ids.size, dtype=np.int32) - np.repeat(starts, lengths)
    cos, sin = rotations(places + np.int32(past.shape[0]), config)
    columns = np.arange(lengths.max(), dtype=np.int32)[None, :]
    used = columns < lengths[:, None]
    return {
        "ids": ids,
        "cos": cos,
        "sin": sin,
        "slots": np.where(used, starts[:, None] + columns, 0).astype(np.int32),
        "tokens": np.flatnonzero(used).astype(np.int32),
        "lengths": lengths,
        "last": starts + lengths - 1,
        "keep": np.arange(ids.size if keep else 0, dtype=np.int32),
        "past": past,
    }
