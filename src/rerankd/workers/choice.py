"""Which worker is asked: whoever will be done first, as far as the server can reckon. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

_FIRST_S_PER_BYTE: Final = 1e-6  # until a model has said how long a request takes
_FIRST_WARM: Final = 0.9
_LEARNING: Final = 0.2  # weight of the newest request
_REUSE: Final = 31 / 32  # of its work, that a remembered token saves: see service.scheduler


class Reckoning:
    """What requests for one model cost, learned from those that were counted and answered."""

    def __init__(self) -> None:
        self._s_per_byte = _FIRST_S_PER_BYTE
        self._warm = _FIRST_WARM  # of a request's tokens, that a worker remembers which had it

    def seconds(self, text_bytes: int) -> float:
        """What so many bytes of text take where nothing of them is remembered."""
        return text_bytes * self._s_per_byte

    def seen(self, seconds: float) -> float:
        """What the same takes where it was before."""
        return seconds * (1 - _REUSE * self._warm)

    def counted(self, text_bytes: int, seconds: float) -> None:
        """A request proved to take so long when nothing of it is remembered."""
        if seconds and text_bytes:
            self._s_per_byte += _LEARNING * (seconds / text_bytes - self._s_per_byte)

    def answered_again(self, tokens: int, cached: int) -> None:
        """A worker remembered so many tokens of a request that it had before."""
        if tokens:
            self._warm += _LEARNING * (cached / tokens - self._warm)


def soonest(
    work_s: Mapping[int, float],
    seen: Collection[int],
    own_s: float,
    seen_s: float,
    signed: int = 0,
) -> int:
    """The worker that will be done first; of several one that has seen it, then by the content.

    Args:
        work_s: of each worker that can be asked, what it has to do; never empty.
        seen: workers that had the content before.
        own_s: what the request takes anywhere else.
        seen_s: what it takes there.
        signed: stands for the content.
    """

    def order(number: int) -> tuple[float, bool, int]:
        is_new = number not in seen
        took_s = work_s[number] + (own_s if is_new else seen_s)
        return took_s, is_new, (number + signed) % len(work_s)

    return min(work_s, key=order)
