"""Who was refused is asked again: seldom, by one request at a time. Pure.

Times are seconds of one clock that only goes forward, given by the caller.
"""

from __future__ import annotations

from typing import Final

_FIRST_S: Final = 60.0
_LONGEST_S: Final = 3600.0


class Pause:
    """Of a key or of a model's name that an upstream refused: 1 min, then twice as long, to 1 h.

    When it is over, one request tries; until that has ended no other does.
    """

    def __init__(self) -> None:
        """Nothing was refused."""
        self._until: float | None = None  # None = nothing was refused
        self._next_s = _FIRST_S
        self._is_tried = False

    @property
    def is_out(self) -> bool:
        """Whether it was refused and has not been accepted since."""
        return self._until is not None

    def may(self, now: float) -> bool:
        """Whether a request may use it."""
        return self._until is None or (now >= self._until and not self._is_tried)

    def enter(self) -> None:
        """A request uses it, and tells how it ended: `refused`, `accepted` or `left`."""
        self._is_tried = self.is_out

    def refused(self, now: float) -> float:
        """It was refused; gives for how long it now rests. Several at once count as one."""
        if self._until is None or self._is_tried:
            self._until, self._is_tried = now + self._next_s, False
            self._next_s = min(2 * self._next_s, _LONGEST_S)
        return max(self._until - now, 0.0)

    def accepted(self) -> None:
        """It is good again."""
        self._until, self._next_s, self._is_tried = None, _FIRST_S, False

    def left(self) -> None:
        """A request ended in a way that says nothing of it."""
        self._is_tried = False
