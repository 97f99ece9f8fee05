"""A caller's images and videos as what Qwen3-VL looks at: resized frames, and when they are shown.

Images are resized by Pillow, bicubic, as the reference does (qwen_vl_utils.fetch_image). For frames
of a video the reference takes torchvision's bicubic with antialiasing (fetch_video): the same
filter, but with no rounding between its two passes. Pillow does that for floats; what comes out is
torchvision's but for a few values that lie between two levels, and then it is the neighbour.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.media import Media, Pixels, VideoSampling
from rerankd.core.visual import Frames, Visual
from rerankd.models.smart_resize import PixelLimits, frame_limits, smart_resize

FACTOR: Final = 32  # pixels of a token, down and across
_TOKEN: Final = FACTOR * FACTOR
IMAGE: Final = PixelLimits(least=4 * _TOKEN, most=1800 * _TOKEN)
FRAME_TOKENS: Final = (128, 768)  # of two frames together, least and most
VIDEO_TOKENS: Final = 10 * 768  # of all frames
TOGETHER: Final = 2  # frames that share their tokens
SAMPLING: Final = VideoSampling(fps=1.0, min_frames=4, max_frames=64, factor=TOGETHER)


@dataclass(frozen=True, slots=True)
class ProcessedMedia:
    """One image or video, ready for a row."""

    visuals: tuple[Visual, ...]  # of a video, two frames each
    seconds: tuple[float, ...] = ()  # of a video: when each visual is shown


def require_pillow() -> None:
    """Find Pillow before a model is served.

    Raises:
        StartError: it is not installed.
    """
    try:
        _pillow()
    except ModuleNotFoundError as error:
        raise StartError(
            "This model resizes images with Pillow, which is not installed: "
            "pip install 'rerankd[torch]'."
        ) from error


def process_image(media: Media) -> ProcessedMedia:
    """An image within IMAGE's limits.

    Raises:
        ValueError: it is too narrow to be read.
    """
    size = smart_resize(media.height, media.width, factor=FACTOR, limits=IMAGE)
    return ProcessedMedia((_visual(media, _resized(media.frames[0], size)[None], "image"),))


def process_video(media: Media) -> ProcessedMedia:
    """A video's sampled frames, two by two; an odd last one is shown twice.

    Raises:
        ValueError: it is too narrow to be read.
    """
    frames, seconds = list(media.frames), list(media.seconds)
    while len(frames) % TOGETHER:
        frames.append(frames[-1])
        seconds.append(seconds[-1])
    least, most = (tokens * _TOKEN for tokens in FRAME_TOKENS)
    limits = frame_limits(
        len(frames), least=least, most=most, total=VIDEO_TOKENS * _TOKEN, together=TOGETHER
    )
    size = smart_resize(media.height, media.width, factor=FACTOR, limits=limits)
    resized = np.stack([_resized_exactly(frame, size) for frame in frames])
    starts = range(0, len(frames), TOGETHER)
    return ProcessedMedia(
        tuple(_visual(media, resized[i : i + TOGETHER], f"video {i}") for i in starts),
        tuple((seconds[i] + seconds[i + TOGETHER - 1]) / 2 for i in starts),
    )


def _visual(media: Media, frames: Frames, part: str) -> Visual:
    """What a digest stands for is the bytes, which part of them, and how it was resized."""
    _, height, width, _ = frames.shape
    named = f"{part} {len(media.frames)} {height} {width} ".encode()
    return Visual(
        frames=frames,
        grid=(height // FACTOR, width // FACTOR),
        digest=sha256(named + media.digest).digest(),
    )


def _resized(frame: Pixels, size: tuple[int, int]) -> Pixels:
    """A frame in another size, (*size, 3), each pass rounded."""
    image = _pillow()
    whole = image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(whole.resize((size[1], size[0]), resample=image.Resampling.BICUBIC))


def _resized_exactly(frame: Pixels, size: tuple[int, int]) -> Pixels:
    """The same, rounded once, half to even."""
    image = _pillow()
    made = np.empty((*size, 3), dtype=np.uint8)
    for channel in range(3):
        plane = image.fromarray(frame[:, :, channel].astype(np.float32))
        exact = plane.resize((size[1], size[0]), resample=image.Resampling.BICUBIC)
        made[:, :, channel] = np.rint(np.asarray(exact).clip(0, 255))
    return made


def _pillow() -> Any:
    """PIL.Image: of the extra, so it is imported where it is used."""
    return importlib.import_module("PIL.Image")
