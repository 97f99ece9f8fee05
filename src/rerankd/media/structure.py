"""What an encoded image says of itself, read before any decoder runs.

Each walker goes over the file's blocks from first to last, touching no pixel. It finds the size,
the number of frames, the number of blocks and where the image ends. A file that is damaged here,
or that goes on after its end, is refused: what follows an image is no image.

Sources: PNG 3rd edition; ITU T.81 (JPEG); GIF89a; RFC 9649 (WebP).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from rerankd.media.refused import Refused

_BLOCKS = 65_536  # chunks, segments or GIF blocks: more is no image but an attempt to cost time
_TEXTS = 64  # PNG chunks that unpack to text or a colour profile; Pillow unpacks at most 1 MiB each
_SCANS = 64  # of a progressive JPEG: each goes over all its pixels
_NO_DELAY_MS = 100  # what browsers show a frame for that does not say how long
_PACKED = {b"zTXt", b"iTXt", b"iCCP", b"tEXt"}


@dataclass(frozen=True, slots=True)
class Shape:
    """An image as its file describes it."""

    width: int
    height: int
    frames: int = 1
    seconds: float = 0.0  # of an animation


def of(kind: str, data: bytes) -> Shape:
    """The shape of an image of a known kind: "png", "jpeg", "gif" or "webp".

    Raises:
        Refused: it is damaged, goes on after its end, or has an absurd number of parts.
    """
    try:
        shape = _WALKERS[kind](data)
    except (struct.error, IndexError):
        raise _damaged(kind) from None
    if not (shape.width and shape.height and shape.frames):
        raise _damaged(kind)
    return shape


def _png(data: bytes) -> Shape:
    at, blocks, texts, frames = 8, 0, 0, 1
    if data[12:16] != b"IHDR":
        raise _damaged("png")
    width, height = struct.unpack_from(">II", data, 16)
    while True:
        size, name = struct.unpack_from(">I4s", data, at)
        at += 12 + size
        blocks += 1
        texts += name in _PACKED
        if at > len(data):
            raise _damaged("png")
        if blocks > _BLOCKS or texts > _TEXTS:
            raise Refused("the PNG has an absurd number of parts")
        if name == b"acTL":
            (frames,) = struct.unpack_from(">I", data, at - 4 - size)
        if name == b"IEND":
            break
    _at_end("png", data, at)
    return Shape(width, height, frames)


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # stuffing and restarts are pixels
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> Shape:
    """What follows the end is not read: cameras put previews, depth and videos there."""
    at, blocks, scans, shape = 2, 0, 0, Shape(0, 0)
    while True:
        found = _NEXT_MARKER.search(data, at)
        if found is None:
            raise _damaged("jpeg")
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD9:
            return shape
        (size,) = struct.unpack_from(">H", data, at)
        if marker in _FRAME_HEADERS:
            if shape.width:  # a second header would change the size after it was checked
                raise _damaged("jpeg")
            height, width = struct.unpack_from(">HH", data, at + 3)
            shape = Shape(width, height)
        blocks += 1
        scans += marker == 0xDA
        at += size
        if size < 2 or at > len(data):
            raise _damaged("jpeg")
        if blocks > _BLOCKS or scans > _SCANS:
            raise Refused("the JPEG has an absurd number of parts")


def _gif(data: bytes) -> Shape:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames, blocks = 13 + _colours(flags), 0, 0
    delay_ms, total_ms = 0, 0
    while data[at] != 0x3B:
        blocks += 1
        if data[at] == 0x21:
            if data[at + 1] == 0xF9:  # graphic control
                delay_ms = 10 * struct.unpack_from("<H", data, at + 4)[0]
            at += 2
        elif data[at] == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            width, height = max(width, left + wide), max(height, top + high)
            frames, total_ms, delay_ms = frames + 1, total_ms + (delay_ms or _NO_DELAY_MS), 0
            at += 11 + _colours(flags)
        else:
            raise _damaged("gif")
        while data[at]:
            at += 1 + data[at]
            blocks += 1
        at += 1
        if blocks > _BLOCKS + len(data) // 32:  # full sub-blocks have 255 bytes
            raise Refused("the GIF has an absurd number of parts")
    _at_end("gif", data, at + 1)
    return Shape(width, height, frames, total_ms / 1000)


def _colours(flags: int) -> int:
    """Bytes of a GIF's colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(data: bytes) -> Shape:
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise _damaged("webp")
    _at_end("webp", data, end + (size & 1 and end < len(data)))
    at, blocks, frames, total_ms, shape = 12, 0, 0, 0, Shape(0, 0)
    while at < end:
        name, size = struct.unpack_from("<4sI", data, at)
        here = _webp_size(name, data, at + 8)
        if here is not None and not shape.width:
            shape = here
        if name == b"ANMF":
            frames += 1
            total_ms += int.from_bytes(data[at + 20 : at + 23], "little") or _NO_DELAY_MS
        blocks += 1
        at += 8 + size + (size & 1)
        if blocks > _BLOCKS:
            raise Refused("the WebP has an absurd number of parts")
    return Shape(shape.width, shape.height, frames or 1, total_ms / 1000)


def _webp_size(name: bytes, data: bytes, at: int) -> Shape | None:
    if name == b"VP8X":
        wide, high = data[at + 4 : at + 7], data[at + 7 : at + 10]
        return Shape(int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1)
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, at + 1)
        return Shape((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if name == b"VP8 ":
        wide, high = struct.unpack_from("<HH", data, at + 6)
        return Shape(wide & 0x3FFF, high & 0x3FFF)
    return None


def _at_end(kind: str, data: bytes, end: int) -> None:
    if end != len(data):
        raise Refused(
            f"the {kind.upper()} goes on after its end ({len(data) - end} bytes); send the image "
            "alone"
        )


def _damaged(kind: str) -> Refused:
    return Refused(f"the {kind.upper()} is damaged or cut off")


_WALKERS: dict[str, Callable[[bytes], Shape]] = {
    "png": _png,
    "jpeg": _jpeg,
    "gif": _gif,
    "webp": _webp,
}
