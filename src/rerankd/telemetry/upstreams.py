"""Metrics of upstreams, routes and shadows."""

from __future__ import annotations

from collections.abc import Sequence

from rerankd.core.answer import RouteFacts
from rerankd.core.facts import UpstreamFacts
from rerankd.telemetry.families import Families


class Upstreams:
    """Who else was asked, and how they do."""

    def __init__(self, make: Families) -> None:
        self._attempts = make.counter(
            "rerankd_upstream_requests_total",
            "Requests to upstreams by how they ended.",
            "upstream",
            "outcome",
        )
        self._seconds = make.seconds(
            "rerankd_upstream_seconds", "Time of one request to an upstream.", "upstream"
        )
        self._answers = make.counter(
            "rerankd_route_answers_total",
            "Answers for routed names by who gave them; degraded: what stood in, if all failed.",
            "route",
            "target",
            "degraded",
        )
        self._state = make.gauge(
            "rerankd_upstream_state", "1 for the state that its breaker is in.", "upstream", "state"
        )
        self._in_flight = make.gauge(
            "rerankd_upstream_requests_in_flight", "Requests to it in progress.", "upstream"
        )
        self._keys = make.gauge(
            "rerankd_upstream_keys",
            "Its keys: good, resting after a 429, refused with 401, 402 or 403.",
            "upstream",
            "state",
        )

        self._shadows = make.counter(
            "rerankd_shadow_total", "Comparisons of a shadow by how they ended.", "route", "outcome"
        )
        self._order = make.correlation(
            "rerankd_shadow_order",
            "Spearman's correlation of the shadow's scores with those of the answer.",
            "route",
        )
        self._both_seconds = make.seconds(
            "rerankd_shadow_seconds", "Time of the shadow, and of who answered.", "route", "who"
        )
        self._both_tokens = make.counter(
            "rerankd_shadow_input_tokens_total",
            "Tokens of the compared requests, as each counted them.",
            "route",
            "who",
        )

    def attempted(self, upstream: str, outcome: str, seconds: float) -> None:
        """Count one request to an upstream."""
        self._attempts.labels(upstream, outcome).inc()
        self._seconds.labels(upstream).observe(seconds)

    def answered(self, route: RouteFacts) -> None:
        """Count one answer for a routed name."""
        target = f"{route.upstream or 'local'}/{route.model}"
        self._answers.labels(route.route, target, route.degraded).inc()

    def set(self, upstreams: Sequence[UpstreamFacts]) -> None:
        """Show how each does now."""
        for gauge in (self._state, self._in_flight, self._keys):
            gauge.clear()
        for found in upstreams:
            for state in ("closed", "open", "probing", "off"):
                self._state.labels(found.name, state).set(found.state == state)
            self._in_flight.labels(found.name).set(found.in_flight)
            self._keys.labels(found.name, "good").set(found.keys)
            self._keys.labels(found.name, "resting").set(found.keys_resting)
            self._keys.labels(found.name, "refused").set(found.keys_refused)

    def shadowed(
        self,
        route: str,
        outcome: str,
        order: float | None,
        seconds: tuple[float, float],
        tokens: tuple[int | None, int | None],
    ) -> None:
        """Count one comparison; pairs: of the shadow, of who answered."""
        self._shadows.labels(route, outcome).inc()
        if outcome != "ok":
            return
        if order is not None:
            self._order.labels(route).observe(order)
        for who, took, count in zip(("shadow", "answer"), seconds, tokens, strict=True):
            self._both_seconds.labels(route, who).observe(took)
            if None not in tokens and count is not None:  # both or none: they are compared
                self._both_tokens.labels(route, who).inc(count)
