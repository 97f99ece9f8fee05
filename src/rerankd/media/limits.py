"""What the media guard allows, and the error of what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "refused", "unreachable", "timeout", "http", "too_large", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """The section [media] of the settings; each is explained there."""

    fetch: bool
    allow: tuple[str, ...]
    ports: tuple[int, ...]
    items: int
    image_bytes: int
    video_bytes: int
    request_bytes: int
    image_pixels: int
    frame_pixels: int
    video_frames: int
    video_s: float
    decode_s: float
    decoders: int
    redirects: int
    fetches: int
    fetches_per_host: int
    connect_s: float
    read_s: float
    fetch_s: float
    encoded_bytes: int
    decoded_bytes: int
    wait_s: float


class Refused(Exception):
    """An image or a video is not taken. The message ends a sentence that names the document.

    It never holds an address, a byte of an answer, or a URL's query string.
    """

    def __init__(self, reason: str, outcome: Outcome = "refused") -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
