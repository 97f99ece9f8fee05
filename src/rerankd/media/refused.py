"""The error of what the media guard does not allow."""

from __future__ import annotations

from typing import Literal

Outcome = Literal["ok", "refused", "unreachable", "timeout", "http", "too_large", "cancelled"]


class Refused(Exception):
    """An image or a video is not taken. The message ends a sentence that names the document.

    It never holds an address, a byte of an answer, or a URL's query string.
    """

    def __init__(self, reason: str, outcome: Outcome = "refused") -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
