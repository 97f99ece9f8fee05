"""Counts a request's tokens while they are made, so that what cannot be served stops at once."""

from __future__ import annotations

from collections.abc import Callable

from rerankd.core.errors import InvalidRequest


class Abandoned(Exception):
    """The request was cancelled while it was prepared."""


class Meter:
    """One request's running count of tokens, all pairs, equal ones each counted.

    A model calls `add` after every document or slice of documents and `check` within a long one;
    `cancel` may come from another thread at any time.
    """

    def __init__(
        self,
        limit_tokens: int | None = None,
        *,
        over: Callable[[int, int], InvalidRequest] | None = None,
    ) -> None:
        """Nothing is counted yet; `over` makes the error of (tokens, limit), else over_limit."""
        self.limit_tokens = limit_tokens
        self._over = over or over_limit
        self.tokens = 0
        self._cancelled = False

    def cancel(self) -> None:
        """Make the next `add` or `check` raise."""
        self._cancelled = True

    def check(self) -> None:
        """Stop here when nobody waits, within a long text too. Raises Abandoned."""
        if self._cancelled:
            raise Abandoned

    def add(self, tokens: int) -> None:
        """Count tokens that were made.

        Raises:
            InvalidRequest: the request is over its limit.
            Abandoned: it was cancelled.
        """
        self.check()
        self.tokens += tokens
        if self.limit_tokens is not None and self.tokens > self.limit_tokens:
            raise self._over(self.tokens, self.limit_tokens)


def over_limit(tokens: int, limit_tokens: int) -> InvalidRequest:
    """The error of a request that is too large whatever the load."""
    return InvalidRequest(
        f"The request has {tokens} tokens or more (query, document chunks and special tokens of "
        f"all pairs); the limit is {limit_tokens} (limits.request_tokens). Send fewer or shorter "
        "documents, or lower max_chunks_per_doc.",
        param="documents",
    )
