"""How the counts do that several servers share; there are no such metrics where none do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


class SharedFacts(NamedTuple):
    """What a server knows of them."""

    servers: int
    is_away: bool
    steps: int
    transactions: int
    failures: int
    alone: int


class SharedMetrics:
    """A collector of prometheus-client."""

    def __init__(self, facts: Callable[[], SharedFacts]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All families."""
        facts = self._facts()
        yield GaugeMetricFamily(
            "rerankd_shared_servers", "Servers that share the counts.", value=facts.servers
        )
        yield GaugeMetricFamily(
            "rerankd_shared_away", "1 while the counts cannot be reached.", value=facts.is_away
        )
        yield CounterMetricFamily(
            "rerankd_shared_steps", "Takings and returns of limits and budgets.", value=facts.steps
        )
        yield CounterMetricFamily(
            "rerankd_shared_transactions", "Transactions that did them.", value=facts.transactions
        )
        yield CounterMetricFamily(
            "rerankd_shared_failures", "Transactions that failed.", value=facts.failures
        )
        yield CounterMetricFamily(
            "rerankd_shared_alone",
            "Takings that a server counted alone: store.when_away = alone.",
            value=facts.alone,
        )
