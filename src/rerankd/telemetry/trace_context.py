"""The trace that a request belongs to: read from its headers, told to upstreams.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/. Ids are not secret, and guessable.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE: Final = re.compile(r"[\x20-\x7e\t]{1,512}")
_SAMPLED: Final = 1  # the flag
_LOW: Final = 1 << 64  # the share of new traces is one of the lower half of their ids

Bits = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """Where one request stands in a trace; ids are numbers over 0."""

    trace_id: int  # of 128 bits
    parent_id: int  # the caller's span, of 64 bits; 0: he has none
    span_id: int  # of the request
    upstream_id: int  # of what upstreams are asked for it
    is_sampled: bool
    state: str = ""  # `tracestate`, as it came

    def headers(self) -> dict[str, str]:
        """What an upstream is told."""
        flags = _SAMPLED if self.is_sampled else 0
        found = {"traceparent": f"00-{self.trace_id:032x}-{self.upstream_id:016x}-{flags:02x}"}
        return found | ({"tracestate": self.state} if self.state else {})


# Of the request that this task is of, and of all tasks that it begins.
CURRENT: ContextVar[TraceContext | None] = ContextVar("rerankd_trace", default=None)


def begun(
    headers: Mapping[str, str], sample: float, bits: Bits = random.getrandbits
) -> TraceContext:
    """The caller's trace, or a new one where he has none that can be read.

    Args:
        headers: of the request, names in lower case.
        sample: share of new traces.
        bits: random numbers below 2**n.
    """

    def new(size: int) -> int:
        return bits(size) or 1

    span_id, upstream_id = new(64), new(64)
    parent = _PARENT.fullmatch(headers.get("traceparent", ""))
    if parent is not None:
        version, trace, caller, flags, more = parent.groups()
        is_known = version != "ff" and (version != "00" or more is None)
        if is_known and int(trace, 16) and int(caller, 16):
            state = headers.get("tracestate", "")
            return TraceContext(
                trace_id=int(trace, 16),
                parent_id=int(caller, 16),
                span_id=span_id,
                upstream_id=upstream_id,
                is_sampled=bool(int(flags, 16) & _SAMPLED),
                state=state if _STATE.fullmatch(state) else "",
            )
    trace_id = new(128)
    return TraceContext(
        trace_id=trace_id,
        parent_id=0,
        span_id=span_id,
        upstream_id=upstream_id,
        is_sampled=trace_id % _LOW < sample * _LOW,
    )


def sent_headers() -> dict[str, str]:
    """What an upstream is told of the trace of the request that it is asked for."""
    current = CURRENT.get()
    return {} if current is None else current.headers()
