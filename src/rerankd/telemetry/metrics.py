"""Prometheus metrics of one server."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rerankd.core.facts import BackendFacts, UpstreamFacts
from rerankd.telemetry.families import Families, Labelled
from rerankd.telemetry.key_counts import KeyCounts
from rerankd.telemetry.ledger import LedgerMetrics
from rerankd.telemetry.record import RequestRecord
from rerankd.telemetry.shared import SharedMetrics
from rerankd.telemetry.upstreams import Upstreams
from rerankd.telemetry.workers import WorkerMetrics


class _Requests:
    """What requests were and took."""

    def __init__(self, make: Families) -> None:
        self._requests = Labelled(
            make.counter(
                "rerankd_requests_total",
                "Rerank requests by outcome.",
                "dialect",
                "model",
                "status",
            )
        )
        self._unrouted = make.counter(
            "rerankd_unrouted_total",
            "Requests for a path, or by a method, that is not served: often a wrong base URL.",
            "status",
        )
        self._keys = KeyCounts()
        make.registry.register(self._keys)
        self._documents = Labelled(
            make.counter("rerankd_documents_total", "Documents ranked.", "model")
        )
        self._tokens = Labelled(
            make.counter("rerankd_input_tokens_total", "Tokens of all pairs.", "model")
        )
        self._uncounted = Labelled(
            make.counter(
                "rerankd_uncounted_requests_total",
                "Answers whose tokens are not known: an upstream did not tell them.",
                "model",
            )
        )
        self._cached = Labelled(
            make.counter(
                "rerankd_cached_tokens_total",
                "Input tokens that the score cache answered or the engine remembered; "
                "the rest ran.",
                "model",
            )
        )
        self._seconds = Labelled(
            make.seconds("rerankd_request_seconds", "Time of a request after its headers.", "model")
        )
        self._queue_seconds = Labelled(
            make.seconds(
                "rerankd_queue_seconds", "Time that a request waited for the engine.", "model"
            )
        )
        self._engine_seconds = Labelled(
            make.seconds(
                "rerankd_engine_seconds", "Time from a request's first row to its last.", "model"
            )
        )
        self._media_seconds = Labelled(
            make.seconds(
                "rerankd_media_seconds",
                "Time until a request's images and videos were fetched and decoded.",
                "model",
            )
        )
        self._media = Labelled(
            make.counter("rerankd_media_total", "Images and videos ranked.", "model")
        )

    def observe(self, record: RequestRecord) -> None:
        cost, model, status = record.cost, record.model, record.status
        self._requests.of(record.dialect, model, str(status)).inc()
        self._seconds.of(model).observe(record.total_s)
        if status != 401:
            self._keys.add(record.key, (cost.input_tokens or 0) if status == 200 else 0)
        if status == 200:
            self._documents.of(model).inc(cost.documents)
            if cost.input_tokens is None:
                self._uncounted.of(model).inc()
            else:
                self._tokens.of(model).inc(cost.input_tokens)
            self._cached.of(model).inc(cost.cached_tokens)
            if cost.media:
                self._media.of(model).inc(cost.media)
                self._media_seconds.of(model).observe(cost.media_s)
            self._queue_seconds.of(model).observe(cost.queue_s)
            self._engine_seconds.of(model).observe(cost.engine_s)

    def unrouted(self, status: int) -> None:
        self._unrouted.labels(str(status)).inc()


class _Fetches:
    """What came from the URLs of images and videos."""

    def __init__(self, make: Families) -> None:
        self._fetches = make.counter(
            "rerankd_media_fetches_total",
            "URLs of images and videos by how the fetch ended.",
            "outcome",
        )
        self._bytes = make.counter(
            "rerankd_media_fetched_bytes_total", "Bytes that came from URLs."
        )
        self._seconds = make.seconds(
            "rerankd_media_fetch_seconds",
            "Time of one fetch, redirects and its wait for a turn included.",
        )

    def fetched(self, outcome: str, size: int, seconds: float) -> None:
        self._fetches.labels(outcome).inc()
        self._bytes.inc(size)
        self._seconds.observe(seconds)


class _Now:
    """What there is at the moment."""

    def __init__(self, make: Families) -> None:
        self.media_bytes = make.gauge(
            "rerankd_media_held_bytes", "Bytes of images and videos in memory.", "form"
        )
        self.in_flight = make.gauge("rerankd_requests_in_flight", "Rerank requests in progress.")
        self.waiting = make.gauge("rerankd_queue_tokens", "Tokens that wait per model.", "model")
        self.rate = make.gauge(
            "rerankd_tokens_per_second",
            "How fast a model works, measured while there was work; 0 = not known yet.",
            "model",
        )
        self.backlog = make.gauge(
            "rerankd_backlog_seconds",
            "Work that waits at that rate, requests that are being tokenised included.",
            "model",
        )
        self.lag = make.seconds(
            "rerankd_loop_lag_seconds",
            "How late the event loop was, measured ten times a second.",
        )
        self.model = make.gauge(
            "rerankd_model_info",
            "1 for every model that is served: how it runs, and the space of its scores.",
            *("model", "engine", "device", "precision", "space"),
        )
        self.cache_bytes = make.gauge(
            "rerankd_score_cache_bytes", "Memory of the score cache.", "model"
        )


class _Spans:
    """What became of spans."""

    def __init__(self, make: Families) -> None:
        self._spans = make.counter(
            "rerankd_spans_total",
            "Spans of traces that were made, and of them those sent, or failed to be.",
            "state",
        )

    def spans(self, state: str, count: int) -> None:
        self._spans.labels(state).inc(count)


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series per counter that nobody reads
        make = Families()
        self._registry = make.registry
        self._requests = _Requests(make)
        self._fetches = _Fetches(make)
        self._upstreams = Upstreams(make)
        self._now = _Now(make)
        self._spans = _Spans(make)
        self._workers = WorkerMetrics()
        make.registry.register(self._workers)

    def observe(self, record: RequestRecord) -> None:
        """Count one finished request."""
        self._requests.observe(record)
        if record.route is not None and record.status == 200:
            self._upstreams.answered(record.route)

    def attempted(self, upstream: str, outcome: str, seconds: float) -> None:
        """Count one request to an upstream."""
        self._upstreams.attempted(upstream, outcome, seconds)

    def shadowed(
        self,
        route: str,
        outcome: str,
        order: float | None,
        seconds: tuple[float, float],
        tokens: tuple[int | None, int | None],
    ) -> None:
        """Count one comparison of a route's shadow with who answered; pairs are in that order."""
        self._upstreams.shadowed(route, outcome, order, seconds, tokens)

    def use_ledger(self, ledger: LedgerMetrics) -> None:
        """Show how the usage ledger does."""
        self._registry.register(ledger)

    def use_shared(self, shared: SharedMetrics) -> None:
        """Show how the counts do that several servers share."""
        self._registry.register(shared)

    def unrouted(self, status: int) -> None:
        """Count one 404 or 405."""
        self._requests.unrouted(status)

    def lagged(self, seconds: float) -> None:
        """Count one measurement of the event loop's lag."""
        self._now.lag.observe(seconds)

    def fetched(self, outcome: str, size: int, seconds: float) -> None:
        """Count one fetch of an image or a video."""
        self._fetches.fetched(outcome, size, seconds)

    def spans(self, state: str, count: int) -> None:
        """Count spans that were "made", "sent" or "failed"; on any thread."""
        self._spans.spans(state, count)

    def render(
        self, facts: BackendFacts, *, in_flight: int, upstreams: Sequence[UpstreamFacts] = ()
    ) -> tuple[bytes, str]:
        """The exposition text and its content type."""
        self._upstreams.set(upstreams)
        self._workers.facts = facts.workers
        now = self._now
        now.in_flight.set(in_flight)
        now.model.clear()
        for model in facts.ready:
            runs = (model.engine, model.device, model.precision, model.space)
            now.model.labels(model.name, *runs).set(1)
            now.waiting.labels(model.name).set(model.waiting_tokens)
            now.rate.labels(model.name).set(model.tokens_per_s)
            now.backlog.labels(model.name).set(model.backlog_s)
            if model.cache_bytes is not None:
                now.cache_bytes.labels(model.name).set(model.cache_bytes)
        for form, size in facts.media_bytes.items():
            now.media_bytes.labels(form).set(size)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
