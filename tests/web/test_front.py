"""The door: who waits there, who is refused, and what a request at the door costs the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rerankd.core.errors import Overloaded
from rerankd.web.front import SLOTS, SMALL_BYTES, Front
from tests.kit.support import body, running
from tests.kit.virtual_time import VirtualLoop

BYTES = 13_000
RATE = 300.0  # requests a second that one loop can pass


def simulate(story: Callable[[Front], Coroutine[Any, Any, Any]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(Front(10.0, clock=loop.time)))
    finally:
        loop.close()


class Interpreter:
    """What all requests share: one after the other, in any order that they come."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def work(self, seconds: float) -> None:
        async with self._lock:
            await asyncio.sleep(seconds)


async def send(front: Front, interpreter: Interpreter, key: str, ends: Counter[str]) -> float:
    """How long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        front.check(key, BYTES)
        leave = await front.turn(key, BYTES)
    except Overloaded:
        ends["refused"] += 1
        return 0.0
    try:
        await interpreter.work(1 / RATE)
    finally:
        leave()
        leave()
    ends["answered"] += 1
    ends[key] += 1
    return loop.time() - began


@pytest.mark.parametrize("load", [1.2, 2.0, 10.0])
def test_overload_of_the_loop_is_refused_and_what_is_taken_ends(load: float) -> None:
    ends, spent = Counter[str](), list[float]()

    async def story(front: Front) -> None:
        interpreter, tasks = Interpreter(), list[asyncio.Task[float]]()
        for _ in range(int(load * RATE * 30)):
            tasks.append(asyncio.create_task(send(front, interpreter, "", ends)))
            await asyncio.sleep(1 / (load * RATE))
        spent.extend(await asyncio.gather(*tasks))

    simulate(story)
    assert ends["answered"] >= 0.95 * RATE * 30
    assert max(spent) <= 12.0
    assert (ends["refused"] > 0) == (load > 1.2)  # 30 s at 1.2 times fill 6 s of queue


def test_two_clients_of_one_key_pass_as_often_as_forty_of_another() -> None:
    ends = Counter[str]()

    async def story(front: Front) -> None:
        loop, interpreter = asyncio.get_running_loop(), Interpreter()

        async def client(key: str) -> None:
            while loop.time() < 20:
                await send(front, interpreter, key, ends)

        many = [client("many") for _ in range(3 * SLOTS)]
        await asyncio.gather(*many, *(client("few") for _ in range(SLOTS)))

    simulate(story)
    assert ends["refused"] == 0
    assert 0.8 <= ends["few"] / ends["many"] <= 1.25


def test_large_requests_do_not_wait_at_the_door() -> None:
    async def story(front: Front) -> None:
        for _ in range(10 * SLOTS):
            front.check("", SMALL_BYTES + 1)
            await asyncio.wait_for(front.turn("", SMALL_BYTES + 1), 1)
        leave = await asyncio.wait_for(front.turn("", BYTES), 1)
        leave()

    simulate(story)


def test_who_leaves_while_waiting_takes_no_place() -> None:
    async def story(front: Front) -> None:
        inside = [await front.turn("", BYTES) for _ in range(SLOTS)]
        waiting = [asyncio.create_task(front.turn("", BYTES)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        inside.pop()()
        waiting[1].cancel()  # it was given the place at this very moment
        await asyncio.sleep(0)
        (await asyncio.wait_for(waiting[2], 1))()
        for leave in inside:
            leave()
        again = [await asyncio.wait_for(front.turn("", BYTES), 1) for _ in range(SLOTS)]
        assert len(again) == SLOTS

    simulate(story)


async def test_every_way_out_of_a_request_gives_its_place_back() -> None:
    """More refused, failed and answered requests than there are places; then one more."""
    async with running() as (client, _):
        for n in range(4 * SLOTS):
            bad: Any = (body(top_n=0), {"query": "q"}, body(model="unknown"), body())[n % 4]
            answer = await client.post("/v1/rerank", json=bad)
            assert answer.status_code in (200, 400)
        answer = await asyncio.wait_for(client.post("/v1/rerank", json=body()), 60)
    assert answer.status_code == 200
