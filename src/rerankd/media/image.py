"""Image bytes as RGB pixels, by Pillow, after their structure was read.

Modes become RGB exactly as qwen_vl_utils 0.0.14 does it (`to_rgb`): RGBA on white, any other by
Pillow's convert. EXIF orientation and colour profiles are not applied, as there.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from rerankd.core.media import Pixels
from rerankd.extras import TORCH, library
from rerankd.media import structure
from rerankd.media.refused import Refused
from rerankd.media.structure import Shape
from rerankd.settings.schema import MediaSettings


def check_size(shape: Shape, limit_pixels: int, setting: str) -> None:
    """Before anything is decoded. Raises Refused."""
    if shape.width * shape.height > limit_pixels:
        raise Refused(
            f"it has {shape.width} × {shape.height} pixels; the limit is {limit_pixels} "
            f"({setting}); send a smaller one"
        )


def inspect(kind: str, data: bytes, limits: MediaSettings) -> Shape:
    """The size of a still image, without decoding it. Raises Refused."""
    shape = structure.of(kind, data)
    if shape.frames != 1:
        raise Refused(f'it is an animation of {shape.frames} frames; send it as {{"video": …}}')
    check_size(shape, limits.image_pixels, "media.image_pixels")
    return shape


def decode(kind: str, data: bytes, shape: Shape) -> Pixels:
    """The pixels of an inspected image, shape (H, W, 3).

    Raises:
        Refused: it is damaged, cut off, or not what its header said.
        StartError: Pillow is not installed.
    """
    with opened(kind, data, shape) as image:
        return to_rgb(image)


@contextmanager
def opened(kind: str, data: bytes, shape: Shape) -> Generator[Any]:
    """A Pillow image of exactly this kind and size; what goes wrong inside is its damage."""
    pillow = library("PIL.Image", TORCH)
    try:
        with pillow.open(BytesIO(data), formats=(kind.upper(),)) as image:
            _check_same(kind, image, shape)
            yield image
    except Refused:
        raise
    except Exception:  # noqa: BLE001 - decoders raise anything on damaged bytes: never a 500
        raise Refused(f"the {kind.upper()} is damaged or cut off") from None


def _check_same(kind: str, image: Any, shape: Shape) -> None:
    if (image.width, image.height) != (shape.width, shape.height):
        raise Refused(f"the {kind.upper()} is not as large as it says")


def to_rgb(image: Any) -> Pixels:
    """As qwen_vl_utils' to_rgb, as an array of its own."""
    image.load()  # first: some formats have another mode after it
    if image.mode == "RGBA":
        white = library("PIL.Image", TORCH).new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return np.array(white)
    if isinstance(image.info.get("transparency"), bytes):
        del image.info["transparency"]  # the pixels are the same, without a warning per image
    return np.array(image.convert("RGB"))
