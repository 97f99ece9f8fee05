"""A caller's images and videos as what Qwen3-VL looks at: resized frames, and when they are shown.

Images are resized by Pillow, bicubic, as the reference does (qwen_vl_utils.fetch_image). So are the
frames of a video, where the reference uses torchvision's bicubic with antialiasing, which rounds a
little differently.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
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
class Seen:
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


def see_image(media: Media) -> Seen:
    """An image within IMAGE's limits.

    Raises:
        ValueError: it is too narrow to be read.
    """
    size = smart_resize(media.height, media.width, factor=FACTOR, limits=IMAGE)
    return Seen((_visual(media, _resized(media.frames[:1], size), "image"),))


def see_video(media: Media) -> Seen:
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
    resized = _resized(frames, size)
    starts = range(0, len(frames), TOGETHER)
    return Seen(
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


def _resized(frames: Sequence[Pixels], size: tuple[int, int]) -> Frames:
    """Frames in another size, (F, *size, 3)."""
    image = _pillow()
    height, width = size
    made = np.empty((len(frames), height, width, 3), dtype=np.uint8)
    for i, frame in enumerate(frames):
        whole = image.fromarray(np.ascontiguousarray(frame))
        made[i] = np.asarray(whole.resize((width, height), resample=image.Resampling.BICUBIC))
    return made


def _pillow() -> Any:
    """PIL.Image: of the extra, so it is imported where it is used."""
    return importlib.import_module("PIL.Image")
