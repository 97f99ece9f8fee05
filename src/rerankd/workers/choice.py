"""Which worker is asked: whoever will be done first, as far as the server can reckon. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FIRST_S_PER_BYTE: Final = 1e-6  # until a model has said how long a request takes
_LEARNING: Final = 0.2  # weight of the newest request
_REUSE: Final = 31 / 32  # of its work, that a remembered token saves: see service.scheduler


class Reckoning:
    """What requests for one model cost, learned from those that were counted and answered."""

    def __init__(self) -> None:
        self._s_per_byte = _FIRST_S_PER_BYTE
        self._warm = 0.0  # of a request's tokens, that its home remembers

    def seconds(self, text_bytes: int) -> float:
        """What so many bytes of text take where nothing of them is remembered."""
        return text_bytes * self._s_per_byte

    def at_home(self, seconds: float) -> float:
        """What the same takes where such content goes."""
        return seconds * (1 - _REUSE * self._warm)

    def counted(self, text_bytes: int, seconds: float) -> None:
        """A request proved to take so long when nothing of it is remembered."""
        if seconds and text_bytes:
            self._s_per_byte += _LEARNING * (seconds / text_bytes - self._s_per_byte)

    def answered_at_home(self, tokens: int, cached: int) -> None:
        """Its home remembered so many of a request's tokens."""
        if tokens:
            self._warm += _LEARNING * (cached / tokens - self._warm)


def soonest(work_s: Mapping[int, float], home: int, own_s: float, home_s: float) -> int:
    """The worker that will be done first; of several the home, then the first.

    Args:
        work_s: of each worker that can be asked, what it has to do; never empty.
        home: the worker that has probably seen the content.
        own_s: what the request takes anywhere else.
        home_s: what it takes there.
    """
    return min(work_s, key=lambda n: (work_s[n] + (home_s if n == home else own_s), n != home, n))
