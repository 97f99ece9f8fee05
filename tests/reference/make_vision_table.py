"""Image tokens by size, ours beside transformers' image processor: the table of the model's page.

`python -m tests.reference.make_vision_table` prints it (needs transformers 5.23 and Pillow).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from rerankd.models.smart_resize import smart_resize
from rerankd.models.vision_pixels import FACTOR, IMAGE
from tests.checkpoints.vision import TINY, write
from tests.reference.make_vision_goldens import SIZES, Reference

HEAD = "| image, pixels | resized | tokens | by the processor |\n|---|---|---|---|\n"


def line(size: tuple[int, int], resized: tuple[int, int], ours: int, theirs: int) -> str:
    """One row; width before height."""
    (height, width), (down, across) = size, resized
    return f"| {width} × {height} | {across} × {down} | {ours} | {theirs} |\n"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(write(Path(folder), TINY))
    print(HEAD, end="")  # noqa: T201 - what it is for
    for size in SIZES:
        resized = smart_resize(*size, factor=FACTOR, limits=IMAGE)
        ours = resized[0] * resized[1] // FACTOR**2
        *_, theirs = reference.image_tokens(*size)
        print(line(size, resized, ours, theirs), end="")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
