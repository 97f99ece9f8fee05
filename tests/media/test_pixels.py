"""Pixels and frames are those of the reference, qwen_vl_utils 0.0.14."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rerankd.core.media import VideoSampling
from rerankd.media import animation as reader
from rerankd.media import image, sniff, structure
from rerankd.media.refused import Refused
from rerankd.media.sampling import VideoShape, places, spaced
from tests.kit.media_files import animation, chunk, picture
from tests.kit.media_kit import SAMPLING, limits


def reference_pixels(data: bytes) -> np.ndarray[Any, Any]:
    """vision_process.py: fetch_image up to its resize, with to_rgb, verbatim in effect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = Image.open(BytesIO(data))
        opened.load()
        if opened.mode == "RGBA":
            white = Image.new("RGB", opened.size, (255, 255, 255))
            white.paste(opened, mask=opened.split()[3])
            return np.array(white)
        return np.array(opened.convert("RGB"))


def saved(mode: str, form: str = "PNG", **options: Any) -> bytes:
    """Noise in a mode."""
    noise = np.random.default_rng(7).integers(0, 256, (24, 32, 4), np.uint8)
    made = Image.fromarray(noise, "RGBA") if mode != "I;16" else None
    out = BytesIO()
    if made is None:
        wide = np.random.default_rng(7).integers(0, 65536, (24, 32)).astype(np.uint16)
        Image.fromarray(wide).save(out, form)
    else:
        made.convert(mode).save(out, form, **options)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    return saved("RGB", "JPEG", exif=exif)


def interlaced() -> bytes:
    """A 3 by 3 grey PNG in Adam7 order, which Pillow does not write."""
    passes = [[0], [2], [20, 22], [1], [21], [10, 11, 12]]
    raw = b"".join(bytes([0, *pixels]) for pixels in passes)
    header = struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PICTURES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: saved("RGB"),
    "RGBA": lambda: saved("RGBA"),
    "grey": lambda: saved("L"),
    "grey and alpha": lambda: saved("LA"),
    "black and white": lambda: saved("1"),
    "palette": lambda: saved("P"),
    "palette, one transparent colour": lambda: saved("P", transparency=3),
    "palette, alpha per colour": lambda: saved("P", transparency=bytes(range(200))),
    "grey, one transparent": lambda: saved("L", transparency=9),
    "RGB, one transparent": lambda: saved("RGB", transparency=(1, 2, 3)),
    "16 bits": lambda: saved("I;16"),
    "JPEG": lambda: saved("RGB", "JPEG"),
    "JPEG, CMYK": lambda: saved("CMYK", "JPEG"),
    "JPEG, grey": lambda: saved("L", "JPEG"),
    "JPEG, progressive": lambda: saved("RGB", "JPEG", progressive=True),
    "JPEG, to be turned": turned,
    "WebP, alpha": lambda: saved("RGBA", "WEBP"),
    "WebP, lossless": lambda: saved("RGB", "WEBP", lossless=True),
    "GIF": lambda: saved("P", "GIF"),
    "GIF, transparent": lambda: saved("P", "GIF", transparency=2),
    "PNG, interlaced": interlaced,
}


@pytest.mark.parametrize("case", PICTURES)
def test_pixels_are_the_references(case: str) -> None:
    data = PICTURES[case]()
    kind = sniff.kind_of(data)
    pixels = image.decode(kind, data, structure.of(kind, data))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, reference_pixels(data))


def reference_count(total: int, video_fps: float, sampling: VideoSampling) -> int:
    """vision_process.py, smart_nframes, line by line."""
    factor = sampling.factor
    min_frames = math.ceil(sampling.min_frames / factor) * factor
    max_frames = math.floor(sampling.max_frames / factor) * factor
    nframes = total / video_fps * sampling.fps
    nframes = min(max(nframes, min_frames), max_frames, total)
    nframes = math.floor(nframes / factor) * factor
    if not (factor <= nframes <= total):
        raise ValueError
    return nframes


@given(st.integers(1, 20_000), st.floats(0.1, 240), st.sampled_from([0.5, 1.0, 2.0]))
def test_as_many_frames_are_read_as_in_the_reference(total: int, fps: float, rate: float) -> None:
    sampling = VideoSampling(fps=rate, min_frames=4, max_frames=64, factor=2)
    shape = VideoShape(4, 4, total, fps)
    try:
        wanted = reference_count(total, fps, sampling)
    except ValueError:
        with pytest.raises(Refused, match="needs at least 2"):
            places(shape, sampling)
        return
    found = places(shape, sampling)
    assert len(found) == wanted
    assert (found[0], found[-1]) == (0, total - 1)
    assert sorted(set(found)) == found


# torch.linspace(0, frames - 1, count).round() of torch 2.13.0, half-way cases among them.
LINSPACE = {
    (10, 4): [0, 3, 6, 9],
    (12, 4): [0, 4, 7, 11],
    (30, 4): [0, 10, 19, 29],
    (6, 4): [0, 2, 3, 5],
    (17, 6): [0, 3, 6, 10, 13, 16],
    (8, 6): [0, 1, 3, 4, 6, 7],
    (4, 4): [0, 1, 2, 3],
    (2, 2): [0, 1],
}


@pytest.mark.parametrize(("frames", "count"), LINSPACE)
def test_frames_lie_where_torch_puts_them(frames: int, count: int) -> None:
    assert spaced(frames, count) == LINSPACE[frames, count]


@pytest.mark.reference
def test_frames_lie_where_torch_puts_them_now() -> None:
    import torch as imported

    torch: Any = imported

    for count in range(2, 65, 2):
        for frames in range(count, 20_001, 1 if count in (4, 62, 64) else 37):
            line = torch.linspace(0, frames - 1, count).round().long().tolist()
            assert spaced(frames, count) == line


def test_frames_of_an_animation_are_composed_in_order() -> None:
    data = animation(frames=12)
    shape = reader.inspect("gif", data, limits())
    assert (shape.frames, shape.fps) == (12, 10.0)
    frames = reader.decode("gif", data, places(shape, SAMPLING), shape, limits(), lambda: None)
    assert [int(frame.mean()) for frame in frames] == [0, 80, 140, 220]


@given(st.data())
def test_damaged_images_raise_nothing_but_refused(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]))
    good = bytearray(picture(form))
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        kind = sniff.kind_of(damaged)
        shape = structure.of(kind, damaged)
        if shape.width * shape.height < 10**6:
            image.decode(kind, damaged, shape)
    except Refused:
        pass
