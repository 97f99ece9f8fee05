"""Traces of requests: what a collector gets, and what an upstream is told."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from rerankd import __version__
from rerankd.core.errors import StartError
from rerankd.web import assemble
from tests.kit.collector import Collector, attributes, collecting
from tests.kit.providers import CALLABLE, KEY, ROWS, Fake, listen
from tests.kit.support import body, running, settings

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}


def traced(collector: Collector, **more: Any) -> dict[str, Any]:
    return {"traces": {"endpoint": collector.url, **more}}


async def test_a_request_and_its_steps_arrive() -> None:
    with collecting() as collector:
        async with running(traced(collector, service="search")) as (client, _):
            answer = await client.post("/v1/rerank", json=body(), headers=PARENT)
            assert answer.status_code == 200
            assert (await client.post("/v1/rerank", json={})).status_code == 400
        first, refused = (each for each in collector.spans if each.name == "POST /v1/rerank")
    assert first.trace_id.hex() == TRACE
    assert first.parent_span_id.hex() == CALLER
    assert first.kind == 2  # SERVER
    told = attributes(first)
    assert told["rerankd.request_id"] == answer.headers["x-request-id"]
    assert told["http.response.status_code"] == 200
    assert told["rerankd.documents"] == len(body()["documents"])
    steps = [each for each in collector.spans if each.parent_span_id == first.span_id]
    assert {each.name for each in steps} == {"prepare", "queue", "engine"}
    assert {each.trace_id.hex() for each in steps} == {TRACE}
    for each in steps:
        assert first.start_time_unix_nano <= each.start_time_unix_nano
        assert each.start_time_unix_nano <= each.end_time_unix_nano <= first.end_time_unix_nano
    assert (refused.parent_span_id, refused.trace_id.hex() == TRACE) == (b"", False)
    assert attributes(refused)["error.type"] == "invalid_request"
    assert refused.status.code == 0  # the caller's mistake
    assert collector.resources[0]["service.name"] == "search"
    assert collector.resources[0]["service.version"] == __version__
    assert collector.headers[0]["content-type"] == "application/x-protobuf"


async def test_no_text_and_no_key_is_in_a_span() -> None:
    secret = "sk-secret-of-a-caller-0123456789"
    asked = body() | {"query": "a private question", "documents": ["a private document"]}
    with collecting() as collector:
        keys = {"keys": [{"name": "shop", "key": secret}]}
        async with running(traced(collector) | keys) as (client, _):
            headers = {"authorization": f"Bearer {secret}"}
            await client.post("/v1/rerank", json=asked, headers=headers)
    everything = "".join(str(each) for each in collector.spans)
    assert attributes(collector.named("POST /v1/rerank"))["rerankd.key"] == "shop"
    assert "private" not in everything
    assert secret not in everything


@pytest.mark.parametrize("percent", [0, 100])
async def test_the_caller_says_whether_his_trace_is_sampled(percent: int) -> None:
    quiet = {"traceparent": PARENT["traceparent"][:-1] + "0"}
    with collecting() as collector:
        async with running(traced(collector, sample_percent=percent)) as (client, state):
            await client.post("/v1/rerank", json=body(), headers=PARENT)
            await client.post("/v1/rerank", json=body(), headers=quiet)
            await client.post("/v1/rerank", json=body())
            shown = state.metrics.render(state.backend.facts(), in_flight=0)[0].decode()
        found = [each for each in collector.spans if each.name == "POST /v1/rerank"]
    assert len(found) == 1 + percent // 100
    assert f'rerankd_spans_total{{state="made"}} {len(collector.spans):.1f}' in shown


async def test_an_upstream_is_told_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    fake = Fake(next(each for each in CALLABLE if each.name == "jina"), ROWS[0])
    async with listen(fake) as port:
        there = {
            "upstream": {
                "partner": {
                    "dialect": "jina",
                    "url": f"http://127.0.0.1:{port}/v1",
                    "key_env": "PROVIDER_KEY",
                }
            },
            "route": {"far": {"to": [{"upstream": "partner", "name": "large"}]}},
        }
        asked = body() | {"model": "far"}
        with collecting() as collector:
            async with running(traced(collector) | there) as (client, _):
                answer = await client.post("/v1/rerank", json=asked, headers=PARENT)
                assert answer.status_code == 200, answer.text
        async with running(there) as (client, _):
            answer = await client.post("/v1/rerank", json=asked, headers=PARENT)
            assert answer.status_code == 200
    with_traces, without = (each.wire.headers for each in fake.asked)
    step = collector.named("upstream")
    assert with_traces["traceparent"] == f"00-{TRACE}-{step.span_id.hex()}-01"
    assert with_traces["tracestate"] == "vendor=1"
    assert step.parent_span_id == collector.named("POST /v1/rerank").span_id
    assert attributes(step)["rerankd.upstream"] == "partner"
    assert not {"traceparent", "tracestate"} & without.keys()


async def test_a_collector_that_refuses_is_told_once_and_no_request_fails() -> None:
    with collecting() as collector, structlog.testing.capture_logs() as logs:
        collector.status = 400
        async with running(traced(collector)) as (client, state):
            for _ in range(3):
                assert (await client.post("/v1/rerank", json=body())).status_code == 200
        shown = state.metrics.render(state.backend.facts(), in_flight=0)[0].decode()
    made = [line.split()[-1] for line in shown.splitlines() if 'spans_total{state="made"' in line]
    assert f'rerankd_spans_total{{state="failed"}} {made[0]}' in shown
    assert 'state="sent"' not in shown
    assert [each["event"] for each in logs].count("traces cannot be sent") == 1


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(StartError, match=r"^traces\.endpoint: "):
        assemble.make_state(settings(traces={"endpoint": "127.0.0.1:4318"}))


def test_without_the_extra_the_server_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    wanted = settings(traces={"endpoint": "http://127.0.0.1:1/v1/traces"})
    with pytest.raises(StartError, match=r"rerankd\[otel\]"):
        assemble.make_state(wanted)
