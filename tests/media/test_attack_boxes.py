"""MP4 files whose tables speak of more than the file holds, refused before FFmpeg believes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest

from tests.kit.media_files import AV, box, movie, uri
from tests.kit.media_kit import VisionModel, media_of, rank, refused, seeing

DAMAGED = "the video is damaged or cut off"
HEADER = box(b"ftyp", b"isom\0\0\0\0isom")
TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
MANY = 60_000_000
TOO_MANY = "more than 262144 frames and pieces of sound"


def place(data: bytes, path: tuple[bytes, ...]) -> tuple[int, int]:
    """Start and size of a box."""
    at, end = 0, len(data)
    start = size = 0
    for wanted in path:
        while True:
            assert at < end, wanted
            size, name = struct.unpack_from(">I4s", data, at)
            if name == wanted:
                break
            at += size
        start, at, end = at, at + 8, at + size
    return start, size


def changed(data: bytes, path: tuple[bytes, ...], new: bytes) -> bytes:
    """Another box instead of one; those around it fit."""
    start, size = place(data, path)
    made = bytearray(data)
    for depth in range(1, len(path)):
        around, whole = place(data, path[:depth])
        struct.pack_into(">I", made, around, whole + len(new) - size)
    made[start : start + size] = new
    return bytes(made)


def table(name: bytes, *numbers: int) -> bytes:
    """A box of 32-bit numbers, version and flags 0."""
    return box(name, struct.pack(f">{len(numbers) + 1}I", 0, *numbers))


def samples(count: int) -> bytes:
    """All of one byte, in one chunk."""
    data = changed(movie(), (*TABLES, b"stsz"), table(b"stsz", 1, count))
    data = changed(data, (*TABLES, b"stsc"), table(b"stsc", 1, 1, count, 1))
    return changed(data, (*TABLES, b"stts"), table(b"stts", 1, count, 512))


def fragment(count: int) -> bytes:
    """A run of samples that has no table at all."""
    data = movie()
    start, size = place(data, (b"moov",))
    defaults = box(b"tfhd", struct.pack(">IIII", 0x020018, 1, 512, 1))
    run = box(b"trun", struct.pack(">III", 1, count, 8))
    moof = box(b"moof", table(b"mfhd", 1) + box(b"traf", defaults + run))
    return HEADER + data[start : start + size] + moof + box(b"mdat", bytes(64))


def edits(count: int) -> bytes:
    """Each shows the whole video once more."""
    return changed(movie(), (b"moov", b"trak", b"edts"), edit_list(count))


def edit_list(count: int) -> bytes:
    return box(b"edts", table(b"elst", count, *(1000, 0, 0x10000) * count))


def hidden(count: int) -> bytes:
    """A table where no player looks for it, and FFmpeg does."""
    more = edit_list(1) + box(b"udta", table(b"stsz", 1, count))
    return changed(movie(), (b"moov", b"trak", b"edts"), more)


def compressed() -> bytes:
    """A header that unpacks to something else."""
    data = movie()
    start, size = place(data, (b"moov",))
    inside = data[start : start + size]
    packed = box(b"cmvd", struct.pack(">I", size) + zlib.compress(inside))
    moov = box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + packed))
    return data[:start] + moov


def overlapping() -> bytes:
    """A thousand frames that are one and the same megabyte of the file."""
    frame = struct.pack(">I", 2**20 - 4) + b"\x0c" + b"\xff" * (2**20 - 5)
    data = changed(movie(), (*TABLES, b"stsz"), table(b"stsz", len(frame), 1000))
    data = changed(data, (*TABLES, b"stsc"), table(b"stsc", 1, 1, 1, 1))
    data = changed(data, (*TABLES, b"stts"), table(b"stts", 1, 1000, 512))
    chunks = table(b"stco", 1000, *[len(HEADER) + 8] * 1000)
    data = changed(data, (*TABLES, b"stco"), chunks)
    start, size = place(data, (b"moov",))
    return HEADER + box(b"mdat", frame) + data[start : start + size]


def nested(levels: int) -> bytes:
    """Boxes in boxes."""
    inner = b""
    for _ in range(levels):
        inner = box(b"trak", inner)
    return HEADER + box(b"moov", inner)


def chunks() -> bytes:
    """A thousand of billions of samples."""
    data = changed(movie(), (*TABLES, b"stsc"), table(b"stsc", 1, 1, 2**31, 1))
    return changed(data, (*TABLES, b"stco"), table(b"stco", 1000, *[48] * 1000))


BOXES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a table of many frames": (lambda: samples(MANY), TOO_MANY),
    "a fragment of many frames": (lambda: fragment(MANY), TOO_MANY),
    "a hidden table": (lambda: hidden(MANY), TOO_MANY),
    "chunks of many samples": (chunks, TOO_MANY),
    "many edits": (lambda: edits(20_000), "more than 16 edits"),
    "a compressed header": (compressed, "its header is compressed"),
    "frames in one place": (overlapping, DAMAGED),
    "boxes in boxes": (lambda: nested(3000), "no video track"),
}


@pytest.mark.parametrize("case", BOXES)
async def test_a_table_is_not_believed(case: str) -> None:
    make, says = BOXES[case]
    async with seeing() as (client, _):
        await refused(client, "video", uri(make(), "video/mp4"), says)


async def test_a_camera_s_uncompressed_sound_is_no_attack() -> None:
    """It has as many samples as a second has, and FFmpeg makes no entry for each."""
    out = BytesIO()
    with AV.open(out, "w", format="mov") as container:
        seen, heard = (
            container.add_stream("libx264", rate=1),
            container.add_stream("pcm_s16le", 8000),
        )
        seen.width, seen.height, seen.pix_fmt = 64, 48, "yuv420p"
        for i in range(40):
            grey = np.full((48, 64, 3), i, np.uint8)
            container.mux(seen.encode(AV.VideoFrame.from_ndarray(grey, format="rgb24")))
            frame = AV.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
            frame.sample_rate = 8000
            container.mux(heard.encode(frame))
        container.mux(seen.encode())
        container.mux(heard.encode())
    model = VisionModel()
    async with seeing(model=model) as (client, _):
        await rank(client, {"video": uri(out.getvalue(), "video/quicktime")})
    assert media_of(model)[0].source_frames == 40
