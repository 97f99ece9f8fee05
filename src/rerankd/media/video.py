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

from rerankd.core.extra import TORCH, library
from rerankd.core.media import Pixels, VideoSampling
from rerankd.media.limits import MediaLimits, Refused
from rerankd.media.sampling import VideoShape, checked, places

Alive = Callable[[], None]  # raises when nobody waits any more

_DEMUXERS = {"mp4": "mov", "webm": "matroska"}
_DECODERS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4")
_STREAMS = 16
_BOXES = 65_536
_TO_REFERENCES = {b"trak", b"mdia", b"minf", b"dinf"}  # boxes around a list of where tracks lie


def inspect(kind: str, data: bytes, limits: MediaLimits, alive: Alive) -> VideoShape:
    """Size, frames and speed of a video: its packets are counted, nothing is decoded.

    Raises:
        Refused: it is damaged, cut off, over a limit, or of a codec that is not read.
        StartError: PyAV is not installed.
    """
    _whole(kind, data)
    with _opened(kind, data, limits) as stream:
        frames = 0
        for packet in stream.container.demux(stream):
            if packet.size:
                frames += 1
                if packet.is_corrupt:
                    raise _damaged()
            if frames > limits.video_frames:
                break
            alive()
        context = stream.codec_context
        fps = float(stream.average_rate or 0)
        shape = checked(context.width, context.height, frames, fps, limits)
        if frames < stream.frames or not frames:
            raise _damaged()
        return shape


def decode(
    kind: str,
    data: bytes,
    sampling: VideoSampling,
    video: VideoShape,
    limits: MediaLimits,
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
        video = replace(video, frames=frames)
        wanted = places(video, sampling)
        found, _ = _pass(kind, data, wanted, video, limits, alive)
    return [found[place] for place in wanted], video, wanted


def _pass(
    kind: str,
    data: bytes,
    wanted: Sequence[int],
    video: VideoShape,
    limits: MediaLimits,
    alive: Alive,
) -> tuple[dict[int, Pixels], int]:
    """Decode all frames in order; keep the wanted ones, count all."""
    keep, found, index = set(wanted), dict[int, Pixels](), -1
    with _opened(kind, data, limits) as stream:
        for index, frame in enumerate(stream.container.decode(stream)):
            if (frame.width, frame.height) != (video.width, video.height):
                raise Refused("the video changes its size")
            if index >= video.frames:
                raise _damaged()
            if index in keep:
                found[index] = frame.to_ndarray(format="rgb24")
            alive()
    return found, index + 1


def _until(ends: float, limits: MediaLimits, alive: Alive) -> Alive:
    def check() -> None:
        alive()
        if time.monotonic() > ends:
            raise Refused(
                f"decoding the video takes more than {limits.decode_s:g} s (media.decode_s); send "
                "a shorter or smaller one"
            )

    return check


@contextmanager
def _opened(kind: str, data: bytes, limits: MediaLimits) -> Generator[Any]:
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
            BytesIO(data), mode="r", format=_DEMUXERS[kind], options=options, io_open=_open_nothing
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
            raise _damaged()
        yield stream


@contextmanager
def _explained(av: Any) -> Generator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError, UnicodeError, MemoryError, PermissionError):
        raise _damaged() from None


def _open_nothing(*_: object) -> NoReturn:
    raise PermissionError("a video opens no other file")


def _whole(kind: str, data: bytes) -> None:
    """The outermost blocks fill the file exactly: nothing is cut off, nothing comes after.

    Raises:
        Refused: they do not.
    """
    try:
        (_boxes if kind == "mp4" else _elements)(data)
    except (struct.error, IndexError):
        raise _damaged() from None


def _boxes(data: bytes) -> None:
    for name, start, end in _inside(data, 0, len(data)):
        if name == b"moov":
            _own_tracks(data, start, end)


def _own_tracks(data: bytes, start: int, end: int) -> None:
    """No track lies in another file. FFmpeg would not open it; it is refused all the same."""
    for name, inner, inner_end in _inside(data, start, end):
        if name in _TO_REFERENCES:
            _own_tracks(data, inner, inner_end)
        elif name == b"dref":
            for _, entry, _ in _inside(data, inner + 8, inner_end):
                if not data[entry + 3] & 1:  # self-contained
                    raise Refused("a track of the video lies in another file")


def _inside(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places: name, start and end of what is in each.

    ISO 14496-12: 32-bit size, name; size 1: a 64-bit size follows; size 0: to the end.
    """
    for _ in range(_BOXES):
        if at == end or (end - at == 4 and data[at:end] == b"\0\0\0\0"):  # QuickTime ends lists so
            return
        size, name = struct.unpack_from(">I4s", data, at)
        head = 16 if size == 1 else 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        size = size or end - at
        if size < head or at + size > end:
            raise _damaged()
        yield name, at + head, at + size
        at += size
    raise _damaged()


def _elements(data: bytes) -> None:
    """RFC 8794: an EBML header, then a Segment, which may not say how long it is."""
    at = _element(data, 0)
    if at is None or data[at : at + 4] != b"\x18\x53\x80\x67":
        raise _damaged()
    end = _element(data, at)
    if end is not None and end != len(data):
        raise _damaged()


def _element(data: bytes, at: int) -> int | None:
    """Where the element at `at`, with a 4-byte id, ends; None when it does not say."""
    first = data[at + 4]
    length = 9 - first.bit_length()
    if length > 8:
        raise _damaged()
    value = int.from_bytes(data[at + 4 : at + 4 + length], "big") & (1 << 7 * length) - 1
    unknown = value == (1 << 7 * length) - 1
    return None if unknown else at + 4 + length + value


def _damaged() -> Refused:
    return Refused("the video is damaged or cut off")
