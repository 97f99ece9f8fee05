"""Counts by key, with a bound on the number of series."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily

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
