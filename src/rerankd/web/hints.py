"""The path that a caller with a wrong base URL may have meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SEGMENTS: Final = 10  # of a path that are looked at


class Hints:
    """Knows the paths of POST endpoints; templates are not guessed."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._known = frozenset(path for path in paths if "{" not in path)

    def right_path(self, path: str) -> str | None:
        """What is left of the path when one run of its segments is dropped, or added to; or None.

        As little as possible is dropped: `/v1/v1/rerank` and `/v1/rerank/rerank` are `/v1/rerank`.
        Of equals the one that keeps the end: the client added that itself.
        """
        segments = [segment for segment in path.split("/") if segment]
        if len(segments) > _SEGMENTS:
            return None
        count = len(segments)
        for dropped in range(count):
            for start in range(count - dropped + 1):
                left = "/" + "/".join(segments[:start] + segments[start + dropped :])
                if left in self._known:
                    return left
        base = "/" + "/".join(segments)
        for added in ("/rerank", "/v1/rerank"):
            if (whole := (base + added).replace("//", "/")) in self._known:
                return whole
        return None
