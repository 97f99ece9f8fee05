"""How the workers do; there are no such metrics where one process does all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from rerankd.core.facts import WorkerFacts

F = TypeVar("F", GaugeMetricFamily, CounterMetricFamily)
_Family = tuple[str, str, Callable[[WorkerFacts], float]]

_GAUGES: Final[tuple[_Family, ...]] = (
    ("rerankd_worker_up", "1 for a worker that is asked.", lambda w: w.state == "running"),
    ("rerankd_worker_requests_in_flight", "Requests that were sent there.", lambda w: w.running),
    ("rerankd_worker_queue_tokens", "Tokens that wait there.", lambda w: w.waiting_tokens),
    ("rerankd_worker_work_seconds", "Work that was sent there, as reckoned.", lambda w: w.work_s),
    ("rerankd_worker_lag_seconds", "How late its event loop is.", lambda w: w.lag_s),
)
_COUNTERS: Final[tuple[_Family, ...]] = (
    ("rerankd_worker_requests", "Requests that it answered.", lambda w: w.answered),
    ("rerankd_worker_restarts", "Processes that took the place of one.", lambda w: w.restarts),
    ("rerankd_worker_reruns", "Requests that ran again when it had ended.", lambda w: w.reruns),
)


class WorkerMetrics:
    """A collector of prometheus-client."""

    def __init__(self) -> None:
        self.facts: Sequence[WorkerFacts] = ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All families, by worker; none without workers."""
        if not self.facts:
            return
        for name, about, value in _GAUGES:
            yield self._filled(GaugeMetricFamily(name, about, labels=["worker"]), value)
        for name, about, value in _COUNTERS:
            yield self._filled(CounterMetricFamily(name, about, labels=["worker"]), value)

    def _filled(self, family: F, value: Callable[[WorkerFacts], float]) -> F:
        for worker in self.facts:
            family.add_metric([str(worker.number)], float(value(worker)))
        return family
