"""How long targets took of late."""

from __future__ import annotations

from rerankd.gateway.latency import Latencies


def test_the_mean_and_the_usual_time_of_the_last_64() -> None:
    found = Latencies()
    assert (found.mean_s("a", 0), found.usual_s("a")) == (None, 0)
    for n in range(100):
        found.end("a", float(n))
    assert found.mean_s("a", 0) == sum(range(36, 100)) / 64
    assert found.usual_s("a") == 36 + int(0.9 * 63)


def test_whom_nobody_asked_for_30_s_is_worth_one_try() -> None:
    found = Latencies()
    found.begin("a", 0)
    found.end("a", 5.0)
    assert found.mean_s("a", 29.9) == 5.0
    assert found.mean_s("a", 30) is None
    found.begin("a", 30)
    assert found.mean_s("a", 30) == 5.0  # the next request goes elsewhere again
