"""Rows behind a past as the arrays that the decoder's graph takes. Pure.

Shapes: T own tokens of the call, B rows, S longest row, P tokens of the past, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import TokenIds
from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.rotary import rotations

MIN_TOKENS = 3  # of one call
Floats = npt.NDArray[np.float32]


def _with_unread(values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Values (T, …) with the first one repeated `count` times behind them."""
    return np.concatenate([values, np.repeat(values[:1], count, axis=0)]) if count else values


def pack(
    rows: Sequence[TokenIds], config: DecoderConfig, *, past: Floats, keep: bool
) -> dict[str, npt.NDArray[Any]]:
    """The graph's inputs by name (engines.openvino.qwen.QwenInputs).

    For calls of one and of two tokens the CPU plugin would pack every matrix once more each, and
    keep that (2026.4.1); so such a call gets tokens that nothing reads.

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
    cos, sin = rotations(places + np.int32(past.shape[0]), config.head_dim, config.rope_theta)
    columns = np.arange(lengths.max(), dtype=np.int32)[None, :]
    used = columns < lengths[:, None]
    unread = max(0, MIN_TOKENS - ids.size)
    return {
        "ids": _with_unread(ids, unread),
        "cos": _with_unread(cos, unread),
        "sin": _with_unread(sin, unread),
        "slots": np.where(used, starts[:, None] + columns, 0).astype(np.int32),
        "tokens": _with_unread(np.flatnonzero(used).astype(np.int32), unread),
        "lengths": lengths,
        "last": starts + lengths - 1,
        "keep": np.arange(ids.size if keep else 0, dtype=np.int32),
        "past": past,
    }
