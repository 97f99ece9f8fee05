"""Structured events on stderr."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import structlog

from rerankd.telemetry.record import RequestRecord


def configure_logging(form: str) -> None:
    """Structured events on stderr: "json", "console", or "auto" (console on a terminal)."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer = (
        structlog.dev.ConsoleRenderer()
        if console
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    ours = logging.getLogger("rerankd")  # of modules that know no telemetry
    ours.handlers, ours.propagate = [_Forwarded()], False


class _Forwarded(logging.Handler):
    """What a module logs the standard way, as an event."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it at its level."""
        structlog.get_logger().log(record.levelno, record.name, reason=record.getMessage())


_log: Any = structlog.get_logger()  # put together on first use, as it is configured then


@functools.cache
def _encoder(default: Callable[[object], object]) -> json.JSONEncoder:
    return json.JSONEncoder(default=default)


def _json(event: dict[str, object], default: Callable[[object], object]) -> str:
    """As json.dumps(), which makes its encoder at every call."""
    return _encoder(default).encode(event)


def log_request(record: RequestRecord) -> None:
    """One wide event per request."""
    cost = record.cost
    routed: dict[str, object] = {}
    if record.route is not None:
        routed = {
            "route": record.route.route,
            "upstream": record.route.upstream,
            "space": record.route.space,
            "degraded": record.route.degraded,
            "upstream_ms": _ms(cost.upstream_s),
        }
    if record.attempts:
        routed["failed_attempts"] = list(record.attempts)
    _log.info(
        "rerank",
        request_id=record.request_id,
        path=record.path,
        client=record.client,
        agent=record.agent,
        dialect=record.dialect,
        key=record.key,
        asked=record.asked,
        model=record.model,
        status=record.status,
        error=record.error,
        documents=cost.documents,
        pairs=cost.pairs,
        input_tokens=cost.input_tokens,
        cached_tokens=cost.cached_tokens,
        body_bytes=record.body_bytes,
        media=cost.media,
        media_bytes=cost.media_bytes,
        media_ms=_ms(cost.media_s),
        prepare_ms=_ms(cost.prepare_s),
        queue_ms=_ms(cost.queue_s),
        engine_ms=_ms(cost.engine_s),
        total_ms=_ms(record.total_s),
        **routed,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def log_failure(request_id: str, error: BaseException) -> None:
    """The cause of a 500, for the operator: the caller only gets the request id."""
    _log.error("request failed", request_id=request_id, exc_info=error)


def log_event(event: str, **fields: object) -> None:
    """Something that the operator wants to know: a reload, the end of a drain."""
    _log.info(event, **fields)


def log_refusal(event: str, reason: str, **fields: object) -> None:
    """Something that the operator asked for and does not get."""
    _log.warning(event, reason=reason, **fields)


def log_failed_task(task: str, error: BaseException) -> None:
    """Something in the background ended that should not have."""
    _log.error("background task failed", task=task, exc_info=error)
