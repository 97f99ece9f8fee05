"""One record per request; the log event and the metrics are both made from it.

Never in a record: document text, query text, a key.
"""

from __future__ import annotations

import heapq
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rerankd.core.cost import Cost

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What happened to one rerank request."""

    request_id: str
    path: str
    client: str  # network of the caller, see web.client; "" when it is not known
    agent: str  # as the client names itself
    dialect: str
    key: str  # name of the key, "" when the server is open
    asked: str  # the model's name in the request, "" = the default
    model: str  # who answered or would have, "" when that was never known
    status: int
    error: str  # kind of the error, "" on success
    body_bytes: int
    cost: Cost
    total_s: float


KEYS_SHOWN = 200  # series of single keys; the others are one
OTHER_KEYS = "other"


class KeyCounts:
    """Requests and input tokens by key: the busiest have a series each, the others share one.

    A collector of prometheus-client.
    """

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def add(self, key: str, tokens: int) -> None:
        """Count one request."""
        requests, before = self._counts.get(key, (0, 0))
        self._counts[key] = (requests + 1, before + tokens)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Two families, by key; "" = no key is configured."""
        busiest = heapq.nlargest(KEYS_SHOWN, self._counts.items(), key=lambda item: item[1])
        shown = dict(busiest)
        rest = [counts for key, counts in self._counts.items() if key not in shown]
        if rest:
            requests, tokens = shown.pop(OTHER_KEYS, (0, 0))  # a key may have that name
            for more_requests, more_tokens in rest:
                requests, tokens = requests + more_requests, tokens + more_tokens
            shown[OTHER_KEYS] = (requests, tokens)
        for place, name, about in (
            (0, "rerankd_key_requests", "Rerank requests with a good key, refused ones too."),
            (1, "rerankd_key_input_tokens", "Tokens of all pairs that were ranked."),
        ):
            family = CounterMetricFamily(
                name, f"{about} The busiest {KEYS_SHOWN} keys, the rest as other.", labels=["key"]
            )
            for key, counts in shown.items():
                family.add_metric([key], counts[place])
            yield family


class Metrics:
    """Prometheus metrics of one server; no process-wide registry, so tests run side by side."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series per counter that nobody reads
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "rerankd_requests_total",
            "Rerank requests by outcome.",
            ("dialect", "model", "status"),
            registry=registry,
        )
        self._unrouted = Counter(
            "rerankd_unrouted_total",
            "Requests for a path, or by a method, that is not served: often a wrong base URL.",
            ("status",),
            registry=registry,
        )
        self._keys = KeyCounts()
        registry.register(self._keys)
        self._documents = Counter(
            "rerankd_documents_total", "Documents ranked.", ("model",), registry=registry
        )
        self._tokens = Counter(
            "rerankd_input_tokens_total", "Tokens of all pairs.", ("model",), registry=registry
        )
        self._cached = Counter(
            "rerankd_cached_tokens_total",
            "Input tokens that the score cache answered or the engine remembered; the rest ran.",
            ("model",),
            registry=registry,
        )
        self._seconds = Histogram(
            "rerankd_request_seconds",
            "Time of a request after its headers.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue_seconds = Histogram(
            "rerankd_queue_seconds",
            "Time that a request waited for the engine.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._engine_seconds = Histogram(
            "rerankd_engine_seconds",
            "Time from a request's first row to its last.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._media_seconds = Histogram(
            "rerankd_media_seconds",
            "Time until a request's images and videos were fetched and decoded.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._media = Counter(
            "rerankd_media_total", "Images and videos ranked.", ("model",), registry=registry
        )
        self._fetches = Counter(
            "rerankd_media_fetches_total",
            "URLs of images and videos by how the fetch ended.",
            ("outcome",),
            registry=registry,
        )
        self._fetched_bytes = Counter(
            "rerankd_media_fetched_bytes_total", "Bytes that came from URLs.", registry=registry
        )
        self._fetch_seconds = Histogram(
            "rerankd_media_fetch_seconds",
            "Time of one fetch, redirects and its wait for a turn included.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._media_held = Gauge(
            "rerankd_media_held_bytes",
            "Bytes of images and videos in memory.",
            ("form",),
            registry=registry,
        )
        self._in_flight = Gauge(
            "rerankd_requests_in_flight", "Rerank requests in progress.", registry=registry
        )
        self._waiting = Gauge(
            "rerankd_queue_tokens", "Tokens that wait per model.", ("model",), registry=registry
        )
        self._rate = Gauge(
            "rerankd_tokens_per_second",
            "How fast a model works, measured while there was work; 0 = not known yet.",
            ("model",),
            registry=registry,
        )
        self._backlog = Gauge(
            "rerankd_backlog_seconds",
            "Work that waits at that rate, requests that are being tokenised included.",
            ("model",),
            registry=registry,
        )
        self._lag = Histogram(
            "rerankd_loop_lag_seconds",
            "How late the event loop was, measured ten times a second.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._cache_bytes = Gauge(
            "rerankd_score_cache_bytes", "Memory of the score cache.", ("model",), registry=registry
        )

    def observe(self, record: RequestRecord) -> None:
        """Count one finished request."""
        cost, model = record.cost, record.model
        self._requests.labels(record.dialect, model, str(record.status)).inc()
        self._seconds.labels(model).observe(record.total_s)
        if record.status != 401:
            self._keys.add(record.key, cost.input_tokens if record.status == 200 else 0)
        if record.status == 200:
            self._documents.labels(model).inc(cost.documents)
            self._tokens.labels(model).inc(cost.input_tokens)
            self._cached.labels(model).inc(cost.cached_tokens)
            if cost.media:
                self._media.labels(model).inc(cost.media)
                self._media_seconds.labels(model).observe(cost.media_s)
            self._queue_seconds.labels(model).observe(cost.queue_s)
            self._engine_seconds.labels(model).observe(cost.engine_s)

    def unrouted(self, status: int) -> None:
        """Count one 404 or 405."""
        self._unrouted.labels(str(status)).inc()

    def lagged(self, seconds: float) -> None:
        """Count one measurement of the event loop's lag."""
        self._lag.observe(seconds)

    def fetched(self, outcome: str, size: int, seconds: float) -> None:
        """Count one fetch of an image or a video."""
        self._fetches.labels(outcome).inc()
        self._fetched_bytes.inc(size)
        self._fetch_seconds.observe(seconds)

    def render(
        self,
        *,
        in_flight: int,
        waiting_tokens: Mapping[str, int],
        tokens_per_s: Mapping[str, float],
        backlog_s: Mapping[str, float],
        cache_bytes: Mapping[str, int],
        media_bytes: Mapping[str, int],
    ) -> tuple[bytes, str]:
        """The exposition text and its content type.

        Mappings are by model; media_bytes is by form, "encoded" or "decoded".
        """
        self._in_flight.set(in_flight)
        for gauge, values in (
            (self._waiting, waiting_tokens),
            (self._rate, tokens_per_s),
            (self._backlog, backlog_s),
            (self._cache_bytes, cache_bytes),
            (self._media_held, media_bytes),
        ):
            for label, value in values.items():
                gauge.labels(label).set(value)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def configure_logging(form: str) -> None:
    """Structured events on stderr: "json", "console", or "auto" (console on a terminal)."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def log_request(record: RequestRecord) -> None:
    """One wide event per request."""
    cost = record.cost
    structlog.get_logger().info(
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
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def log_failure(request_id: str, error: BaseException) -> None:
    """The cause of a 500, for the operator: the caller only gets the request id."""
    structlog.get_logger().error("request failed", request_id=request_id, exc_info=error)


def log_event(event: str, **fields: object) -> None:
    """Something that the operator wants to know: a reload, the end of a drain."""
    structlog.get_logger().info(event, **fields)


def log_refusal(event: str, reason: str, **fields: object) -> None:
    """Something that the operator asked for and does not get."""
    structlog.get_logger().warning(event, reason=reason, **fields)


def log_failed_task(task: str, error: BaseException) -> None:
    """Something in the background ended that should not have."""
    structlog.get_logger().error("background task failed", task=task, exc_info=error)
