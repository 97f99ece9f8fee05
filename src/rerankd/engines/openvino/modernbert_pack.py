"""Rows as the arrays that ModernBERT's graph takes. Pure.

Local layers work on blocks of the packed tokens, whatever row they are of: a block of `reach`
queries sees its own tokens and as many on each side, and a mask hides those of other rows and
those too far away. Exact, and linear in the number of tokens where a rectangle is quadratic.

Shapes: T tokens of the batch, N blocks, w = config.reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.pack import Array, pack_rows

HIDDEN = np.float32(-1e9)  # added to the attention scores of tokens that are not seen


def blocks(
    positions: Array, reach: int, hidden: npt.NDArray[np.bool_] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """What local layers gather and hide.

    Args:
        positions: place of each packed token in its row, (T,).
        reach: w.
        hidden: tokens that no other looks at, (T,); None = there are none.

    Returns:
        `local_queries` (N, w) and `local_keys` (N, 3 w), packed indexes, the last (or first) token
        where a block sticks out; `local_mask` (N, 1, w, 3 w), float32.

    Source of the rule, |query - key| <= w: transformers,
    masking_utils.sliding_window_bidirectional_overlay.
    """
    total = positions.size
    indexes = np.arange(total, dtype=np.int32)
    starts = indexes - positions  # (T,) where each token's row starts: which row it is of
    count = -(-total // reach)
    queries = np.arange(count * reach, dtype=np.int32).reshape(count, reach)
    keys = queries[:, :1] + np.arange(-reach, 2 * reach, dtype=np.int32)[None, :]
    local_queries = np.minimum(queries, total - 1)
    local_keys = np.clip(keys, 0, total - 1)
    is_seen = np.abs(queries[:, :, None] - keys[:, None, :]) <= reach
    is_seen &= starts[local_queries][:, :, None] == starts[local_keys][:, None, :]
    is_seen &= (local_keys == keys)[:, None, :]
    if hidden is not None:
        is_seen &= ~hidden[local_keys][:, None, :]
    return {
        "local_queries": local_queries,
        "local_keys": local_keys,
        "local_mask": np.where(is_seen, np.float32(0), HIDDEN)[:, None],
    }


def pack(
    rows: Sequence[Row], config: ModernBertConfig, attended: Array | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The graph's inputs by name (engines.openvino.modernbert.ModernBertInputs).

    Args:
        rows: B of them.
        config: sizes.
        attended: how many tokens of each row, from its first, others look at, (B,); None = all.
    """
    packed = pack_rows(rows)
    hidden = None
    if attended is not None:
        hidden = packed["places"] >= np.repeat(attended, packed["lengths"])
        packed["lengths"] = attended
    return {
        **{name: packed[name] for name in ("ids", "slots", "tokens", "lengths", "first")},
        "positions": packed["places"],
        **blocks(packed["places"], config.reach, hidden),
    }
