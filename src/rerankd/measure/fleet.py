"""How servers do, from what their /metrics say at two moments: rates, quantiles, queues."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from rerankd.core.errors import StartError

_Labels = frozenset[tuple[str, str]]
_ANSWERED: Final = ("status", "200")


@dataclass(frozen=True, slots=True)
class MetricsReading:
    """What one server said, by sample and its labels; `at` in seconds by any clock."""

    at: float
    samples: Mapping[str, Mapping[_Labels, float]] = field(
        default_factory=dict[str, Mapping[_Labels, float]]
    )

    def values(self, name: str) -> Iterable[tuple[dict[str, str], float]]:
        """The samples of a name, by their labels."""
        return ((dict(labels), value) for labels, value in self.samples.get(name, {}).items())


class ServerNow(msgspec.Struct, frozen=True, kw_only=True):
    """How one server did between two readings, or all of them together; None = not known."""

    server: str
    state: str  # "ready", "loading", "draining", "away"; of all: how many are ready
    requests_per_s: float = 0.0
    not_answered: float | None = None  # share, in [0, 1]
    p50_ms: float | None = None  # of requests that ended between
    p95_ms: float | None = None
    documents_per_s: float = 0.0
    tokens_per_s: float = 0.0
    in_flight: int = 0
    backlog_s: float = 0.0  # of the model with the most
    lag_p99_ms: float | None = None  # of the event loop
    models: tuple[str, ...] = ()


def reading(text: str, at: float) -> MetricsReading:
    """What /metrics said.

    Raises:
        StartError: it is no exposition of rerankd.
    """
    samples: dict[str, dict[_Labels, float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found = samples.setdefault(sample.name, {})
                found[frozenset(sample.labels.items())] = float(sample.value)
    except (ValueError, KeyError, IndexError) as error:
        raise StartError(f"no metrics: {error}") from None
    if "rerankd_requests_in_flight" not in samples:
        raise StartError("no metrics of rerankd")
    return MetricsReading(at, samples)


def server_now(server: str, state: str, before: MetricsReading, after: MetricsReading) -> ServerNow:
    """How one server did between two readings of it."""
    return _now(server, state, [(before, after)])


def all_now(found: Iterable[tuple[str, MetricsReading, MetricsReading]]) -> ServerNow:
    """All together: sums, quantiles of all requests, the longest backlog.

    Args:
        found: state and two readings of each that answers.
    """
    known = list(found)
    ready = sum(state == "ready" for state, _, _ in known)
    return _now("all", f"{ready} ready", [(before, after) for _, before, after in known])


def quantile(counts: Mapping[float, float], share: float) -> float | None:
    """Of a histogram, linear between the bounds of a class; None = it is empty.

    Args:
        counts: upper bound -> how many are at most that, the last bound infinite.
        share: in (0, 1).
    """
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    below, lower = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= share * total:
            if math.isinf(bound):
                return lower
            inside = counts[bound] - below
            return lower + (bound - lower) * ((share * total - below) / inside if inside else 0.0)
        below, lower = counts[bound], bound
    return lower


def _now(server: str, state: str, pairs: list[tuple[MetricsReading, MetricsReading]]) -> ServerNow:
    def per_s(name: str, keep: Callable[[dict[str, str]], bool] = lambda _: True) -> float:
        return sum(
            sum(value for labels, value in _grown(name, *pair) if keep(labels)) / _seconds(*pair)
            for pair in pairs
        )

    def latest(name: str) -> list[tuple[dict[str, str], float]]:
        return [each for _, after in pairs for each in after.values(name)]

    requests = per_s("rerankd_requests_total")
    answered = per_s("rerankd_requests_total", lambda labels: _ANSWERED in labels.items())
    took = _classes("rerankd_request_seconds_bucket", pairs)
    lag = quantile(_classes("rerankd_loop_lag_seconds_bucket", pairs), 0.99)
    return ServerNow(
        server=server,
        state=state,
        requests_per_s=requests,
        not_answered=1 - answered / requests if requests else None,
        p50_ms=_ms(quantile(took, 0.5)),
        p95_ms=_ms(quantile(took, 0.95)),
        documents_per_s=per_s("rerankd_documents_total"),
        tokens_per_s=per_s("rerankd_input_tokens_total"),
        in_flight=round(sum(value for _, value in latest("rerankd_requests_in_flight"))),
        backlog_s=max((value for _, value in latest("rerankd_backlog_seconds")), default=0.0),
        lag_p99_ms=_ms(lag),
        models=tuple(sorted({labels["model"] for labels, _ in latest("rerankd_model_info")})),
    )


def _grown(
    name: str, before: MetricsReading, after: MetricsReading
) -> Iterable[tuple[dict[str, str], float]]:
    """How much counters grew; of one that is smaller now the server was started again."""
    known = before.samples.get(name, {})
    for labels, value in after.samples.get(name, {}).items():
        was = known.get(labels, 0.0)
        yield dict(labels), value - was if value >= was else value


def _classes(
    name: str, pairs: Iterable[tuple[MetricsReading, MetricsReading]]
) -> dict[float, float]:
    """A histogram of what came between, over all labels and servers."""
    found: dict[float, float] = {}
    for pair in pairs:
        for labels, grown in _grown(name, *pair):
            bound = float(labels["le"])
            found[bound] = found.get(bound, 0.0) + grown
    return found


def _seconds(before: MetricsReading, after: MetricsReading) -> float:
    return max(after.at - before.at, 1e-9)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
