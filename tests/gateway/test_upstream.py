"""One upstream: what it is sent, what is taken of its answer, and when it is left alone."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import pytest

from rerankd.core.request import Content
from rerankd.gateway.failover import AttemptFailed, Outcome
from rerankd.gateway.upstream import Upstream
from tests.kit.gateway import REQUEST, Told, answer, plan, scored


def made(
    transport: Told,
    now: list[float] | None = None,
    *,
    observe: list[str] | None = None,
    **settings: Any,
) -> Upstream:
    route = {"to": [{"upstream": "up"}]}
    clock = now or [0.0]
    seen = list[str]() if observe is None else observe

    def count(_: str, outcome: Outcome, __: float) -> None:
        seen.append(outcome)

    return Upstream(
        plan(route, up=settings).upstreams["up"],
        transport,
        count,
        clock=lambda: clock[0],
    )


async def ask(upstream: Upstream, **more: Any) -> Any:
    return await upstream.ask(REQUEST, "theirs", timeout_s=60, **more)


async def failure(upstream: Upstream, **more: Any) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as failed:
        await ask(upstream, **more)
    return failed.value


async def test_it_is_asked_for_all_scores_by_its_own_name_with_its_key() -> None:
    transport = Told()
    ranking = await ask(made(transport, timeout_s=7))
    (sent,) = transport.sent
    body = msgspec.json.decode(sent.body)
    assert (body["model"], body["top_n"], body["return_documents"]) == ("theirs", 3, False)
    assert sent.target == "/v1/rerank"
    assert sent.headers["authorization"] == "Bearer sk-one"
    assert transport.timeouts == [7]
    assert [hit.index for hit in ranking.hits] == [1, 2, 0]


@pytest.mark.parametrize(
    "bad",
    [
        scored((0.1, 0.2)),
        scored((0.1, 0.2, 0.3, 0.4)),
        answer(200, {"model": "m", "usage": {"total_tokens": 1}, "results": "none"}),
        answer(200, []),
        dataclasses.replace(scored(), body=b"<html>"),
        dataclasses.replace(scored(), body=scored().body.replace(b"0.9", b"1e999")),
        dataclasses.replace(scored(), body=b"[" * 100_000),
    ],
)
async def test_a_bad_answer_is_never_passed_on(bad: Any) -> None:
    upstream = made(Told(bad))
    assert (await failure(upstream)).outcome == "bad_answer"


async def test_three_failures_open_its_breaker_and_then_nothing_is_sent() -> None:
    now, transport = [0.0], Told("unreachable")
    upstream = made(transport, now)
    for _ in range(3):
        await failure(upstream)
    failed = await failure(upstream)
    assert (failed.outcome, failed.retry_after_s, len(transport.sent)) == ("resting", 5, 3)
    assert upstream.facts().state == "open"
    now[0] = 5.0
    transport.says = [scored()]
    await ask(upstream)
    assert upstream.facts().state == "closed"


async def test_a_key_that_is_over_its_limit_rests_and_the_others_are_used() -> None:
    now, transport = [0.0], Told(answer(429, {}, retry_after="30"), scored())
    upstream = made(transport, now, key_env="KEYS")
    assert (await failure(upstream)).retry_after_s == 30
    for _ in range(3):
        await ask(upstream)
    assert transport.keys == ["sk-a", "sk-b", "sk-b", "sk-b"]
    now[0] = 30.0
    await ask(upstream)
    await ask(upstream)
    assert transport.keys[-2:] == ["sk-a", "sk-b"]
    assert upstream.facts().state == "closed"


async def test_no_wait_is_longer_than_300_s() -> None:
    now = [0.0]
    upstream = made(Told(answer(429, {}, retry_after="86400"), scored()), now)
    assert (await failure(upstream)).retry_after_s == 300
    assert (await failure(upstream)).outcome == "resting"
    now[0] = 300.0
    await ask(upstream)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_key_that_is_refused_is_not_used_again_before_a_reload(status: int) -> None:
    transport = Told(answer(status, {"detail": "no"}), scored())
    upstream = made(transport, key_env="KEYS")
    assert (await failure(upstream)).outcome == "refused"
    await ask(upstream)
    await ask(upstream)
    assert transport.keys == ["sk-a", "sk-b", "sk-b"]
    transport.says = [answer(status, {})]
    await failure(upstream)
    assert upstream.facts().state == "off"
    refusal = upstream.refusal("theirs")
    assert refusal is not None
    assert refusal.retry_after_s is None
    upstream.forgive()
    assert upstream.refusal("theirs") is None


async def test_a_refused_key_or_name_is_tried_again_by_one_request_and_then_used() -> None:
    for refusal, said in ((401, "refused"), (404, "unknown_model")):
        now, transport = [0.0], Told(answer(refusal, {"detail": "model not found"}))
        upstream = made(transport, now)
        assert (await failure(upstream)).outcome == said
        now[0] = 59.0
        assert (await failure(upstream)).outcome == "resting"
        now[0] = 60.0
        transport.says = [60.0]
        tries = asyncio.create_task(ask(upstream))
        await asyncio.sleep(0)
        assert (await failure(upstream)).outcome == "resting"
        tries.cancel()
        await asyncio.wait({tries})
        transport.says = [answer(refusal, {"detail": "model not found"})]
        assert (await failure(upstream)).outcome == said
        now[0] = 179.0
        assert (await failure(upstream)).outcome == "resting"
        now[0] = 180.0
        transport.says = [scored()]
        await ask(upstream)
        assert upstream.facts() == made(Told()).facts()


async def test_callers_who_leave_late_open_its_breaker() -> None:
    for answered_s, left_s, opens in ((None, 5.1, True), (0.5, 2.1, True), (0.5, 1.9, False)):
        now, transport, seen = [0.0], Told(0.0), list[str]()
        upstream = made(transport, now, observe=seen)
        if answered_s is not None:
            asks = asyncio.create_task(ask(upstream))
            await asyncio.sleep(0)
            now[0] += answered_s
            await asks
        transport.says = [60.0]
        for _ in range(3):
            task = asyncio.create_task(ask(upstream))
            await asyncio.sleep(0)
            now[0] += left_s
            task.cancel()
            await asyncio.wait({task})
        assert (upstream.facts().state == "open") == opens
        assert seen.count("given_up") == (3 if opens else 0)


async def test_a_model_that_it_has_not_is_not_asked_again_and_others_are() -> None:
    transport = Told(answer(404, {"detail": "model not found"}), scored())
    upstream = made(transport)
    assert (await failure(upstream)).outcome == "unknown_model"
    assert (await failure(upstream)).outcome == "resting"
    await upstream.ask(REQUEST, "other", timeout_s=60)
    assert upstream.facts().unknown_models == ("theirs",)
    assert len(transport.sent) == 2


async def test_who_is_overloaded_and_says_how_long_is_left_alone_so_long() -> None:
    now, transport = [0.0], Told(answer(503, {}, retry_after="9"), scored())
    upstream = made(transport, now)
    await failure(upstream)
    assert (await failure(upstream)).retry_after_s == 9
    now[0] = 9.0
    await ask(upstream)


async def test_its_own_bounds_are_kept_before_anything_is_sent() -> None:
    now, transport = [0.0], Told()
    upstream = made(transport, now, rpm=2, tpm=1000)
    await ask(upstream)
    await ask(upstream)
    failed = await failure(upstream)
    assert (failed.outcome, failed.retry_after_s, len(transport.sent)) == ("busy", 30, 2)
    now[0] = 30.0
    await ask(upstream)
    few = made(Told(), now, tpm=3)
    await ask(few)  # 2 tokens, estimated of 6 bytes
    assert (await failure(few)).outcome == "busy"


async def test_no_more_are_in_flight_than_the_operator_said() -> None:
    transport = Told(0.01)
    upstream = made(transport, in_flight=2)
    first = [asyncio.create_task(ask(upstream)) for _ in range(2)]
    await asyncio.sleep(0)
    assert not upstream.has_room
    assert (await failure(upstream)).outcome == "busy"
    third = asyncio.create_task(ask(upstream, wait_s=60))
    await asyncio.sleep(0)
    assert (len(transport.sent), upstream.facts().in_flight) == (2, 2)
    await asyncio.gather(*first, third)
    assert (len(transport.sent), upstream.facts().in_flight) == (3, 0)


async def test_who_waits_in_vain_or_leaves_takes_no_place() -> None:
    upstream = made(Told(60.0), in_flight=1)
    holds = asyncio.create_task(ask(upstream))
    await asyncio.sleep(0)
    assert (await failure(upstream, wait_s=0.001)).outcome == "busy"
    leaves = asyncio.create_task(ask(upstream, wait_s=60))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.wait({leaves})
    holds.cancel()
    await asyncio.wait({holds})
    assert upstream.facts().in_flight == 0
    assert upstream.has_room


async def test_a_caller_who_leaves_ends_the_request_and_is_no_failure() -> None:
    transport = Told(60.0)
    upstream = made(transport)
    for _ in range(5):
        task = asyncio.create_task(ask(upstream))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert transport.cancelled == 5
    assert upstream.facts().state == "closed"


async def test_what_it_cannot_read_is_not_sent() -> None:
    video = dataclasses.replace(REQUEST, documents=(Content(modality="video", value="v"),))
    transport = Told()
    upstream = made(transport)
    with pytest.raises(AttemptFailed) as failed:
        await upstream.ask(video, "m", timeout_s=60)
    assert failed.value.outcome == "over_limit"
    assert transport.sent == []
    assert upstream.facts().state == "closed"


async def test_logits_are_known_for_what_they_are() -> None:
    assert made(Told(), dialect="llamacpp").gives_logits
    assert made(Told(), dialect="nvidia").gives_logits
    assert not made(Told(), dialect="vllm").gives_logits
    assert made(Told(), dialect="llamacpp").lost(REQUEST, "m") == frozenset()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://ai.api.nvidia.com/v1", "/v1/retrieval/m/reranking"),
        ("http://127.0.0.1:8", "/v1/ranking"),
    ],
)
async def test_nvidia_has_two_paths(url: str, path: str) -> None:
    rankings = [{"index": i, "logit": 1.0} for i in range(3)]
    transport = Told(answer(200, {"rankings": rankings}))
    upstream = made(transport, dialect="nvidia", url=url)
    await upstream.ask(REQUEST, "m", timeout_s=60)
    assert transport.sent[0].target == path
