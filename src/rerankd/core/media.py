"""A decoded image or video: what media/ makes of the caller's bytes, and what a model reads.

Frozen data; the pixels are the caller's own, neither resized nor normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # shape (H, W, 3), RGB

Source = Literal["url", "data-uri", "base64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSampling:
    """Which frames of a video a model's recipe reads: evenly spaced, first and last included."""

    fps: float  # frames read per second shown
    min_frames: int
    max_frames: int
    factor: int = 1  # their number is a multiple of this


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Media:
    """One image, or the sampled frames of one video."""

    frames: tuple[Pixels, ...]  # one for an image; of a video the sampled ones, in order, one size
    digest: bytes  # SHA-256 of the encoded bytes: equal digests are equal media
    format: str  # what the bytes were, in lower case: "png", "jpeg", "webp", "gif", "mp4"
    encoded_bytes: int
    source: Source
    seconds: tuple[float, ...] = ()  # of a video: when each sampled frame is shown
    source_frames: int = 1  # of a video: how many frames it has
    source_fps: float = 0.0  # of a video: frames per second as it came

    @property
    def width(self) -> int:
        """Pixels."""
        return self.frames[0].shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.frames[0].shape[0]

    @property
    def decoded_bytes(self) -> int:
        """What the frames take in memory."""
        return sum(frame.nbytes for frame in self.frames)
