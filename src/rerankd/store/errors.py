"""What may be wrong with a change of the store, besides its fields."""

from __future__ import annotations


class NotFound(Exception):
    """There is no such key or team."""


class Conflict(Exception):
    """Somebody else changed it in between, or the name is taken; nothing was changed.

    `version` is the one that it has now; None = it is about something else.
    """

    def __init__(self, message: str, *, version: int | None = None) -> None:
        super().__init__(message)
        self.version = version
