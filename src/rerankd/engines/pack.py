"""Rows as the arrays that the graph takes. Pure.

Shapes: T tokens of the batch, B rows, S longest row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.engines.encoder import EncoderConfig

Array = npt.NDArray[np.int32]


def _positions(ids: Array, places: Array, config: EncoderConfig) -> Array:
    """Rows of the position table, (T,).

    RoBERTa counts only tokens that are not the pad id, and gives a pad id (which a document may
    spell out) the pad's own position. Source: transformers,
    modeling_roberta.create_position_ids_from_input_ids.
    """
    if config.architecture != "xlm-roberta":
        return places
    pads = ids == config.pad_id
    if not pads.any():
        return places + np.int32(config.first_position)
    row = np.cumsum(places == 0) - 1
    seen = np.cumsum(pads)
    before = (seen - pads)[places == 0]  # pads in earlier rows
    counted = places + 1 - (seen - before[row])
    return np.where(pads, config.pad_id, counted + config.pad_id).astype(np.int32)


# Slots per row are a multiple of this. The softmax kernels sum a row of scores in vectors and treat
# a remainder another way, so that the width of a batch showed in the last bits of its scores; int8
# rounds to neighbours and would make much more of it. No CPU has vectors of more than 16 floats.
SLOT_STEP = 16


def pack_rows(rows: Sequence[Row]) -> dict[str, Array]:
    """What every packed graph takes, and `places`, (T,): each token's place in its row."""
    lengths = np.fromiter((row.tokens for row in rows), dtype=np.int32, count=len(rows))
    starts = np.zeros_like(lengths)
    np.cumsum(lengths[:-1], out=starts[1:])
    ids = np.concatenate([row.ids for row in rows], dtype=np.int32)
    width = -(-int(lengths.max()) // SLOT_STEP) * SLOT_STEP
    columns = np.arange(width, dtype=np.int32)[None, :]
    used = columns < lengths[:, None]
    return {
        "ids": ids,
        "places": np.arange(ids.size, dtype=np.int32) - np.repeat(starts, lengths),
        "slots": np.where(used, starts[:, None] + columns, 0).astype(np.int32),
        "tokens": np.flatnonzero(used).astype(np.int32),
        "lengths": lengths,
        "first": starts,
    }


def pack_typed(rows: Sequence[Row]) -> dict[str, Array]:
    """The inputs of engines.openvino.blocks.Packing by name; positions count from 0."""
    packed = pack_rows(rows)
    places = packed.pop("places")
    seconds = np.fromiter((row.second for row in rows), dtype=np.int32, count=len(rows))
    types = (places >= np.repeat(seconds, packed["lengths"])).astype(np.int32)
    return {**packed, "types": types, "positions": places}


def pack(rows: Sequence[Row], config: EncoderConfig) -> dict[str, Array]:
    """As pack_typed(), with the positions of the model's table."""
    packed = pack_typed(rows)
    return packed | {"positions": _positions(packed["ids"], packed["positions"], config)}
