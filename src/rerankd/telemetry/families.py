"""Makes metrics in one registry."""

from __future__ import annotations

from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_CORRELATIONS = (0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1)


F = TypeVar("F", Counter, Histogram)


class Labelled(Generic[F]):
    """A family whose series are asked for at every request: each is looked up once."""

    def __init__(self, family: F) -> None:
        self._family = family
        self._series: dict[tuple[str, ...], F] = {}

    def of(self, *labels: str) -> F:
        """The series of these labels; shown from now on."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = self._family.labels(*labels)
        return found


class Families:
    """Makes metrics in one registry, in the order in which they are shown."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()  # none of the process, so tests run side by side

    def counter(self, name: str, about: str, *labels: str) -> Counter:
        """Something that is counted."""
        return Counter(name, about, labels, registry=self.registry)

    def gauge(self, name: str, about: str, *labels: str) -> Gauge:
        """Something that rises and falls."""
        return Gauge(name, about, labels, registry=self.registry)

    def seconds(self, name: str, about: str, *labels: str) -> Histogram:
        """How long something takes."""
        return Histogram(name, about, labels, buckets=_SECONDS, registry=self.registry)

    def correlation(self, name: str, about: str, *labels: str) -> Histogram:
        """A number in [-1, 1], of interest near 1."""
        return Histogram(name, about, labels, buckets=_CORRELATIONS, registry=self.registry)
