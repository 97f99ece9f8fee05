"""A request's record as spans: the request, and each of its steps that took time.

A record knows how long steps took, not when: they stand one behind the other, from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rerankd.telemetry.record import RequestRecord
from rerankd.telemetry.trace_context import TraceContext

Attribute = str | int | bool | tuple[str, ...]
_STEPS: Final = ("media", "prepare", "queue", "engine", "upstream")
_FAILED: Final = 500  # and above: the caller's own mistakes are no errors of a server


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanData:
    """One span; times are nanoseconds since 1970."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int  # 0: none
    kind: Literal["server", "internal", "client"]
    begin_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute]
    has_failed: bool = False


def spans_of(
    record: RequestRecord, context: TraceContext, end_ns: int, new_id: Callable[[], int]
) -> list[SpanData]:
    """The request's span, then its steps'.

    Args:
        record: of the request.
        context: its trace.
        end_ns: when it ended.
        new_id: makes ids of steps.
    """
    begin_ns = end_ns - round(record.total_s * 1e9)
    found = [
        SpanData(
            name=f"POST {record.path}",
            trace_id=context.trace_id,
            span_id=context.span_id,
            parent_id=context.parent_id,
            kind="server",
            begin_ns=begin_ns,
            end_ns=end_ns,
            attributes=_attributes(record),
            has_failed=record.status >= _FAILED,
        )
    ]
    at = begin_ns
    for step in _STEPS:
        took_ns = round(getattr(record.cost, f"{step}_s") * 1e9)
        if took_ns <= 0:
            continue
        is_upstream = step == "upstream"
        found.append(
            SpanData(
                name=step,
                trace_id=context.trace_id,
                span_id=context.upstream_id if is_upstream else new_id(),
                parent_id=context.span_id,
                kind="client" if is_upstream else "internal",
                begin_ns=at,
                end_ns=min(at + took_ns, end_ns),
                attributes=_step_attributes(step, record),
            )
        )
        at = found[-1].end_ns
    return found


def _attributes(record: RequestRecord) -> dict[str, Attribute]:
    """Named as OpenTelemetry names what HTTP has; what is empty is left out."""
    cost = record.cost
    named: dict[str, Attribute | None] = {
        "http.request.method": "POST",
        "http.response.status_code": record.status,
        "url.path": record.path,
        "user_agent.original": record.agent,
        "error.type": record.error,
        "rerankd.request_id": record.request_id,
        "rerankd.dialect": record.dialect,
        "rerankd.key": record.key,
        "rerankd.model.asked": record.asked,
        "rerankd.model": record.model,
        "rerankd.route": "" if record.route is None else record.route.label,
        "rerankd.attempts": record.attempts,
        "rerankd.documents": cost.documents,
        "rerankd.pairs": cost.pairs,
        "rerankd.input_tokens": cost.input_tokens,
        "rerankd.cached_tokens": cost.cached_tokens,
    }
    return {name: value for name, value in named.items() if value not in (None, "", ())}


def _step_attributes(step: str, record: RequestRecord) -> dict[str, Attribute]:
    if step == "media":
        return {"rerankd.media": record.cost.media, "rerankd.media_bytes": record.cost.media_bytes}
    if step == "upstream" and record.route is not None and record.route.upstream:
        return {"rerankd.upstream": record.route.upstream}
    return {}
