"""How many replicas there should be: by the work that waits, in seconds, and by busy time. Pure.

Serve sends this module by value to its controller: it imports nothing of rerankd.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Protocol

WAITING_TOKENS: Final = "waiting_tokens"  # of admitted requests, mean since the last report
WAITING_S: Final = "waiting_s"  # how long they will take at the measured rate
BUSY: Final = "busy"  # share of the time in which there was a request, 0 to 1


class Context(Protocol):
    """What is read of Serve's AutoscalingContext."""

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None:
        """Name of a metric -> replica -> its mean over the window."""
        ...

    @property
    def target_num_replicas(self) -> int:
        """How many there are to be now."""
        ...


class ByWork:
    """A policy of Serve's: its class, made with `policy_kwargs`."""

    def __init__(self, *, busy: float = 0.75, catch_up_s: float = 10.0) -> None:
        """Two numbers that an operator may set.

        Args:
            busy: share of its time that a replica should be busy.
            catch_up_s: within how many seconds work that waits should be done.
        """
        self._busy = busy
        self._catch_up_s = catch_up_s

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        """Replicas that the work needs, before Serve's delays and bounds, and no state.

        Before any replica has reported, as many as there are to be now.
        """
        found = context.aggregated_metrics or {}
        if not found.get(BUSY):
            return context.target_num_replicas, {}
        running = sum(found[BUSY].values()) / self._busy
        waiting = sum(found.get(WAITING_S, {}).values()) / self._catch_up_s
        return math.ceil(running + waiting - 1e-9), {}
