"""How the usage ledger does; there are no such metrics without a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


class LedgerMetrics:
    """A collector of prometheus-client."""

    def __init__(
        self, facts: Callable[[], tuple[int, float]], looks_failed: Callable[[], int]
    ) -> None:
        """Nothing is lost yet.

        Args:
            facts: bytes that wait for the database, and for how many seconds it has been away.
            looks_failed: how often it could not be seen whether keys have changed.
        """
        self._facts = facts
        self._looks_failed = looks_failed
        self._refused = self._lost = 0

    def refused(self) -> None:
        """Count a request that was refused, because the ledger could not take it."""
        self._refused += 1

    def lost(self) -> None:
        """Count one that was answered all the same."""
        self._lost += 1

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All families."""
        backlog, away_s = self._facts()
        yield CounterMetricFamily(
            "rerankd_ledger_lost",
            "Requests that were answered and are not in the ledger: store.when_full = serve.",
            value=self._lost,
        )
        yield CounterMetricFamily(
            "rerankd_ledger_refused",
            "Requests that were refused because the ledger could not take them.",
            value=self._refused,
        )
        yield CounterMetricFamily(
            "rerankd_store_looks_failed",
            "Looks for changed keys that failed; those read before stay in force.",
            value=self._looks_failed(),
        )
        yield GaugeMetricFamily(
            "rerankd_ledger_backlog_bytes", "Lines that wait for the database.", value=backlog
        )
        yield GaugeMetricFamily(
            "rerankd_store_away_seconds", "How long the database has been away.", value=away_s
        )
