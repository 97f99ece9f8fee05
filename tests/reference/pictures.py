"""Made-up images and videos: the same pixels wherever numpy runs, no file, no decoder."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from rerankd.core.media import Media, Pixels
from rerankd.core.request import Content


@dataclass(frozen=True, slots=True)
class Picture:
    """An image."""

    seed: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Clip:
    """The sampled frames of a video: which ones, of how many per second."""

    seed: int
    height: int
    width: int
    indices: tuple[int, ...]
    fps: float


def pixels(seed: int, height: int, width: int, time: int = 0) -> Pixels:
    """Slopes, stripes and a block that moves with time; another seed is another picture."""
    a, b, c, d, e, f = (int(x % 251) for x in np.random.PCG64(seed).random_raw(6))
    y, x = np.indices((height, width), dtype=np.int64)
    u, v = y * 256 // height, x * 256 // width
    red = u * (1 + a % 3) + b
    green = v * (1 + c % 3) + ((u // (8 + d % 40)) % 2) * e
    blue = (u + v) // 2 + f + 5 * time
    block = (abs(u - (a + 9 * time) % 256) < 60) & (abs(v - c) < 50)
    red = np.where(block, 255 - d, red)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)  # modulo 256


def frames(shown: Picture | Clip) -> tuple[Pixels, ...]:
    """One of a picture, all of a clip."""
    if isinstance(shown, Picture):
        return (pixels(shown.seed, shown.height, shown.width),)
    return tuple(pixels(shown.seed, shown.height, shown.width, i) for i in shown.indices)


def content(shown: str | Picture | Clip) -> Content:
    """A text, image or video as the server has it once it is decoded."""
    if isinstance(shown, str):
        return Content(value=shown)
    made = frames(shown)
    is_clip = isinstance(shown, Clip)
    media = Media(
        frames=made,
        digest=sha256(repr(shown).encode()).digest(),
        format="mp4" if is_clip else "png",
        encoded_bytes=sum(frame.nbytes for frame in made),
        source="base64",
        seconds=tuple(i / shown.fps for i in shown.indices) if isinstance(shown, Clip) else (),
    )
    return Content(modality="video" if is_clip else "image", value="made up", media=media)
