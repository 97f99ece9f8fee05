"""Images and videos of all kinds, good and made by hand."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.kit.support import Json

AV: Any = av  # its own types are incomplete


def uri(data: bytes, kind: str = "image/png") -> str:
    """Bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(
    form: str = "PNG", size: tuple[int, int] = (20, 10), colour: Any = (10, 20, 30), **save: Any
) -> bytes:
    """An encoded image of one colour."""
    mode = save.pop("mode", "RGB")
    out = BytesIO()
    Image.new(mode, size, colour).save(out, form, **save)
    return out.getvalue()


def animation(form: str = "GIF", frames: int = 12, size: tuple[int, int] = (20, 10)) -> bytes:
    """An animation, each frame of another grey; 100 ms each."""
    pictures = [Image.new("RGB", size, (i * 20 % 256,) * 3) for i in range(frames)]
    out = BytesIO()
    more: Json = {"save_all": True, "append_images": pictures[1:], "duration": 100}
    pictures[0].save(out, form, **more, **({"lossless": True} if form == "WEBP" else {}))
    return out.getvalue()


def movie(
    form: str = "mp4",
    codec: str = "libx264",
    *,
    frames: int = 30,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    options: Mapping[str, str] | None = None,
) -> bytes:
    """A video, each frame of another grey."""
    out = BytesIO()
    with AV.open(out, "w", format=form) as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for i in range(frames):
            grey = np.full((size[1], size[0], 3), i * 8 % 256, np.uint8)
            container.mux(stream.encode(AV.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, *before: bytes, pixels: bytes | None = None) -> bytes:
    """A grey PNG made by hand: its header, chunks of one's own, then pixels (or too few)."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    raw = pixels if pixels is not None else b"\0" * ((width + 1) * height)
    parts = [header, *before, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def box(name: bytes, data: bytes) -> bytes:
    """An MP4 box."""
    return struct.pack(">I", 8 + len(data)) + name + data
