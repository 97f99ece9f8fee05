"""To which size a vision model's recipe brings a picture. Pure arithmetic.

Sources: qwen_vl_utils 0.0.14, vision_process.smart_resize and the limits of fetch_video; that no
side becomes 0: transformers, image_processing_qwen2_vl.smart_resize.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAX_RATIO: Final = 200  # of the longer side to the shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLimits:
    """Pixels of a picture, after it is resized."""

    least: float
    most: float


def smart_resize(height: int, width: int, *, factor: int, limits: PixelLimits) -> tuple[int, int]:
    """Height and width: multiples of `factor` close to what they were, within the limits.

    Raises:
        ValueError: the picture is more than MAX_RATIO times as long as it is wide.
    """
    ratio = max(height, width) / min(height, width)
    if ratio > MAX_RATIO:
        raise ValueError(f"one side is {ratio:.0f} times the other; at most {MAX_RATIO} is read")
    down = max(factor, round(height / factor) * factor)
    across = max(factor, round(width / factor) * factor)
    if down * across > limits.most:
        shrink = math.sqrt(height * width / limits.most)
        down = max(factor, math.floor(height / shrink / factor) * factor)
        across = max(factor, math.floor(width / shrink / factor) * factor)
    elif down * across < limits.least:
        grow = math.sqrt(limits.least / (height * width))
        down = math.ceil(height * grow / factor) * factor
        across = math.ceil(width * grow / factor) * factor
    return down, across


def frame_limits(
    frames: int, *, least: int, most: int, total: int, together: int = 2
) -> PixelLimits:
    """What one frame of a video may have.

    Args:
        frames: how many are read.
        least: pixels of a frame.
        most: pixels of a frame.
        total: of the whole video, counted once per `together` frames.
        together: frames that share their tokens.
    """
    return PixelLimits(
        least=least, most=max(min(most, total / frames * together), int(least * 1.05))
    )
