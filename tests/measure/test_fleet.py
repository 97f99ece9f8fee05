"""Rates and quantiles between two readings of /metrics."""

from __future__ import annotations

import math

import pytest

from rerankd.core.errors import StartError
from rerankd.measure.fleet import all_now, quantile, reading, server_now

TEXT = """
# TYPE rerankd_requests_total counter
rerankd_requests_total{dialect="superset",model="mini",status="200"} %d
rerankd_requests_total{dialect="superset",model="mini",status="503"} %d
# TYPE rerankd_documents_total counter
rerankd_documents_total{model="mini"} %d
# TYPE rerankd_input_tokens_total counter
rerankd_input_tokens_total{model="mini"} 1000
# TYPE rerankd_request_seconds histogram
rerankd_request_seconds_bucket{le="0.1",model="mini"} %d
rerankd_request_seconds_bucket{le="0.2",model="mini"} %d
rerankd_request_seconds_bucket{le="+Inf",model="mini"} %d
# TYPE rerankd_requests_in_flight gauge
rerankd_requests_in_flight 3
# TYPE rerankd_backlog_seconds gauge
rerankd_backlog_seconds{model="mini"} 0.5
rerankd_backlog_seconds{model="other"} 1.5
# TYPE rerankd_model_info gauge
rerankd_model_info{device="CPU",engine="x",model="mini",precision="int8",space="mini"} 1
"""
FIRST = reading(TEXT % (100, 0, 500, 50, 100, 100), 10.0)
SECOND = reading(TEXT % (130, 10, 700, 70, 120, 140), 20.0)


def test_figures_are_of_what_came_between() -> None:
    found = server_now("a", "ready", FIRST, SECOND)
    assert found.requests_per_s == pytest.approx(4.0)
    assert found.not_answered == pytest.approx(0.25)
    assert found.documents_per_s == pytest.approx(20.0)
    assert found.tokens_per_s == 0
    assert (found.in_flight, found.backlog_s, found.models) == (3, 1.5, ("mini",))
    assert found.p50_ms == pytest.approx(100)  # 20 of 40 within 0.1 s
    assert found.p95_ms == pytest.approx(200)  # over the last bound: that bound
    assert found.lag_p99_ms is None


def test_of_nothing_there_is_no_share_and_no_quantile() -> None:
    found = server_now("a", "ready", FIRST, FIRST)
    assert (found.requests_per_s, found.not_answered, found.p50_ms) == (0.0, None, None)


def test_a_server_that_was_started_again_counts_from_its_start() -> None:
    found = server_now("a", "ready", SECOND, reading(TEXT % (20, 0, 40, 0, 0, 20), 30.0))
    assert found.requests_per_s == pytest.approx(2.0)
    assert found.documents_per_s == pytest.approx(4.0)


def test_many_are_added_up_and_their_quantiles_are_of_all_requests() -> None:
    slow = reading(TEXT % (100, 0, 500, 50, 100, 100), 10.0)
    slower = reading(TEXT % (160, 0, 500, 50, 160, 160), 20.0)
    found = all_now([("ready", FIRST, SECOND), ("loading", slow, slower)])
    assert (found.server, found.state) == ("all", "1 ready")
    assert found.requests_per_s == pytest.approx(10.0)
    assert found.in_flight == 6
    assert found.not_answered == pytest.approx(0.1)
    # 20 of 100 within 0.1 s, 80 within 0.2 s
    assert found.p50_ms == pytest.approx(150.0)


def test_a_quantile_is_linear_inside_its_class() -> None:
    assert quantile({1.0: 0, 2.0: 10, math.inf: 10}, 0.5) == pytest.approx(1.5)
    assert quantile({1.0: 10, math.inf: 10}, 0.5) == pytest.approx(0.5)
    assert quantile({1.0: 0, math.inf: 5}, 0.5) == 1.0
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize("text", ["", "<html>", "other_total 1\n", "a{b=1} x\n"])
def test_what_is_no_metrics_of_rerankd_is_said(text: str) -> None:
    with pytest.raises(StartError, match="no metrics"):
        reading(text, 0.0)
