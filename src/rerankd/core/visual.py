"""Pixels in a row of tokens: what a vision-language engine gets beside the ids. Frozen data.

Shapes: F frames, H by W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]  # shape (F, H, W, 3), RGB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Visual:
    """What the vision encoder encodes at once: an image, or neighbouring frames of a video.

    Resized to what the model takes. One object serves all rows that show it, so that the image of
    a query is held once, whatever the number of documents.
    """

    frames: Frames  # F = 1 for an image
    grid: tuple[int, int]  # its tokens, down and across
    digest: bytes  # equal digests, for one model, are equal frames

    @property
    def tokens(self) -> int:
        """How many tokens of a row stand for it."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A visual and the row's tokens that stand for it: visual.tokens of them from `at` on."""

    visual: Visual
    at: int

    @property
    def end(self) -> int:
        """Index of the first token behind it."""
        return self.at + self.visual.tokens

    @property
    def key(self) -> bytes:
        """What it is and where, as bytes of one length."""
        return self.at.to_bytes(4, "big") + self.visual.digest
