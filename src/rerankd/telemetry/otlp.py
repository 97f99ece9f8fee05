"""Sends spans to a collector: OTLP over HTTP by OpenTelemetry's SDK, which is an extra.

A thread of the SDK sends batches; what it cannot send is counted and logged, and nobody waits for
it. The SDK's variables for certificates, headers, time-outs and batches work as everywhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from random import getrandbits
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from rerankd.telemetry.logs import log_refusal
from rerankd.telemetry.record import RequestRecord
from rerankd.telemetry.spans import SpanData, spans_of
from rerankd.telemetry.trace_context import CURRENT, TraceContext, begun

Count = Callable[[str, int], None]
_KINDS: Final = {
    "server": SpanKind.SERVER,
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_TOLD_S: Final = 60.0  # between two log events of a collector that is away
_LAST_S: Final = 3.0  # for what waits, when the server ends


class SpanSender:
    """Spans of one server's requests."""

    def __init__(
        self, endpoint: str, *, sample: float, service: str, version: str, count: Count
    ) -> None:
        """Begin to send what comes.

        Args:
            endpoint: URL of the collector.
            sample: share of the requests whose caller has no trace.
            service: name of this server in all spans.
            version: of rerankd.
            count: told how many spans were "made", "sent" or "failed"; on any thread.
        """
        # What the SDK says itself is in no form of ours; what matters is counted and told here.
        own = logging.getLogger("opentelemetry")
        own.addHandler(logging.NullHandler())
        own.propagate = False
        self._sample, self._count = sample, count
        self._resource = Resource.create({"service.name": service, "service.version": version})
        self._scope = InstrumentationScope("rerankd", version)
        self._processor = BatchSpanProcessor(_Counted(OTLPSpanExporter(endpoint), count))

    def begin(self, headers: Mapping[str, str]) -> TraceContext:
        """A request's trace, which its task and upstreams have from here on."""
        context = begun(headers, self._sample)
        CURRENT.set(context)
        return context

    def end(self, context: TraceContext, record: RequestRecord) -> None:
        """The request of a trace has ended, now; returns at once. In the task that began it."""
        CURRENT.set(None)
        if not context.is_sampled:
            return
        made = spans_of(record, context, time.time_ns(), lambda: getrandbits(64) or 1)
        self._count("made", len(made))
        for each in made:
            self._processor.on_end(self._span(each))

    def close(self) -> None:
        """Send what waits, for a bounded time. Blocks."""
        self._processor.force_flush(round(_LAST_S * 1000))
        self._processor.shutdown()

    def _span(self, data: SpanData) -> ReadableSpan:
        def of(span_id: int, *, is_remote: bool) -> SpanContext:
            return SpanContext(data.trace_id, span_id, is_remote, _SAMPLED)

        is_remote = data.kind == "server"  # whose caller is another program
        return ReadableSpan(
            name=data.name,
            context=of(data.span_id, is_remote=False),
            parent=of(data.parent_id, is_remote=is_remote) if data.parent_id else None,
            resource=self._resource,
            attributes=data.attributes,
            kind=_KINDS[data.kind],
            status=Status(StatusCode.ERROR if data.has_failed else StatusCode.UNSET),
            start_time=data.begin_ns,
            end_time=data.end_ns,
            instrumentation_scope=self._scope,
        )


class _Counted(SpanExporter):
    """An exporter of whose failures the operator learns."""

    def __init__(self, exporter: SpanExporter, count: Count) -> None:
        self._exporter, self._count = exporter, count
        self._told_at = -_TOLD_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; on the SDK's thread."""
        result = self._exporter.export(spans)
        is_sent = result is SpanExportResult.SUCCESS
        self._count("sent" if is_sent else "failed", len(spans))
        if not is_sent and time.monotonic() - self._told_at >= _TOLD_S:
            self._told_at = time.monotonic()
            log_refusal(
                "traces cannot be sent", "The collector does not take them.", spans=len(spans)
            )
        return result

    def shutdown(self) -> None:
        """No more comes."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)
