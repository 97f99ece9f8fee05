"""Routed names: who answers, what it costs the key, and what the caller is told of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from rerankd.core.errors import (
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    InvalidRequest,
    ModelNotLoaded,
    Overloaded,
    RateLimited,
    SpaceUnavailable,
    UpstreamFailed,
)
from rerankd.core.request import Content
from rerankd.gateway.targets import Wish
from rerankd.service.base import Trace
from rerankd.settings.schema import Limits
from tests.kit.gateway import KEY, REQUEST, Gateway, Told, answer, scored

BOTH = [{"upstream": "a", "space": "s"}, {"upstream": "b", "space": "s"}]


async def test_the_answer_says_who_gave_it_and_never_what_he_calls_himself() -> None:
    gateway, trace = Gateway({"to": [{"upstream": "a", "name": "m"}]}, a=Told()), Trace()
    ranking = await gateway.rank(trace=trace)
    assert [hit.index for hit in ranking.hits] == [1, 2, 0]
    route = ranking.route
    assert route is not None
    assert (ranking.model, route.label, route.space) == ("m", "a/m", "jina/m")
    assert (route.route, route.attempts, route.degraded) == ("x", 1, "")
    assert (trace.model, trace.asked, trace.route) == ("a/m", "x", route)
    assert (trace.cost.documents, trace.cost.pairs, trace.cost.input_tokens) == (3, 3, 12)


async def test_the_next_one_answers_and_the_count_of_attempts_says_so() -> None:
    gateway, trace = Gateway({"to": BOTH}, a=Told("unreachable"), b=Told()), Trace()
    ranking = await gateway.rank(trace=trace)
    assert ranking.route is not None
    assert (ranking.route.upstream, ranking.route.attempts) == ("b", 2)
    assert trace.attempts == ("a/x: unreachable",)
    assert gateway.ends == {"a": ["unreachable"], "b": ["ok"]}


async def test_a_model_of_this_server_and_an_upstream_stand_in_for_each_other() -> None:
    route = {"to": [{"model": "here"}, {"upstream": "a", "space": "here"}]}
    gateway = Gateway(route, a=Told())
    first = await gateway.rank()
    assert first.route is not None
    assert (first.route.label, first.route.space) == ("local/here", "here@1")
    for error in (Overloaded("full", retry_after_s=1), EngineFailed("x"), InvalidRequest("long")):
        gateway.here.error = error
        second = await gateway.rank()
        assert second.route is not None
        assert (second.route.label, second.route.space) == ("a/x", "here@1")


async def test_a_model_that_was_unloaded_is_passed_over_and_its_scale_stays() -> None:
    route = {"to": [{"model": "here"}, {"upstream": "a", "space": "here"}], "attempts": 1}
    gateway = Gateway(route, a=Told())
    gateway.here.off.add("here")
    found = (await gateway.rank()).route
    assert found is not None
    assert (found.label, found.space, found.attempts) == ("a/x", "here@1", 1)
    assert gateway.here.calls == []


async def test_with_nobody_else_the_caller_is_told_that_it_is_not_loaded() -> None:
    gateway = Gateway({"to": [{"model": "here"}]})
    gateway.here.off.add("here")
    with pytest.raises(ModelNotLoaded) as refused:
        await gateway.rank()
    assert refused.value.retry_after_s == 30
    failing = Gateway(
        {"to": [{"model": "here"}, {"upstream": "a", "space": "here"}]}, a=Told("failed")
    )
    failing.here.off.add("here")
    with pytest.raises(Overloaded, match="has no room now"):  # who was asked decides
        await failing.rank()


async def test_another_space_never_answers_unless_it_may() -> None:
    to = [{"upstream": "a"}, {"upstream": "b", "name": "other"}]
    gateway = Gateway({"to": to}, a=Told("failed"), b=Told())
    with pytest.raises(Overloaded):
        await gateway.rank()
    assert gateway.ends["b"] == []
    ranking = await gateway.rank(wish=Wish(space="jina/other"))
    assert ranking.route is not None
    assert ranking.route.upstream == "b"
    anyone = Gateway({"to": to, "spaces": "any"}, a=Told("failed"), b=Told())
    found = (await anyone.rank()).route
    assert found is not None
    assert found.space == "jina/other"


async def test_who_insists_on_a_scale_gets_no_other_not_even_a_degraded_one() -> None:
    route = {"to": BOTH, "when_all_fail": "input-order"}
    gateway = Gateway(route, a=Told("unreachable"), b=Told("unreachable"))
    with pytest.raises(SpaceUnavailable, match="'s'"):
        await gateway.rank(wish=Wish(space="t"))
    with pytest.raises(UpstreamFailed):
        await gateway.rank(wish=Wish(space="s"))
    plain = replace(REQUEST, model="here")
    with pytest.raises(SpaceUnavailable, match="here@1"):
        await gateway.rank(plain, wish=Wish(space="s"))
    for name in ("here", "here@1"):
        ranking = await gateway.rank(plain, wish=Wish(space=name))
        assert ranking.route is not None
        assert ranking.route.space == "here@1"
    assert (await gateway.rank(plain)).route is None


@pytest.mark.parametrize("on_loss", ["skip", "refuse", "warn"])
async def test_a_field_that_a_target_cannot_be_told(on_loss: str) -> None:
    to = [{"upstream": "a", "space": "s"}, {"upstream": "b", "space": "s"}]
    gateway = Gateway(
        {"to": to, "on_loss": on_loss}, a=Told(), b=(Told(scored()), {"dialect": "superset"})
    )
    asked = replace(REQUEST, instruction="like this")
    if on_loss == "refuse":
        with pytest.raises(InvalidRequest, match="instruction") as refused:
            await gateway.rank(asked)
        assert refused.value.param == "instruction"
        return
    ranking = await gateway.rank(asked)
    assert ranking.route is not None
    assert ranking.route.upstream == ("b" if on_loss == "skip" else "a")
    assert any("instruction" in w for w in ranking.warnings) == (on_loss == "warn")


async def test_when_nobody_can_be_told_the_caller_is_and_nothing_is_sent() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(), b=Told())
    with pytest.raises(InvalidRequest, match="instruction"):
        await gateway.rank(replace(REQUEST, instruction="like this"))
    assert gateway.ends == {}


async def test_what_only_the_dialect_assumes_is_said_and_skips_nobody() -> None:
    gateway = Gateway({"to": [{"upstream": "a"}]}, a=(Told(), {"dialect": "siliconflow"}))
    long = (Content(value="a" * 5000), Content(value="b"), Content(value="c"))
    asked = replace(REQUEST, documents=long, max_tokens_per_doc=4096)
    ranking = await gateway.rank(asked, wish=Wish(assumed={"max_tokens_per_doc": 4096}))
    assert any("max_tokens_per_doc" in warning for warning in ranking.warnings)
    with pytest.raises(InvalidRequest, match="max_tokens_per_doc"):
        await gateway.rank(asked)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, Overloaded),
        (503, Overloaded),
        (429, Overloaded),
        (401, UpstreamFailed),
        (402, UpstreamFailed),
        (403, UpstreamFailed),
        (404, UpstreamFailed),
        (302, UpstreamFailed),
        (504, DeadlineExceeded),
        (422, InvalidRequest),
    ],
)
async def test_what_the_last_one_did_is_told_without_his_words(
    status: int, error: type[Exception]
) -> None:
    said = answer(status, {"detail": "inner.example sk-one top_n"})
    gateway = Gateway({"to": [{"upstream": "a"}]}, a=Told(said))
    with pytest.raises(error) as told:
        await gateway.rank()
    assert "inner" not in str(told.value)
    assert "sk-" not in str(told.value)


@pytest.mark.parametrize("stand_in", ["rerankd-lexical", "input-order"])
async def test_a_stand_in_is_marked_as_one(stand_in: str) -> None:
    route = {"to": BOTH, "when_all_fail": stand_in}
    gateway, trace = Gateway(route, a=Told("timeout"), b=Told("bad_answer")), Trace()
    asked = replace(REQUEST, top_n=2, instruction=None)
    ranking = await gateway.rank(asked, trace=trace)
    assert ranking.route is not None
    assert (ranking.route.degraded, ranking.route.label) == (stand_in, stand_in)
    assert ranking.route.attempts == 2
    assert ranking.warnings[0].startswith("degraded: ")
    assert (ranking.model, len(ranking.hits), ranking.documents) == (stand_in, 2, 3)
    assert trace.model == stand_in
    if stand_in == "input-order":
        assert [hit.index for hit in ranking.hits] == [0, 1]
        assert 1 >= ranking.hits[0].score > ranking.hits[1].score >= 0
        assert ranking.route.space == "input-order"
    else:
        assert ranking.route.space == "rerankd-lexical@1"


async def test_what_the_caller_did_wrong_is_no_case_for_a_stand_in() -> None:
    route = {"to": BOTH, "when_all_fail": "input-order"}
    gateway = Gateway(route, a=Told(answer(422, {"detail": "top_n"})), b=Told())
    with pytest.raises(InvalidRequest):
        await gateway.rank()
    assert gateway.ends["b"] == []


async def test_tokens_are_charged_once_as_an_estimate_then_as_counted() -> None:
    key = replace(KEY, tpm=100)
    gateway = Gateway({"to": BOTH}, a=Told("failed"), b=Told(scored(tokens=90)))
    await gateway.rank(key=key)
    with pytest.raises(RateLimited):
        gateway.rates.take_tokens(key, 11)
    gateway.rates.take_tokens(key, 10)


async def test_who_got_no_answer_pays_nothing() -> None:
    key = replace(KEY, tpm=100)
    gateway = Gateway({"to": BOTH}, a=Told("failed"), b=Told("failed"))
    with pytest.raises(Overloaded):
        await gateway.rank(key=key)
    gateway.rates.take_tokens(key, 100)


async def test_a_key_over_its_limit_is_refused_before_anything_is_sent() -> None:
    key = replace(KEY, tpm=100)
    gateway = Gateway({"to": BOTH}, a=Told(), b=Told())
    gateway.rates.take_tokens(key, 100)
    with pytest.raises(RateLimited):
        await gateway.rank(key=key)
    assert gateway.ends == {}


async def test_tokens_that_nobody_told_are_unknown() -> None:
    silent = answer(
        200,
        {
            "model": "m",
            "data": [{"index": i, "score": 0.5} for i in range(3)],
            "usage": {"rerank_units": 1},
        },
    )
    gateway, trace = (
        Gateway({"to": [{"upstream": "a"}]}, a=(Told(silent), {"dialect": "pinecone"})),
        Trace(),
    )
    ranking = await gateway.rank(trace=trace)
    assert ranking.input_tokens is None
    assert trace.cost.input_tokens is None


async def test_a_key_may_use_a_route_by_its_name_only() -> None:
    gateway = Gateway({"to": [{"model": "here"}]}, a=Told())
    await gateway.rank(key=replace(KEY, models=frozenset({"x"})))
    with pytest.raises(Forbidden):
        await gateway.rank(key=replace(KEY, models=frozenset({"here"})))


async def test_the_operators_limits_hold_whoever_answers() -> None:
    gateway = Gateway({"to": BOTH}, Limits(document_bytes=2), a=Told(), b=Told())
    with pytest.raises(InvalidRequest, match=r"limits\.document_bytes"):
        await gateway.rank(replace(REQUEST, documents=(Content(value="abc"),)))
    assert gateway.ends == {}


async def test_a_late_one_is_hedged_and_the_slower_one_is_cancelled() -> None:
    slow = Told(60.0)
    gateway = Gateway({"to": BOTH, "hedge_after_s": 0.01}, a=slow, b=Told())
    ranking = await gateway.rank()
    assert ranking.route is not None
    assert ranking.route.upstream == "b"
    assert slow.cancelled == 1
    assert gateway.ends == {"b": ["ok"]}


async def test_without_hedging_nobody_else_is_asked() -> None:
    gateway = Gateway({"to": BOTH}, a=Told(0.05), b=Told())
    await gateway.rank()
    assert gateway.ends == {"a": ["ok"]}


async def test_a_hedged_request_goes_on_when_one_fails() -> None:
    gateway = Gateway({"to": BOTH, "hedge_after_s": 5}, a=Told("failed"), b=Told())
    assert (await gateway.rank()).route is not None
    gone = Gateway({"to": BOTH, "hedge_after_s": 5}, a=Told("failed"), b=Told("unreachable"))
    with pytest.raises(UpstreamFailed):
        await gone.rank()


async def test_the_caller_who_leaves_ends_the_attempt() -> None:
    slow = Told(60.0)
    gateway = Gateway({"to": BOTH}, a=slow, b=Told())
    task = asyncio.create_task(gateway.rank())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert (slow.cancelled, gateway.ends) == (1, {})


async def test_an_attempt_has_no_longer_than_the_request() -> None:
    transport = Told()
    gateway = Gateway({"to": [{"upstream": "a"}]}, a=transport)
    await gateway.rank(trace=Trace(until=time.monotonic() + 5))
    assert 0 < transport.timeouts[0] < 5  # so that who is late is known to be


async def test_pairs_of_several_queries_are_answered_by_one_target() -> None:
    half = Told(scored(), "failed")  # the second request fails
    gateway = Gateway({"to": BOTH}, a=half, b=Told())
    requests = (REQUEST, replace(REQUEST, query=Content(value="p")))
    rankings = await gateway.router.rerank(requests, KEY, Trace())
    assert {r.route.upstream for r in rankings if r.route} == {"b"}
    assert gateway.ends["b"] == ["ok", "ok"]


async def test_a_stage_of_this_server_stands_before_an_upstream() -> None:
    transport = Told(scored((0.2, 0.3)))
    to = [{"upstream": "a", "first": "rerankd-lexical:2"}]
    ranking = await Gateway({"to": to}, a=transport).rank()
    # by the stage: 2, 1, 0; its best two are asked for in the caller's order: 1, 2
    assert [hit.index for hit in ranking.hits] == [2, 1, 0]
    assert [hit.stage for hit in ranking.hits] == ["", "", "rerankd-lexical"]
    assert (ranking.documents, ranking.input_tokens) == (3, 72)
    assert b'"c"' in transport.sent[0].body
    assert b'"a"' not in transport.sent[0].body


async def test_a_shadow_is_compared_and_never_answers() -> None:
    shadow = {"upstream": "b", "share": 1.0}
    gateway = Gateway(
        {"to": [{"upstream": "a"}], "shadow": shadow}, a=Told(), b=Told(scored((0.1, 0.5, 0.9)))
    )
    ranking = await gateway.rank()
    assert ranking.route is not None
    assert ranking.route.upstream == "a"
    while not gateway.compared:
        await asyncio.sleep(0)
    (found,) = gateway.compared
    assert (found.route, found.outcome, found.tokens) == ("x", "ok", (12, 12))
    assert found.order == pytest.approx(0.5)


async def test_a_slow_shadow_holds_up_nobody_and_is_left_out() -> None:
    shadow = {"upstream": "b", "share": 1.0}
    slow = Told(60.0)
    gateway = Gateway({"to": [{"upstream": "a"}], "shadow": shadow}, a=Told(), b=slow)
    for _ in range(6):
        await gateway.rank()
        await asyncio.sleep(0)
    assert [found.outcome for found in gateway.compared] == ["left_out"] * 2
    await gateway.shadows.close()
    assert slow.cancelled == 4


async def test_a_failed_shadow_is_counted_and_nothing_else() -> None:
    shadow = {"upstream": "b", "share": 1.0}
    gateway = Gateway({"to": [{"upstream": "a"}], "shadow": shadow}, a=Told(), b=Told("failed"))
    await gateway.rank()
    while not gateway.compared:
        await asyncio.sleep(0)
    assert gateway.compared[0].outcome == "failed"


async def test_the_fastest_is_asked_first_and_unknown_ones_before_it() -> None:
    gateway = Gateway({"to": BOTH, "order": "fastest"}, a=Told(), b=Told())
    a, b = gateway.router.routes["x"].targets
    latencies = gateway.switch.doors.latencies
    latencies.end(a.label, 0.1)
    await gateway.rank()
    assert gateway.ends == {"b": ["ok"]}
    for _ in range(64):
        latencies.end(b.label, 0.5)
    await gateway.rank()
    assert gateway.ends == {"a": ["ok"], "b": ["ok"]}
