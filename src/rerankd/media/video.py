"""Video bytes as sampled RGB frames, by PyAV (FFmpeg), from memory.

FFmpeg reads many formats, some of which open further files or URLs. Here it is told the one
demuxer and the few decoders that it may use, and any attempt to open something else fails. Frames
are turned by no rotation tag, as in the reference readers.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any, NoReturn

from rerankd.core.media import Pixels, VideoSampling
from rerankd.extras import TORCH, library
from rerankd.media import boxes, ebml
from rerankd.media.boxes import damaged
from rerankd.media.refused import Refused
from rerankd.media.sampling import VideoShape, checked, places
from rerankd.settings.schema import MediaSettings

Alive = Callable[[], None]  # raises when nobody waits any more

_STRUCTURES = {"mp4": boxes.check, "webm": ebml.check}
_DEMUXERS = {"mp4": "mov", "webm": "matroska"}
_DECODERS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4")
_STREAMS = 16


def inspect(kind: str, data: bytes, limits: MediaSettings, alive: Alive) -> VideoShape:
    """Size, frames and speed of a video: its packets are counted, nothing is decoded.

    Raises:
        Refused: it is damaged, cut off, over a limit, or of a codec that is not read.
        StartError: PyAV is not installed.
    """
    _whole(kind, data)
    alive = _until(time.monotonic() + limits.decode_s, limits, alive)
    with opened(kind, data, limits) as stream:
        frames = size = 0
        for packet in stream.container.demux():  # of all tracks: each is read, whoever wants it
            alive()
            size += packet.size
            if size > len(data):  # tables may say of many packets that they lie in one place
                raise damaged()
            if not packet.size or packet.stream is not stream:
                continue
            frames += 1
            if packet.is_corrupt:
                raise damaged()
            if frames > limits.video_frames:
                break
        context = stream.codec_context
        fps = float(stream.average_rate or 0)
        shape = checked(context.width, context.height, frames, fps, limits)
        if frames < stream.frames or not frames:
            raise damaged()
        return shape


def decode(
    kind: str,
    data: bytes,
    sampling: VideoSampling,
    video: VideoShape,
    limits: MediaSettings,
    alive: Alive,
) -> tuple[list[Pixels], VideoShape, list[int]]:
    """The sampled frames, the video as it turned out, and the frames' indexes.

    A few codecs have packets that show no frame. Then the count was wrong, and the frames of the
    right indexes are decoded in a second pass.

    Raises:
        Refused: it is damaged, changes its size, or takes longer than media.decode_s.
    """
    alive = _until(time.monotonic() + limits.decode_s, limits, alive)
    wanted = places(video, sampling)
    found, frames = _pass(kind, data, wanted, video, limits, alive)
    if frames != video.frames:
        found.clear()  # not held beside those of the second pass
        video = replace(video, frames=frames)
        wanted = places(video, sampling)
        found, _ = _pass(kind, data, wanted, video, limits, alive)
    return [found[place] for place in wanted], video, wanted


def _pass(
    kind: str,
    data: bytes,
    wanted: Sequence[int],
    video: VideoShape,
    limits: MediaSettings,
    alive: Alive,
) -> tuple[dict[int, Pixels], int]:
    """Decode all frames in order; keep the wanted ones, count all."""
    keep, found, index = set(wanted), dict[int, Pixels](), -1
    with opened(kind, data, limits) as stream:
        for index, frame in enumerate(_frames(stream, alive)):
            if (frame.width, frame.height) != (video.width, video.height):
                raise Refused("the video changes its size")
            if index >= video.frames:
                raise damaged()
            if index in keep:
                found[index] = frame.to_ndarray(format="rgb24")
    return found, index + 1


def _frames(stream: Any, alive: Alive) -> Iterator[Any]:
    """All frames in order. A packet may show none, so `alive` is asked for each."""
    for packet in stream.container.demux(stream):
        alive()
        for frame in packet.decode():
            yield frame
            alive()


def _until(ends: float, limits: MediaSettings, alive: Alive) -> Alive:
    def check() -> None:
        alive()
        if time.monotonic() > ends:
            raise Refused(
                f"decoding the video takes more than {limits.decode_s:g} s (media.decode_s); send "
                "a shorter or smaller one"
            )

    return check


@contextmanager
def opened(kind: str, data: bytes, limits: MediaSettings) -> Generator[Any]:
    """The video stream of a container; what goes wrong inside is its damage."""
    av = library("av", TORCH)
    options = {
        "codec_whitelist": ",".join(_DECODERS),  # holds for FFmpeg's own probing too
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
        "protocol_whitelist": "none",
        "enable_drefs": "0",  # a MOV may name other files as its tracks
        "max_streams": str(_STREAMS),
        "max_pixels": str(limits.frame_pixels),
        "err_detect": "explode",  # a damaged frame is an error, not a guess
    }
    with (
        _explained(av),
        av.open(
            _Forward(data) if kind == "webm" else BytesIO(data),
            mode="r",
            format=_DEMUXERS[kind],
            options=options,
            io_open=_open_nothing,
        ) as container,
    ):
        stream = container.streams.best("video")
        if stream is None:
            raise Refused("it has no video track")
        context = stream.codec_context
        if context is None or context.codec.name not in _DECODERS:
            raise Refused("its codec is not read; send H.264, H.265, VP8, VP9, AV1 or MPEG-4")
        context.thread_count = 1
        context.options = {key: options[key] for key in ("max_pixels", "err_detect")}
        if not (context.width and context.height):
            raise damaged()
        yield stream


class _Forward:
    """A file that cannot be rewound: FFmpeg reads it in the order in which it was checked."""

    def __init__(self, data: bytes) -> None:
        self.read = BytesIO(data).read


@contextmanager
def _explained(av: Any) -> Generator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError, UnicodeError, MemoryError, PermissionError):
        raise damaged() from None


def _open_nothing(*_: object) -> NoReturn:
    raise PermissionError("a video opens no other file")


def _whole(kind: str, data: bytes) -> None:
    """The outermost blocks fill the file exactly: nothing is cut off, nothing comes after.

    Raises:
        Refused: they do not.
    """
    try:
        _STRUCTURES[kind](data)
    except (struct.error, IndexError):
        raise damaged() from None
