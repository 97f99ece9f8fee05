"""traceparent and tracestate: what is taken over, what is passed on."""

from __future__ import annotations

import pytest

from rerankd.telemetry.trace_context import CURRENT, TraceContext, begun, sent_headers

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{CALLER}-01"


def bits(size: int) -> int:
    return size  # 64, 128


def read(**headers: str) -> TraceContext:
    return begun(headers, 0.0, bits)


def test_a_callers_trace_goes_on() -> None:
    found = read(traceparent=GOOD, tracestate="vendor=1,other=2")
    assert f"{found.trace_id:032x}" == TRACE
    assert f"{found.parent_id:016x}" == CALLER
    assert found.is_sampled
    assert found.span_id == 64
    sent = found.headers()
    assert sent == {
        "traceparent": f"00-{TRACE}-{64:016x}-01",
        "tracestate": "vendor=1,other=2",
    }


def test_a_caller_who_does_not_sample_is_heeded() -> None:
    found = begun({"traceparent": GOOD[:-2] + "02"}, 1.0, bits)
    assert not found.is_sampled
    assert found.headers()["traceparent"].endswith("-00")


def test_a_later_version_may_say_more() -> None:
    assert read(traceparent=f"cc-{TRACE}-{CALLER}-01-more").parent_id == int(CALLER, 16)
    assert read(traceparent=f"cc-{TRACE}-{CALLER}-01").parent_id == int(CALLER, 16)


@pytest.mark.parametrize(
    "said",
    [
        "",
        GOOD.upper(),
        GOOD + "-more",
        f"ff-{TRACE}-{CALLER}-01",
        f"00-{'0' * 32}-{CALLER}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GOOD + " ",
        GOOD + "\n",
        GOOD[:-1],
        f"00-{TRACE[:-1]}é-{CALLER}-01",
    ],
)
def test_what_is_no_trace_begins_a_new_one(said: str) -> None:
    found = read(traceparent=said, tracestate="vendor=1")
    assert (found.trace_id, found.parent_id, found.state) == (128, 0, "")


@pytest.mark.parametrize("state", ["x" * 513, "a=\r\nb", "ü=1"])
def test_a_state_that_cannot_be_sent_is_left_out(state: str) -> None:
    assert read(traceparent=GOOD, tracestate=state).state == ""


def test_of_new_traces_a_share_is_sampled() -> None:
    low = iter([1, 1, (1 << 127) + (1 << 62), 1, 1, (1 << 127) + (3 << 62)])
    quarter = begun({}, 0.5, lambda _: next(low))
    rest = begun({}, 0.5, lambda _: next(low))
    assert quarter.is_sampled
    assert not rest.is_sampled
    assert begun({}, 1.0).is_sampled
    assert not begun({}, 0.0).is_sampled


def test_no_id_is_zero() -> None:
    found = begun({}, 1.0, lambda _: 0)
    assert (found.trace_id, found.span_id, found.upstream_id) == (1, 1, 1)


def test_outside_of_a_request_nothing_is_told() -> None:
    assert CURRENT.get() is None
    assert sent_headers() == {}
