"""Which frames of a video are read: qwen_vl_utils 0.0.14's smart_nframes and linspace, in Python.

Source: qwen_vl_utils/vision_process.py, smart_nframes and _read_video_torchcodec.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rerankd.core.media import VideoSampling
from rerankd.media.refused import Refused
from rerankd.settings.schema import MediaSettings


@dataclass(frozen=True, slots=True)
class VideoShape:
    """A video as its file describes it, within the limits."""

    width: int
    height: int
    frames: int
    fps: float


def checked(width: int, height: int, frames: int, fps: float, limits: MediaSettings) -> VideoShape:
    """Refuse what is too large or too long. Raises Refused."""
    if width * height > limits.frame_pixels:
        raise Refused(
            f"it has {width} × {height} pixels per frame; the limit is {limits.frame_pixels} "
            "(media.frame_pixels); send a smaller one"
        )
    if frames > limits.video_frames:
        raise Refused(
            f"it has more than {limits.video_frames} frames (media.video_frames); send a part of it"
        )
    if not (math.isfinite(fps) and fps > 0):
        raise Refused("it does not say how fast it is shown")
    if frames / fps > limits.video_s:
        raise Refused(
            f"it lasts {frames / fps:.0f} s; the limit is {limits.video_s:g} s (media.video_s); "
            "send a part of it"
        )
    return VideoShape(width, height, frames, fps)


def places(video: VideoShape, sampling: VideoSampling) -> list[int]:
    """The indexes of the frames that are read, in order.

    Raises:
        Refused: it has fewer frames than the model needs.
    """
    factor = sampling.factor
    fewest = math.ceil(sampling.min_frames / factor) * factor
    most = sampling.max_frames // factor * factor
    wanted = video.frames / video.fps * sampling.fps
    count = int(min(max(wanted, fewest), most, video.frames)) // factor * factor
    if count < factor:
        raise Refused(f"it has {video.frames} frames; a video needs at least {factor}")
    return spaced(video.frames, count)


def spaced(frames: int, count: int) -> list[int]:
    """`torch.linspace(0, frames - 1, count).round()`: evenly spaced, first and last included.

    torch computes in float32 from both ends, so that frames that lie half-way fall as there; equal
    for up to 64 of 20,000 frames, with more the last bit can differ (tests/media/test_pixels.py).
    """
    import numpy as np

    single = np.float32
    if count == 1:
        return [0]
    step = single(frames - 1) / single(count - 1)
    ahead = [step * single(i) for i in range(count // 2)]
    behind = [single(frames - 1) - step * single(count - 1 - i) for i in range(count // 2, count)]
    return [int(np.round(at)) for at in (*ahead, *behind)]
