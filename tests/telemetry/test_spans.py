"""Spans of a record: one behind the other, inside the request, without what is empty."""

from __future__ import annotations

from itertools import count
from typing import Any

from rerankd.core.answer import RouteFacts
from rerankd.core.cost import Cost
from rerankd.telemetry.record import RequestRecord
from rerankd.telemetry.spans import spans_of
from rerankd.telemetry.trace_context import begun

END = 10_000_000_000


def record(**values: Any) -> RequestRecord:
    base: dict[str, Any] = {
        "request_id": "rerank-1",
        "path": "/v1/rerank",
        "client": "",
        "agent": "",
        "dialect": "superset",
        "key": "shop",
        "asked": "",
        "model": "mini",
        "status": 200,
        "error": "",
        "body_bytes": 10,
        "cost": Cost(documents=3, prepare_s=0.25, queue_s=0.5, engine_s=1.0),
        "total_s": 2.0,
    }
    return RequestRecord(**base | values)


def test_steps_stand_one_behind_the_other_in_the_request() -> None:
    context = begun({}, 1.0, lambda size: size)
    found = spans_of(record(), context, END, count(1).__next__)
    assert [(each.name, each.begin_ns, each.end_ns) for each in found] == [
        ("POST /v1/rerank", END - 2_000_000_000, END),
        ("prepare", 8_000_000_000, 8_250_000_000),
        ("queue", 8_250_000_000, 8_750_000_000),
        ("engine", 8_750_000_000, 9_750_000_000),
    ]
    request, *steps = found
    assert (request.span_id, request.parent_id, request.kind) == (64, 0, "server")
    assert [(each.span_id, each.parent_id, each.kind) for each in steps] == [
        (1, 64, "internal"),
        (2, 64, "internal"),
        (3, 64, "internal"),
    ]
    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/v1/rerank",
        "rerankd.request_id": "rerank-1",
        "rerankd.dialect": "superset",
        "rerankd.key": "shop",
        "rerankd.model": "mini",
        "rerankd.documents": 3,
        "rerankd.pairs": 0,
        "rerankd.input_tokens": 0,
        "rerankd.cached_tokens": 0,
    }
    assert not request.has_failed


def test_steps_of_stages_that_overlap_end_with_the_request() -> None:
    cost = Cost(prepare_s=1.5, engine_s=1.5, upstream_s=1.0)
    found = spans_of(record(cost=cost), begun({}, 1.0), END, count(1).__next__)
    assert all(END - 2_000_000_000 <= each.begin_ns <= each.end_ns <= END for each in found)


def test_an_upstreams_step_is_what_the_upstream_was_told() -> None:
    context = begun({}, 1.0)
    route = RouteFacts(route="search", upstream="partner", model="large", space="x")
    cost = Cost(upstream_s=0.5, input_tokens=None)
    told = record(cost=cost, route=route, attempts=("spare: timeout after 3 s",), status=502)
    request, step = spans_of(told, context, END, count(1).__next__)
    assert (step.name, step.kind, step.span_id) == ("upstream", "client", context.upstream_id)
    assert f"-{step.span_id:016x}-" in context.headers()["traceparent"]
    assert step.attributes == {"rerankd.upstream": "partner"}
    assert request.attributes["rerankd.attempts"] == ("spare: timeout after 3 s",)
    assert "rerankd.input_tokens" not in request.attributes
    assert request.has_failed
