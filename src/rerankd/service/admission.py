"""Whether a request is taken: by its size, by room in the queue, and by how long it would wait.

The first refusals cost almost nothing: a request is estimated from its bytes before anything is
tokenised, and what it then really costs teaches the next estimate.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from rerankd.core.errors import DeadlineExceeded, Overloaded, RerankError
from rerankd.core.fair import FairQueue
from rerankd.core.meter import over_limit
from rerankd.core.pace import Pace, Patience
from rerankd.settings.schema import Limits

WAIT_S: Final = Limits().wait_s
RETRY_MIN_S: Final = 1.0
_RETRY_MAX_S: Final = 60.0
_BYTES_PER_TOKEN: Final = 4.0  # English; until the first request has been counted
_BYTES_PER_WORK: Final = 32  # text that gives fewer tokens than this is work all the same
_OPEN_BYTES: Final = 2 << 30  # a decoder of 0.6B keeps 0.23 MB per token of a long row
_LEARNING: Final = 0.2  # weight of the newest request in tokens per byte
_SLACK: Final = 1.25  # a request that proves this much larger than its estimate is asked again


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """What may wait for one model."""

    request_tokens: int  # of one request; above: 400
    queue_tokens: int  # of all that wait; above: 503
    wait_s: float = WAIT_S  # for the work ahead of a request; above: 503


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the queue for a request whose tokens are not counted yet."""

    text_bytes: int
    tokens: int  # estimated
    key: str
    began: float  # on the clock


class Admission:
    """Asked before every piece of work that a request causes; see QueueLimits."""

    def __init__(
        self, queue: FairQueue[Any], limits: QueueLimits, clock: Callable[[], float]
    ) -> None:
        self.limits = limits
        self.pace = Pace()
        self.closed = False
        self.lag_s: Callable[[], float] = lambda: 0.0  # of the event loop: waited already
        self._queue = queue
        self._clock = clock
        self._patience = Patience(limits.wait_s)
        self._coming: dict[str, tuple[int, int]] = {}  # by key: requests and tokens reserved
        self._coming_tokens = 0
        self._open_bytes = 0  # of long rows, between their slices
        self._tokens_per_byte = 1 / _BYTES_PER_TOKEN

    @property
    def has_work(self) -> bool:
        """Whether anything waits or is being prepared."""
        return bool(self._coming or self._queue.waiting_tokens)

    @property
    def backlog_tokens(self) -> int:
        """Tokens that wait, those of requests that are being prepared as estimated."""
        return self._queue.waiting_tokens + self._coming_tokens

    @property
    def backlog_s(self) -> float:
        """How long all that waits will take."""
        return self.pace.seconds(self.backlog_tokens)

    def estimate(self, text_bytes: int) -> int:
        """About how many tokens' work so many bytes of text will be; at most a request's limit."""
        work = max(text_bytes * self._tokens_per_byte, text_bytes / _BYTES_PER_WORK)
        return min(int(work), self.limits.request_tokens)

    def note_backlog(self) -> None:
        """Tell patience how much waits now; called whenever that changes."""
        self._patience(self.backlog_s, self._clock())

    def check(
        self, tokens: int, *, key: str = "", until: float | None = None, least: int | None = None
    ) -> None:
        """Refuse what cannot be taken, before any work is done for it.

        Args:
            tokens: of the request, exact or estimated.
            key: whose share it would use.
            until: its deadline on the clock; None = none.
            least: what an estimate cannot fall below; None = tokens are counted.

        Raises:
            InvalidRequest: the request is over limits.request_tokens, whatever the load.
            DeadlineExceeded: it cannot be answered in time even alone.
            Overloaded: the queue has no room for it now, or it would wait for too long.
        """
        if tokens > self.limits.request_tokens:
            raise over_limit(tokens, self.limits.request_tokens)
        if self.closed:
            raise Overloaded("The model was unloaded.", retry_after_s=RETRY_MIN_S)
        waiting = self.backlog_tokens
        if waiting and waiting + max(tokens, 1) > self.limits.queue_tokens:
            raise Overloaded(
                f"The queue holds {waiting} of {self.limits.queue_tokens} tokens and has no room "
                f"for {tokens} more.",
                retry_after_s=retry_after_s(
                    self.pace.roughly(waiting + tokens - self.limits.queue_tokens)
                ),
            )
        if self.pace.tokens_per_s:
            self._check_time(max(tokens, 1), key, until, tokens if least is None else least)

    def check_text(self, text_bytes: int, key: str, until: float | None) -> None:
        """As check(), for so many bytes of text, about."""
        self.check(self.estimate(text_bytes), key=key, until=until)

    def _check_time(self, tokens: int, key: str, until: float | None, least: int) -> None:
        now = self._clock()
        ahead = self._queue.ahead(key, tokens, self._coming, now)
        patience = self._patience(self.backlog_s, now)
        wait = self.pace.seconds(ahead) + (self.lag_s() if ahead else 0.0)
        if ahead and wait > patience:
            raise Overloaded(
                f"A request of {tokens} tokens would wait {wait:.1f} s for the work ahead of it; "
                f"at most {patience:.1f} s are accepted now (limits.wait_s).",
                retry_after_s=retry_after_s(self._patience.refuse(wait, patience, now)),
            )
        # Who meets no work is measured by the best that was seen: a slow moment must not close the
        # server to a large request for good.
        own = self.pace.seconds(least) if ahead else self.pace.at_best(least)
        if until is not None and now + wait + own > until:
            raise _too_late(tokens, wait, own, until - now)

    @contextlib.contextmanager
    def reserve(
        self, tokens: int, *, text_bytes: int = 0, key: str = "", until: float | None = None
    ) -> Generator[Ticket]:
        """Room for a request whose tokens are not counted yet, until it is added to the queue.

        Raises:
            InvalidRequest, DeadlineExceeded, Overloaded: as check().
        """
        tokens = min(tokens, self.limits.request_tokens)
        least = text_bytes // _BYTES_PER_WORK if text_bytes else None
        self.check(tokens, key=key, until=until, least=least)
        began = self._clock()
        self.pace.begin(began)
        requests, reserved = self._coming.get(key, (0, 0))
        self._coming[key] = (requests + 1, reserved + tokens)
        self._coming_tokens += tokens
        try:
            yield Ticket(text_bytes, tokens, key, began)
        finally:
            requests, reserved = self._coming[key]
            self._coming[key] = (requests - 1, reserved - tokens)
            if requests == 1:
                del self._coming[key]
            self._coming_tokens -= tokens
            self._drop()

    def reserve_text(
        self, text_bytes: int, key: str, until: float | None
    ) -> contextlib.AbstractContextManager[Ticket]:
        """As reserve(), for so many bytes of text, about.

        Raises:
            InvalidRequest, DeadlineExceeded, Overloaded: as check().
        """
        tokens = self.estimate(text_bytes)
        return self.reserve(tokens, text_bytes=text_bytes, key=key, until=until)

    def check_counted(
        self, tokens: int, ticket: Ticket | None, *, key: str, until: float | None
    ) -> None:
        """As check(), now that the tokens are counted. A place that was promised is kept.

        Raises:
            InvalidRequest, DeadlineExceeded, Overloaded: as check().
        """
        if ticket is None:
            self.check(tokens, key=key, until=until)
            return
        self.pace.begin(ticket.began)
        if ticket.text_bytes:
            told = tokens / ticket.text_bytes
            self._tokens_per_byte += _LEARNING * (told - self._tokens_per_byte)
            blank = ticket.text_bytes // _BYTES_PER_WORK - tokens
            if blank > 0:  # what took time and gave few tokens
                self.pace.other(blank)
        if self.is_hopeless(tokens, until):
            self._drop()
            left = (until or 0.0) - self._clock()
            raise _too_late(tokens, 0.0, self.pace.at_best(tokens), left)
        if self.closed or tokens > max(_SLACK * ticket.tokens, ticket.tokens + _SMALL_TOKENS):
            try:
                self.check(tokens, key=key, until=until)
            except RerankError:
                self._drop()
                raise

    def _drop(self) -> None:
        """Work was given up: without any left, the time that it took says nothing."""
        if not self.has_work:
            self.pace.forget()

    @contextlib.contextmanager
    def long_row(self, size: int) -> Generator[None]:
        """Memory for what a request's longest row holds between its slices, in bytes.

        Raises:
            Overloaded: others hold too much; a lone one always has room.
        """
        if self._open_bytes and size and self._open_bytes + size > _OPEN_BYTES:
            raise Overloaded(
                f"Long rows in progress hold {self._open_bytes} of {_OPEN_BYTES} bytes, and this "
                f"request's longest needs {size}.",
                retry_after_s=retry_after_s(self.backlog_s),
            )
        self._open_bytes += size
        try:
            yield
        finally:
            self._open_bytes -= size

    def start_by(self, tokens: int) -> float:
        """Until when a request taken now must have begun, so that it ends as was promised.

        It may wait wait_s. One that runs for longer than that gives way to shorter ones for two
        thirds of the time that it would take alone.
        """
        own = self.pace.seconds(tokens)
        return self._clock() + self.limits.wait_s + 2 * max(0.0, own - self.limits.wait_s)

    def is_hopeless(self, tokens: int, until: float | None) -> bool:
        """Whether so many tokens cannot be done before a deadline, even if they began now."""
        own = self.pace.at_best(tokens)
        return until is not None and own > 0 and self._clock() + own > until


_SMALL_TOKENS: Final = 4096  # a difference that needs no second question


def retry_after_s(estimate_s: float) -> float:
    """When to come again, whole seconds, between one second and a minute."""
    return float(min(max(math.ceil(estimate_s), RETRY_MIN_S), _RETRY_MAX_S))


def _too_late(tokens: int, wait: float, own: float, left: float) -> RerankError:
    if wait > 0:
        return Overloaded(
            f"A request of {tokens} tokens would wait {wait:.1f} s and run for {own:.1f} s; its "
            f"deadline is in {left:.1f} s (limits.deadline_s).",
            retry_after_s=retry_after_s(wait + own - left),
        )
    return DeadlineExceeded(
        f"The request has about {tokens} tokens, which would take {own:.1f} s; its deadline is in "
        f"{left:.1f} s (limits.deadline_s). Send fewer or shorter documents.",
        is_final=True,
    )
