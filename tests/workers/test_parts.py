"""Frames, messages, shares of a machine, and the choice of a worker."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

import msgspec
import pytest

from rerankd.core.answer import Hit, Ranking
from rerankd.core.cost import Cost
from rerankd.core.request import Content, RerankRequest
from rerankd.service.base import RerankCall, Trace
from rerankd.service.local import ScoringParts
from rerankd.service.plan import plan
from rerankd.settings.schema import Limits, MediaSettings
from rerankd.workers.affinity import Seen, signature
from rerankd.workers.choice import Reckoning, soonest
from rerankd.workers.forms import plan_form, plan_of, requests_of, work_form
from rerankd.workers.frames import Frames
from rerankd.workers.messages import (
    Ranked,
    RankWork,
    SpentSoFar,
    decode_to_server,
    decode_to_worker,
    encode,
)
from rerankd.workers.shares import Cores, cores_of, shared, workers_for


async def connected(most: int) -> tuple[Frames, socket.socket, list[bytes], asyncio.Event]:
    """One end, and the raw other one."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    got: list[bytes] = []
    lost = asyncio.Event()
    frames = Frames(most, got.append, lost.set)
    await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=ours)
    return frames, theirs, got, lost


async def settled(done: Callable[[], bool]) -> None:
    """Until that has happened."""
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.001)


async def test_frames_come_whole_however_they_are_cut() -> None:
    frames, theirs, got, lost = await connected(1000)
    raw = b"".join(len(each).to_bytes(4) + each for each in (b"", b"a", b"b" * 1000, b"cd"))
    for at in range(0, len(raw), 7):
        theirs.send(raw[at : at + 7])
        await asyncio.sleep(0)
    await settled(lambda: len(got) == 4)
    assert got == [b"", b"a", b"b" * 1000, b"cd"]
    frames.send(b"xyz")
    assert theirs.recv(100) == b"\0\0\0\x03xyz"
    theirs.close()
    await settled(lost.is_set)
    frames.send(b"nobody is there")


async def test_a_frame_that_is_too_long_ends_the_connection_before_it_is_read() -> None:
    frames, theirs, got, lost = await connected(1000)
    theirs.send((1001).to_bytes(4))
    await settled(lost.is_set)
    assert got == []
    with pytest.raises(ValueError, match="1001 bytes; at most 1000"):
        frames.send(b"x" * 1001)
    theirs.close()


def test_a_call_crosses_whole_and_says_its_instruction_once() -> None:
    document = Content(value="d", echo={"text": "d", "more": "x" * 1000})
    requests = tuple(
        RerankRequest(
            query=Content(value=f"q{i}"),
            documents=(document, Content(modality="image", value="data:,x")),
            instruction="i" * 100_000,
            top_n=3,
            scope=b"\0\xff",
        )
        for i in range(20)
    )
    call = RerankCall(
        requests=requests, model="m", places=((0, 1),) * 20, trace=Trace(until=12.5), share="k"
    )
    raw = encode(work_form(7, call))
    assert len(raw) < 120_000
    form = decode_to_worker(raw)
    assert isinstance(form, RankWork)
    assert (form.id, form.model, form.until, form.share) == (7, "m", 12.5, "k")
    assert form.places == call.places
    bare = tuple(
        msgspec.structs.replace(each) if isinstance(each, msgspec.Struct) else each
        for each in requests_of(form)
    )
    assert [each.instruction for each in bare] == ["i" * 100_000] * 20
    assert [each.documents[0].value for each in bare] == ["d"] * 20
    assert bare[3].documents[1] == requests[3].documents[1]
    assert (bare[3].query, bare[3].top_n, bare[3].scope) == (Content(value="q3"), 3, b"\0\xff")


def test_scores_cross_to_the_last_bit() -> None:
    hits = tuple(Hit(i, random.random() ** i, -1e300 / (i + 1)) for i in range(50))
    ranking = Ranking(model="m", hits=hits, documents=50, input_tokens=None)
    spent = SpentSoFar("fake", Cost(documents=50, queue_s=0.1 + 0.2), 1e-9)
    told = decode_to_server(encode(Ranked(1, (ranking,), spent)))
    assert isinstance(told, Ranked)
    assert told.rankings == (ranking,)
    assert told.spent == spent


def test_a_plan_crosses_whole() -> None:
    wanted = plan(
        ("rerankd-mini", "rerankd-lexical"),
        {"other": "rerankd-mini"},
        {},
        {"rerankd-mini": ["rerankd-lexical:7", "rerankd-mini"]},
        {"rerankd-mini": 0.5},
    )
    form = msgspec.msgpack.decode(encode(plan_form(wanted)), type=type(plan_form(wanted)))
    assert plan_of(form) == wanted


def test_lists_that_share_most_documents_are_mostly_taken_for_one() -> None:
    met = 0
    for i in range(1000):
        common = [f"common {i} {j}" for j in range(18)]
        one, other = ([*common, f"own {i} {k}", f"another {i} {k}"] for k in (1, 2))
        assert signature(one) == signature(one[::-1])
        met += signature(one) == signature(other)
    assert 750 < met < 890  # 18 of 22: 0.82


def test_long_texts_are_told_apart_by_their_ends_and_length() -> None:
    long = "x" * 100_000
    assert (
        len({signature([each]) for each in (long, long + "x", "y" + long[1:], long[:-1] + "y")})
        == 4
    )


def test_who_had_a_list_is_known_until_too_many_others_came() -> None:
    seen = Seen(most=3)
    assert seen.of(1) == set()
    for signed, worker in ((1, 0), (1, 2), (2, 1), (3, 0), (1, 0)):
        seen.note(signed, worker)
    assert seen.of(1) == {0, 2}
    seen.note(4, 1)
    assert (seen.of(2), seen.of(3)) == (set(), {0})  # 2 was not seen for longest
    seen.forget(0)
    assert (seen.of(1), seen.of(3), seen.of(4)) == ({2}, set(), {1})


def test_who_is_done_first_is_asked() -> None:
    assert soonest({0: 0.0, 1: 0.0}, {1}, 1.0, 1.0) == 1  # who had it, all else being equal
    assert soonest({0: 0.0, 1: 0.2}, {1}, 1.0, 1.0) == 0  # nothing is remembered there
    assert soonest({0: 0.0, 1: 0.5}, {1}, 1.0, 0.1) == 1  # waiting costs less than anew
    assert soonest({0: 0.0, 1: 1.5}, {1}, 1.0, 0.1) == 0  # it does not
    assert soonest({0: 0.3, 1: 0.5, 2: 0.4}, {1, 2}, 1.0, 0.1) == 2
    idle = dict.fromkeys(range(4), 0.0)  # then all have their part of what is new
    assert {soonest(idle, (), 1.0, 0.1, signed) for signed in range(-9, 0)} == {0, 1, 2, 3}


def test_what_a_request_costs_is_learned() -> None:
    known = Reckoning()
    for _ in range(50):
        known.counted(1000, 0.5)
    assert known.seconds(2000) == pytest.approx(1.0, rel=0.01)
    for _ in range(50):
        known.answered_again(100, 0)
    assert known.seen(1.0) == pytest.approx(1.0, rel=0.01)
    for _ in range(50):
        known.answered_again(100, 100)
    assert known.seen(1.0) < 0.05
    known.counted(0, 0.5)
    known.counted(1000, 0.0)  # it is not known
    known.answered_again(0, 0)
    assert known.seconds(2000) == pytest.approx(1.0, rel=0.01)


def test_limits_of_a_server_are_divided_and_those_of_a_request_stay() -> None:
    whole = ScoringParts(Limits(), MediaSettings(), None)
    share = shared(whole, 4)
    assert share.limits.queue_tokens * 4 == whole.limits.queue_tokens
    assert share.limits.vector_cache_bytes * 4 == whole.limits.vector_cache_bytes
    assert share.limits.request_tokens == whole.limits.request_tokens
    assert share.limits.wait_s == whole.limits.wait_s
    assert share.media.encoded_bytes == whole.media.request_bytes
    assert share.media.decoded_bytes == whole.media.decoded_bytes
    assert (share.media.fetches, share.media.fetches_per_host) == (8, 2)
    assert shared(whole, 1) == whole


def test_cores_are_given_out_once() -> None:
    assert cores_of(2, 4, (0, 1, 2, 3)) == [Cores(2, (0, 1)), Cores(2, (2, 3))]
    assert cores_of(3, 4, (4, 5, 6, 7)) == [Cores(2, (4, 5)), Cores(1, (6,)), Cores(1, (7,))]
    assert cores_of(3, 2, (0, 1)) == [Cores(1, (0,)), Cores(1, (1,)), Cores(1, (0,))]
    # a container's quota: everybody else's starts at core 0 as well
    assert cores_of(2, 4, tuple(range(64))) == [Cores(2, ()), Cores(2, ())]
    assert cores_of(2, 4, ()) == [Cores(2, ()), Cores(2, ())]
    assert [workers_for(cores) for cores in (1, 2, 3, 4, 8, 64, 500)] == [1, 2, 2, 2, 4, 32, 32]
