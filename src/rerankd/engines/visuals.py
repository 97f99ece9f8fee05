"""Rows with pictures in them, as arrays: which features stand where, and every place. Pure numpy.

Shapes: L tokens of a row, T tokens of a call, N patches, d head size.
Sources: transformers, modeling_qwen3_vl.Qwen3VLModel.get_rope_index, vision_utils
(get_vision_position_ids, get_vision_interpolation_indices_and_weights), and the layout of
image_processing_qwen2_vl.patchify.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.core.visual import Visual
from rerankd.engines.pack import Array
from rerankd.engines.vision_config import TEMPORAL, VisionConfig

Floats = npt.NDArray[np.float32]


def with_image_ids(rows: Sequence[Row], vocab: int) -> tuple[list[Row], list[Visual]]:
    """Rows whose ids tell pictures apart, and the distinct pictures of the rows.

    Two images have the same placeholder ids. Here each token of a picture has an id of its own
    behind the vocabulary: vocab + n is the n-th token of the distinct pictures, one after the
    other. So what compares ids (engines.shared_prefix) never takes one picture for another.
    """
    starts: dict[bytes, int] = {}
    distinct: list[Visual] = []
    made: list[Row] = []
    total = vocab
    for row in rows:
        if not row.visuals:
            made.append(row)
            continue
        ids = row.ids.copy()
        for placed in row.visuals:
            visual = placed.visual
            start = starts.setdefault(visual.digest, total)
            if start == total:
                distinct.append(visual)
                total += visual.tokens
            ids[placed.at : placed.end] = np.arange(start, start + visual.tokens)
        made.append(Row(ids, row.second))
    return made, distinct


def mrope_positions(row: Row) -> Array:
    """Time, row and column of every token, (L, 3).

    Text counts on in all three. The tokens of a picture share one time, and count rows and columns
    from there; what follows goes on behind the largest of them.
    """
    positions = np.empty((row.tokens, 3), dtype=np.int32)
    done, place = 0, 0
    for placed in row.visuals:
        count = placed.at - done
        positions[done : placed.at] = np.arange(place, place + count)[:, None]
        place += count
        down, across = placed.visual.grid
        own = positions[placed.at : placed.end].reshape(down, across, 3)
        own[..., 0] = place
        own[..., 1] = place + np.arange(down)[:, None]
        own[..., 2] = place + np.arange(across)
        place += max(down, across)
        done = placed.end
    positions[done:] = np.arange(place, place + row.tokens - done)[:, None]
    return positions


def mrope_axes(head_dim: int, sections: tuple[int, int, int]) -> Array:
    """Which of time (0), row (1) and column (2) turns each frequency, (d / 2,): interleaved."""
    axes = np.zeros(head_dim // 2, dtype=np.int32)
    for axis in (1, 2):
        axes[axis : 3 * sections[axis] : 3] = axis
    return axes


def patches(visual: Visual, config: VisionConfig) -> npt.NDArray[np.uint8]:
    """Pixels patch by patch, (N, patch_values), values as (channel, frame, y, x).

    The patches of a token lie behind one another; tokens are in reading order. An image is its own
    next frame.
    """
    frames = np.broadcast_to(visual.frames, (TEMPORAL, *visual.frames.shape[1:]))
    (down, across), m, p = visual.grid, config.merge, config.patch
    split = frames.reshape(TEMPORAL, down, m, p, across, m, p, 3)
    return split.transpose(1, 4, 2, 5, 7, 0, 3, 6).reshape(-1, config.patch_values)


def patch_places(visual: Visual, config: VisionConfig) -> Array:
    """Row and column of every patch in its picture, (N, 2), in the order of patches()."""
    (down, across), m = visual.grid, config.merge
    rows, columns = np.indices((down * m, across * m), dtype=np.int32)
    both = np.stack([rows, columns], axis=-1).reshape(down, m, across, m, 2)
    return both.transpose(0, 2, 1, 3, 4).reshape(-1, 2)


def position_taps(visual: Visual, config: VisionConfig) -> tuple[Array, Floats]:
    """Rows of the position table that a patch's position is mixed of, and how much, (N, 4) each.

    The square table is stretched over the picture, corners on corners, bilinear.
    """
    places, side = patch_places(visual, config), config.side
    taps: list[Array] = []
    weights: list[Floats] = []
    for axis, size in enumerate(visual.grid):
        last = max(size * config.merge - 1, 1)
        exact = places[:, axis].astype(np.float32) * np.float32(side - 1) / np.float32(last)
        low = np.floor(exact)
        part = exact - low
        first = low.astype(np.int32)
        taps.append(np.stack([first, np.minimum(first + 1, side - 1)], axis=1))
        weights.append(np.stack([np.float32(1) - part, part], axis=1))
    index = taps[0][:, :, None] * side + taps[1][:, None, :]
    share = weights[0][:, :, None] * weights[1][:, None, :]
    return index.reshape(-1, 4).astype(np.int32), share.reshape(-1, 4).astype(np.float32)


def misplaced(row: Row, config: VisionConfig) -> str:
    """What an engine could not run of a row's pictures, in words; empty = nothing."""
    done, pixels = 0, config.token_pixels
    for placed in row.visuals:
        frames, (down, across) = placed.visual.frames, placed.visual.grid
        fits = frames.shape[0] in (1, TEMPORAL)
        if not fits or frames.shape[1:] != (down * pixels, across * pixels, 3):
            return f"a picture of shape {frames.shape} for {down} by {across} tokens"
        if not (done <= placed.at and placed.end <= row.tokens and placed.visual.tokens > 0):
            return f"a picture at token {placed.at} of {row.tokens}, which has no room there"
        done = placed.end
    return ""
