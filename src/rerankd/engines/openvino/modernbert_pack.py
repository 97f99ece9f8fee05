"""Rows as the arrays that ModernBERT's graph takes. Pure.

Local layers work on blocks of `reach` tokens of one row: a block sees its own tokens and as many on
each side, and a mask hides those of other rows and those too far away. Exact, and linear in the
number of tokens where a rectangle is quadratic. Every row begins a block, so that where a token
stands in its block, and with it the order of every sum, does not depend on the rows before it.

Shapes: T tokens of the batch, N blocks, w = config.reach, W keys of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.pack import SLOT_STEP, Array, pack_rows

HIDDEN = np.float32(-1e9)  # added to the attention scores of tokens that are not seen


def blocks(
    lengths: Array, reach: int, hidden: npt.NDArray[np.bool_] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """What local layers gather and hide.

    Args:
        lengths: tokens of each row, (B,), > 0.
        reach: w.
        hidden: tokens that no other looks at, (T,); None = there are none.

    Returns:
        `local_queries` (N, w) and `local_keys` (N, W), packed indexes, of whatever token where a
        block sticks out; `local_mask` (N, 1, w, W), float32; `local_tokens` (T,), the flat place of
        each packed token in `local_queries`. W is 3 w, rounded up to whole SLOT_STEPs.

    Source of the rule, |query - key| <= w: transformers,
    masking_utils.sliding_window_bidirectional_overlay.
    """
    total, width = int(lengths.sum()), -(-3 * reach // SLOT_STEP) * SLOT_STEP
    counts = -(-lengths // reach)  # blocks of each row
    row = np.repeat(np.arange(lengths.size), counts)  # of each block
    at = (np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)) * reach
    starts, ends = (np.cumsum(lengths) - lengths)[row], lengths[row][:, None]
    queries = at[:, None] + np.arange(reach)  # places in the row
    keys = at[:, None] + np.arange(-reach, width - reach)
    local_queries = np.minimum(starts[:, None] + queries, total - 1).astype(np.int32)
    local_keys = np.clip(starts[:, None] + keys, 0, total - 1).astype(np.int32)
    is_seen = np.abs(queries[:, :, None] - keys[:, None, :]) <= reach
    is_seen &= ((keys >= 0) & (keys < ends))[:, None, :]
    if hidden is not None:
        is_seen &= ~hidden[local_keys][:, None, :]
    return {
        "local_queries": local_queries,
        "local_keys": local_keys,
        "local_mask": np.where(is_seen, np.float32(0), HIDDEN)[:, None],
        "local_tokens": np.flatnonzero(queries < ends).astype(np.int32),
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
    lengths, hidden = packed["lengths"], None
    if attended is not None:
        hidden = packed["places"] >= np.repeat(attended, lengths)
        packed["lengths"] = attended
    return {
        **{name: packed[name] for name in ("ids", "slots", "tokens", "lengths", "first")},
        "positions": packed["places"],
        **blocks(lengths, config.reach, hidden),
    }
