"""Requests and tokens per minute and key: token buckets in memory, 1-2 us per check.

A bucket holds one minute's worth and refills evenly. A cost over the whole bucket is taken when
the bucket is full and leaves it in debt, so that a large request waits its turn, not for ever.

Why not a library: docs/decisions/0004-rate-limits.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from rerankd.access.keys import Key
from rerankd.core.errors import RateLimited


class Bucket:
    """`per_minute` units, refilled evenly; starts full."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = float(per_minute)
        self._at = clock()

    def take(self, cost: int) -> float:
        """Take `cost` units if they are there.

        Returns:
            0.0 when taken, else the seconds after which the same call would succeed.
        """
        now = self._clock()
        refill = (now - self._at) * self.per_minute / 60
        self._level = min(float(self.per_minute), self._level + refill)
        self._at = now
        needed = min(cost, self.per_minute)
        if self._level < needed:
            return (needed - self._level) * 60 / self.per_minute
        self._level -= cost
        return 0.0

    def give_back(self, cost: int) -> None:
        """Undo a take whose request was refused later on."""
        self._level = min(float(self.per_minute), self._level + cost)


class RateLimits:
    """The buckets of all keys. Survives a reload: a key that stays keeps its level."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[bytes, str, int], Bucket] = {}

    def take_request(self, key: Key) -> None:
        """Count one request.

        Raises:
            RateLimited: the key's RPM is used up.
        """
        self._take(key, "RPM", key.rpm, 1)

    def take_tokens(self, key: Key, tokens: int) -> None:
        """Count a request's input tokens, known exactly after tokenising.

        Raises:
            RateLimited: the key's TPM is used up.
        """
        self._take(key, "TPM", key.tpm, tokens)

    def give_back_tokens(self, key: Key, tokens: int) -> None:
        """Return the tokens of a request that was admitted by its key but not by the queue."""
        if key.tpm is not None:
            self._bucket(key, "TPM", key.tpm).give_back(tokens)

    def settle_tokens(self, key: Key, before: int, after: int) -> None:
        """Put the count of tokens in place of their estimate."""
        if key.tpm is not None:
            self._bucket(key, "TPM", key.tpm).give_back(before - after)

    def charge(self, key: Key) -> Charge:
        """A charge of nothing yet, for one request."""
        return Charge(self, key)

    def keep(self, keys: Sequence[Key]) -> None:
        """Forget the buckets of keys that are gone."""
        digests = {key.digest for key in keys}
        self._buckets = {k: b for k, b in self._buckets.items() if k[0] in digests}

    def _take(self, key: Key, limit: str, per_minute: int | None, cost: int) -> None:
        if per_minute is None:
            return
        wait_s = self._bucket(key, limit, per_minute).take(cost)
        if wait_s > 0:
            raise RateLimited("RPM" if limit == "RPM" else "TPM", retry_after_s=math.ceil(wait_s))

    def _bucket(self, key: Key, limit: str, per_minute: int) -> Bucket:
        at = (key.digest, limit, per_minute)
        if at not in self._buckets:
            self._buckets[at] = Bucket(per_minute, clock=self._clock)
        return self._buckets[at]


class Charge:
    """What one request took from its key's TPM: for all that it did so far, or nothing."""

    def __init__(self, rates: RateLimits, key: Key) -> None:
        self._rates = rates
        self.key = key
        self.tokens = 0

    def add(self, tokens: int) -> None:
        """Charge more, as one sum with what was charged: so a request over the whole TPM passes.

        Raises:
            RateLimited: the key's TPM has no room for the sum; nothing is charged any more.
        """
        total = self.tokens + tokens
        self.give_back()
        self._rates.take_tokens(self.key, total)
        self.tokens = total

    def settle(self, tokens: int) -> None:
        """What it was in the end, which was an estimate before; never refused: it is done."""
        self._rates.settle_tokens(self.key, self.tokens, tokens)
        self.tokens = tokens

    def give_back(self) -> None:
        """Return all of it."""
        self._rates.give_back_tokens(self.key, self.tokens)
        self.tokens = 0
