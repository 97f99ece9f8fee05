"""An animated GIF or WebP as a video, by Pillow."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rerankd.core.media import Pixels
from rerankd.media import image, structure
from rerankd.media.refused import Refused
from rerankd.media.sampling import VideoShape, checked
from rerankd.media.video import Alive
from rerankd.settings.schema import MediaSettings


def inspect(kind: str, data: bytes, limits: MediaSettings) -> VideoShape:
    """Size, frames and speed, without decoding. Raises Refused."""
    shape = structure.of(kind, data)
    fps = shape.frames / shape.seconds if shape.seconds else 0.0
    if shape.frames == 1:
        raise Refused('it is a still image; send it as {"image": …}')
    return checked(shape.width, shape.height, shape.frames, fps, limits)


def decode(
    kind: str,
    data: bytes,
    places: Sequence[int],
    video: VideoShape,
    limits: MediaSettings,
    alive: Alive,
) -> list[Pixels]:
    """The frames at these places.

    Raises:
        Refused: it is damaged, not what its header said, or takes longer than media.decode_s.
    """
    ends, found = time.monotonic() + limits.decode_s, list[Pixels]()
    with image.opened(kind, data, structure.Shape(video.width, video.height)) as moving:
        if moving.n_frames != video.frames:
            raise Refused(f"the {kind.upper()} is damaged or cut off")
        for place in range(places[-1] + 1):
            alive()
            if time.monotonic() > ends:
                raise Refused(
                    f"decoding the animation takes more than {limits.decode_s:g} s "
                    "(media.decode_s); send a shorter or smaller one"
                )
            moving.seek(place)
            if place in places:
                pixels = image.to_rgb(moving)
                if pixels.shape[:2] != (video.height, video.width):
                    raise Refused("the animation changes its size")
                found.append(pixels)
    return found
