"""Rows as the arrays that DeBERTa's graph takes, and its tables of relative positions. Pure.

Shapes: S longest row of the batch, h hidden size, P = 2 config.span rows of the position table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.engines.deberta_config import POSITIONS, POSITIONS_NORM, DebertaConfig, Term
from rerankd.engines.encoder import FloatWeights
from rerankd.engines.pack import Array, pack_rows

Floats = npt.NDArray[np.float32]


def position_rows(distances: Array, config: DebertaConfig) -> Array:
    """Row of the position table of each distance, query minus key.

    Near distances have a row each, far ones share rows that grow with the logarithm. Every step is
    fp32, as in transformers. Source: He et al. 2021, arXiv:2006.03654, as transformers has it in
    modeling_deberta_v2.make_log_bucket_position.
    """
    rows = distances
    if config.buckets is not None:
        middle = config.buckets // 2
        near = np.abs(distances) <= middle
        far = np.where(near, middle, np.abs(distances)).astype(np.float32) / np.float32(middle)
        most = np.log(np.float32((config.max_distance - 1) / middle))
        grown = np.ceil(np.log(far) / most * np.float32(middle - 1)) + np.float32(middle)
        rows = np.where(near, distances, grown * np.sign(distances)).astype(np.int32)
    return np.clip(rows + config.span, 0, 2 * config.span - 1).astype(np.int32)


def position_table(config: DebertaConfig, weights: FloatWeights) -> Floats:
    """The table of relative positions, normalised where the model does so, (P, h)."""
    table = weights(POSITIONS)
    if not config.norm_positions:
        return table
    centred = table - table.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt(variance + np.float32(config.layer_norm_eps))
    return scaled * weights(f"{POSITIONS_NORM}.weight") + weights(f"{POSITIONS_NORM}.bias")


def projected(
    table: Floats, config: DebertaConfig, weights: FloatWeights, layer: int, term: Term
) -> Floats:
    """The positions of one layer and term, head by head, (a, P, d): the same for every batch."""
    name = config.projection(layer, term)
    flat = table @ weights(f"{name}.weight").T + weights(f"{name}.bias")
    heads = flat.reshape(len(table), config.heads, config.head_dim)
    return np.ascontiguousarray(heads.transpose(1, 0, 2))


def pack(rows: Sequence[Row], config: DebertaConfig) -> dict[str, Array]:
    """The graph's inputs by name (engines.openvino.deberta.DebertaInputs)."""
    packed = pack_rows(rows)
    places = packed.pop("places")
    lengths = packed["lengths"]
    width = packed["slots"].shape[1]
    # one distance more than there are: engines.openvino.deberta.skewed() drops it
    distances = np.arange(width - 1, -width - 1, -1, dtype=np.int32)
    packed["near"] = position_rows(distances, config)
    packed["far"] = position_rows(-distances, config)
    if config.token_types:
        seconds = np.fromiter((row.second for row in rows), dtype=np.int32, count=len(rows))
        packed["types"] = (places >= np.repeat(seconds, lengths)).astype(np.int32)
    return packed
