"""How an attempt can end, and what follows: who is next, who rests, what the caller sees. Pure.

The table is docs/routes.md's "Failover", held by tests/gateway/test_failover.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rerankd.core.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RerankError,
    UpstreamFailed,
)

Outcome = Literal[
    "ok",
    "unreachable",  # DNS, connect, TLS; closed before a whole answer came
    "timeout",  # no answer in time, 408, 504, 524
    "rate_limited",  # 429
    "refused",  # 401, 402, 403, no balance: our key there is not good
    "unknown_model",  # 404
    "invalid",  # 400, 413, 422: what the caller sent
    "over_limit",  # the same, where only that provider's own limit is hit
    "failed",  # 500, 502 and other 5xx
    "overloaded",  # 503, 529
    "bad_answer",  # a 200 that is none, or a status that nobody documents
    "redirected",  # 3xx
    "given_up",  # nobody waits for it any more, after longer than its answers take
    "busy",  # not asked: our own bounds in_flight, rpm, tpm
    "resting",  # not asked: its breaker is open, its keys rest or are refused
]
Mark = Literal["good", "bad", "none"]  # what a breaker counts

MOST_REST_S: Final = 300.0
_RETRY_S: Final = 1.0  # when nobody says how long


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What follows from an outcome."""

    goes_on: bool  # whether the next target may be asked
    mark: Mark  # for the breaker
    rests: Literal["", "key", "key, long", "name", "upstream"] = ""  # who is not asked meanwhile


RULES: Final[dict[Outcome, Rule]] = {
    "ok": Rule(goes_on=False, mark="good"),
    "unreachable": Rule(goes_on=True, mark="bad"),
    "timeout": Rule(goes_on=True, mark="bad"),
    "rate_limited": Rule(goes_on=True, mark="none", rests="key"),
    "refused": Rule(goes_on=True, mark="none", rests="key, long"),
    "unknown_model": Rule(goes_on=True, mark="none", rests="name"),
    "invalid": Rule(goes_on=False, mark="none"),
    "over_limit": Rule(goes_on=True, mark="none"),
    "failed": Rule(goes_on=True, mark="bad"),
    "overloaded": Rule(goes_on=True, mark="bad", rests="upstream"),
    "bad_answer": Rule(goes_on=True, mark="bad"),
    "redirected": Rule(goes_on=True, mark="bad"),
    "given_up": Rule(goes_on=False, mark="bad"),
    "busy": Rule(goes_on=True, mark="none"),
    "resting": Rule(goes_on=True, mark="none"),
}
ASKED: Final = frozenset(RULES) - {"busy", "resting"}  # a request was sent


class AttemptFailed(Exception):
    """One target did not answer."""

    def __init__(
        self,
        outcome: Outcome,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        error: RerankError | None = None,
        was_sent: bool = True,
    ) -> None:
        """Say how it ended.

        Args:
            outcome: not "ok".
            status: of the answer; 0 = there was none.
            retry_after_s: how long it asks to wait; None = it does not say.
            error: what the caller is told of "invalid" and "over_limit", and of a local target.
            was_sent: whether the target may have got the request.
        """
        super().__init__(outcome)
        self.outcome: Outcome = outcome
        self.status = status
        self.retry_after_s = None if retry_after_s is None else min(retry_after_s, MOST_REST_S)
        self.error = error
        self.was_sent = was_sent

    @property
    def rest_s(self) -> float:
        """How long it is not worth to ask again."""
        return _RETRY_S if self.retry_after_s is None else self.retry_after_s


def told_caller(failures: Sequence[AttemptFailed]) -> RerankError:
    """What the caller is told when nobody answered; never who was asked, or where.

    Args:
        failures: at least one, in the order in which they came.
    """
    asked = [failure for failure in failures if failure.outcome in ASKED]
    last = (asked or list(failures))[-1]
    if last.error is not None:
        return last.error
    waits = [f.rest_s for f in failures if f.retry_after_s is not None]
    wait_s = min(waits, default=_RETRY_S)
    if last.outcome in ("timeout", "given_up"):
        return DeadlineExceeded("Whoever answers for this model did not answer in time.")
    if last.outcome in ("rate_limited", "overloaded", "failed", "busy"):
        return Overloaded(
            "Whoever answers for this model has no room now. Try again later.", retry_after_s=wait_s
        )
    if last.outcome == "resting" and waits:
        return Overloaded(
            "Whoever answers for this model failed just now. Try again later.", retry_after_s=wait_s
        )
    if last.outcome in ("invalid", "over_limit"):
        return InvalidRequest("Whoever answers for this model refuses this request.")
    return UpstreamFailed("Whoever answers for this model could not. The operator's log says why.")
