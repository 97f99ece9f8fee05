"""How long targets took of late. Pure: times are seconds of one clock, given by the caller."""

from __future__ import annotations

from collections import deque
from typing import Final

_KEPT: Final = 64
_P90: Final = 0.9
_ASK_AGAIN_S: Final = 30.0


class Latencies:
    """Of one server's targets, by label.

    A target that was given up counts with how long it was waited for: it is at least as slow.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._begun: dict[str, float] = {}  # when the last attempt began

    def begin(self, label: str, now: float) -> None:
        """An attempt begins."""
        self._begun[label] = now

    def end(self, label: str, seconds: float) -> None:
        """An attempt ended, or was given up, after so long."""
        self._seconds.setdefault(label, deque(maxlen=_KEPT)).append(seconds)

    def mean_s(self, label: str, now: float) -> float | None:
        """The mean; None = not known, or nobody asked for so long that it is worth a try."""
        found = self._seconds.get(label)
        if not found or now - self._begun.get(label, now) >= _ASK_AGAIN_S:
            return None
        return sum(found) / len(found)

    def usual_s(self, label: str) -> float:
        """Nine of ten took no longer; 0 = not known."""
        found = sorted(self._seconds.get(label, ()))
        return found[int(_P90 * (len(found) - 1))] if found else 0.0
