"""How fast a model works, and for how long work has been standing before it. Pure: times come in.

The rate is measured as the server works: tokens that ran over the time that they took while there
was something to do. What is ahead of a request, divided by it, is how long the request will wait.
A small call that left nothing waiting is left out: it took as long as its way through the server,
and any number of such calls would say that a large list takes minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_STRETCH_S: Final = 0.05
# A shorter stretch says nothing, not even of the best; nor does one of fewer tokens, unless it is
# long: a tiny request takes as long as its way through the server.
_HOPE_S, _HOPE_TOKENS, _LONG_S = 0.002, 256, 0.5
# Stretches together, before anybody is refused by them: a moment in which the machine did something
# else while a tiny request ran says nothing.
_SURE_S, _SURE_TOKENS = 0.25, 512
_MEMORY_S: Final = 5.0  # busy seconds after which an observation counts for 1/e
STANDING_S: Final = 1.0  # a backlog of less than this is no queue: the next batches take it
_CROWD, _CROWD_S = 3, 1.0  # more refusals than this, each so soon after the last
LEAST_PATIENCE: Final = 0.2  # of wait_s, however long the backlog has been standing


class Pace:
    """Tokens per second while there is work: an exponential window over the busy time.

    Only stretches of at least 50 ms are believed: a tiny request alone says more about
    its way through the server than about how fast many would be.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._learned = 0  # tokens, ever
        self.best_tokens_per_s = 0.0  # of any stretch: what a request can hope for
        self._since: float | None = None  # when the stretch began; None = there is no work
        self._ran = 0  # tokens since then
        self._other = 0  # of them, what is work but no tokens
        self._called = 0.0  # when the last call ended, or the stretch began
        self._beside = 0  # work since then that is no tokens

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of work; 0 = not known yet, or by too little to refuse anybody."""
        is_sure = self._seconds >= _SURE_S and self._learned >= _SURE_TOKENS
        return self._tokens / self._seconds if is_sure else 0.0

    def seconds(self, tokens: float) -> float:
        """How long so many tokens will take; 0 while nothing is known."""
        rate = self.tokens_per_s
        return tokens / rate if rate else 0.0

    def at_best(self, tokens: float) -> float:
        """How long so many tokens take at the best rate that was seen; 0 while none was."""
        return tokens / self.best_tokens_per_s if self.best_tokens_per_s else 0.0

    def roughly(self, tokens: float) -> float:
        """As seconds(), by as little as is known: to say when to come again, not whether."""
        rate = self._tokens / self._seconds if self._seconds else self.best_tokens_per_s
        return tokens / rate if rate else 0.0

    def begin(self, now: float) -> None:
        """There is work since then, if there was none."""
        if self._since is None:
            self._since, self._ran, self._other = now, 0, 0
            self._called, self._beside = now, 0

    def other(self, tokens: int) -> None:
        """Work that took the time of about so many tokens, and is none: it is not hoped for."""
        self._beside += tokens

    def forget(self) -> None:
        """There is no work any more, and what there was says nothing: it was given up."""
        self._since = None

    def ran(self, tokens: int, now: float, *, more: bool, full: bool = True) -> None:
        """A call of so many tokens has ended.

        Args:
            tokens: that it did.
            now: when it ended.
            more: whether there is still work.
            full: whether it left something waiting, or was as large as a call gets.
        """
        work, took = tokens + self._beside, now - self._called
        if full or work >= _HOPE_TOKENS or took >= _LONG_S:
            self._ran += work
            self._other += self._beside
        elif self._since is not None:
            self._since += took
        self._called, self._beside = now, 0
        if self._since is not None and now - self._since >= _HOPE_S:
            hoped, seconds = self._ran - self._other, now - self._since
            if hoped >= _HOPE_TOKENS or seconds >= _LONG_S:
                self.best_tokens_per_s = max(self.best_tokens_per_s, hoped / seconds)
        if self._since is not None and now - self._since >= _STRETCH_S:
            self._learn(now - self._since)
            self._since, self._ran, self._other = now, 0, 0
        if not more:
            self._since = None

    def _learn(self, seconds: float) -> None:
        self._learned += self._ran
        if seconds > _MEMORY_S:  # one stretch says no more than the window holds
            self._ran, seconds = int(self._ran * _MEMORY_S / seconds), _MEMORY_S
        kept = math.exp(-seconds / _MEMORY_S)
        self._tokens = self._tokens * kept + self._ran
        self._seconds = self._seconds * kept + seconds


@dataclass(slots=True)
class Patience:
    """How long a newcomer may have to wait before it is refused.

    A burst may queue up to wait_s. Once somebody had to be refused, a queue that stays gives nobody
    anything but delay: the longer it has been standing since then, the less of it is allowed, down
    to a fifth of wait_s after 1.6 times wait_s, until it is gone. The server is as busy as before,
    everybody waits less, and it is itself again soon after the load falls. (Nichols & Jacobson
    2012, "Controlling Queue Delay", tell bursts from standing queues the same way: by time.)
    """

    wait_s: float
    _refused_at: float | None = None  # the first refusal since there was last no queue
    _last_at: float = -math.inf  # the last refusal
    _crowd: int = 0  # refusals, each less than a second after the one before

    def __call__(self, backlog_s: float, now: float) -> float:
        """Seconds of waiting that are accepted now, with so many seconds of work in the queue."""
        if backlog_s <= STANDING_S:
            self._refused_at = None
        if self._refused_at is None:
            return self.wait_s
        return max(LEAST_PATIENCE * self.wait_s, self.wait_s - (now - self._refused_at) / 2)

    def refuse(self, wait: float, patience: float, now: float) -> float:
        """Somebody would wait for longer than patience; when to come again, in seconds.

        That is when the wait will be within patience, which shrink both while time passes. In a
        crowd whoever comes first takes the room, and nobody can say when there will be some for
        this one: it is told the least.
        """
        if self._refused_at is None:
            self._refused_at = now
        self._crowd = self._crowd + 1 if now - self._last_at < _CROWD_S else 1
        self._last_at = now
        if self._crowd > _CROWD:
            return 0.0
        return min(2 * (wait - patience), wait - LEAST_PATIENCE * self.wait_s)
