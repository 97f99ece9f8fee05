"""Who is asked no more for a while: a breaker, keys that rest, a budget of second attempts. Pure.

Times are seconds of one clock that only goes forward, given by the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

from rerankd.gateway.pause import Pause

State = Literal["closed", "open", "probing"]

_KEPT: Final = 20
_BAD_OF_KEPT: Final = 5
_BAD_IN_A_ROW: Final = 3
_FIRST_S: Final = 5.0
_LONGEST_S: Final = 300.0
_WINDOW_S: Final = 10.0
_ALWAYS: Final = 10  # second attempts that any window has room for


class Breaker:
    """Opens when 5 of the last 20 attempts failed, or 3 in a row.

    Then one probe is let through after 5 s; when it fails, after 10 s, and so on up to 300 s.
    """

    def __init__(self) -> None:
        self._marks: deque[bool] = deque(maxlen=_KEPT)  # True = bad
        self._open_until: float | None = None  # None = closed
        self._open_s = _FIRST_S
        self._is_probing = False

    def state(self, now: float) -> State:
        """Closed: all may; open: nobody; probing: one may, or is on its way."""
        if self._open_until is None:
            return "closed"
        return "probing" if now >= self._open_until else "open"

    def wait_s(self, now: float) -> float:
        """How long until the next attempt may be made; 0 = now."""
        if self._open_until is None:
            return 0.0
        if self._is_probing:
            return _FIRST_S
        return max(0.0, self._open_until - now)

    def enter(self, now: float) -> bool:
        """Whether an attempt may be made; who may must tell how it ended: `good`, `bad`, `left`."""
        if self.wait_s(now) > 0:
            return False
        self._is_probing = self._open_until is not None
        return True

    def good(self) -> None:
        """An attempt succeeded."""
        if self._open_until is not None and not self._is_probing:
            return  # it began before the others failed
        if self._is_probing:
            self._marks.clear()
        self._marks.append(False)
        self._open_until, self._open_s, self._is_probing = None, _FIRST_S, False

    def bad(self, now: float) -> None:
        """An attempt failed in a way that counts."""
        if self._is_probing:
            self._open_s = min(2 * self._open_s, _LONGEST_S)
            self._open_until, self._is_probing = now + self._open_s, False
            return
        self._marks.append(True)
        row = list(self._marks)[-_BAD_IN_A_ROW:]
        in_a_row = len(row) == _BAD_IN_A_ROW and all(row)
        if self._open_until is None and (in_a_row or sum(self._marks) >= _BAD_OF_KEPT):
            self._open_until = now + self._open_s
            self._marks.clear()

    def left(self) -> None:
        """An attempt ended in a way that says nothing: a probe may be made again."""
        self._is_probing = False


class KeyTurns:
    """Several keys of one upstream, in turn; who is over its limit rests, who is refused pauses."""

    def __init__(self, keys: Sequence[str]) -> None:
        """No keys: requests are sent without one."""
        self._keys: tuple[str | None, ...] = tuple(keys) or (None,)
        self._until = [0.0] * len(self._keys)
        self._pauses = [Pause() for _ in self._keys]
        self._next = 0

    def take(self, now: float) -> int | None:
        """The place of the next key that may be used; None when there is none now.

        Who takes one tells how it ended: `accepted`, `refused` or `left`.
        """
        for step in range(len(self._keys)):
            place = (self._next + step) % len(self._keys)
            if self._until[place] <= now and self._pauses[place].may(now):
                self._next = place + 1
                self._pauses[place].enter()
                return place
        return None

    def key(self, place: int) -> str | None:
        """The key at a place."""
        return self._keys[place]

    def rest(self, place: int, until: float) -> None:
        """Do not use a key before then."""
        self._until[place] = max(self._until[place], until)

    def refused(self, place: int, now: float) -> float:
        """A key is not good; gives the seconds until it is tried again."""
        return self._pauses[place].refused(now)

    def accepted(self, place: int) -> None:
        """A key is good."""
        self._pauses[place].accepted()

    def left(self, place: int) -> None:
        """Nobody knows whether it is."""
        self._pauses[place].left()

    def wait_s(self, now: float) -> float | None:
        """How long until a key may be used; None = all were refused and none is tried yet."""
        pairs = zip(self._until, self._pauses, strict=True)
        waits = [until - now for until, pause in pairs if pause.may(now)]
        return max(0.0, min(waits)) if waits else None

    def counts(self, now: float) -> tuple[int, int, int]:
        """Keys that are good, that rest, that were refused; one that needs no key has one."""
        out = sum(pause.is_out for pause in self._pauses)
        pairs = zip(self._until, self._pauses, strict=True)
        resting = sum(until > now and not pause.is_out for until, pause in pairs)
        return len(self._keys) - out - resting, resting, out


class RetryBudget:
    """Second attempts: at most a share of the requests of the last 10 s, or 10 if that is more."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._requests: deque[float] = deque()
        self._retries: deque[float] = deque()

    def request(self, now: float) -> None:
        """Count a request."""
        self._requests.append(now)
        self._forget(now)

    def take(self, now: float) -> bool:
        """Whether a second attempt may be made; it is counted."""
        self._forget(now)
        if len(self._retries) >= max(_ALWAYS, self.share * len(self._requests)):
            return False
        self._retries.append(now)
        return True

    def _forget(self, now: float) -> None:
        for times in (self._requests, self._retries):
            while times and times[0] <= now - _WINDOW_S:
                times.popleft()
