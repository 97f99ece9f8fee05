"""A body that fails gives its bytes back, and is stopped where its limit is."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

from rerankd.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    InvalidRequest,
    Overloaded,
    RerankError,
)
from rerankd.web.body import ClientGone, InflightBytes, read_body
from tests.kit.support import body, running

LIMIT, ROOM = 10_000, 50_000
GZIP = {"content-encoding": "gzip"}
NOISE = random.Random(1).randbytes(9_000)  # does not get smaller


class Receive:
    """ASGI's receive(): one part after the other, then what `last` does; counts what was taken."""

    def __init__(self, parts: Iterator[bytes], last: str) -> None:
        self.parts, self.last = parts, last
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        part = next(self.parts, None)
        if part is not None:
            self.taken += len(part)
            return {"type": "http.request", "body": part, "more_body": True}
        match self.last:
            case "gone":
                return {"type": "http.disconnect"}
            case "silent":
                await asyncio.Event().wait()
            case "broken":
                raise OSError("broken")
            case _:
                pass
        return {"type": "http.request", "body": b"", "more_body": False}


def in_parts(whole: bytes) -> Iterator[bytes]:
    return (whole[at : at + 1000] for at in range(0, len(whole), 1000))


# What happens -> the body, what follows it, its headers, the error.
FAILURES: dict[str, tuple[Callable[[], Iterator[bytes]], str, dict[str, str], type[Exception]]] = {
    "the client leaves": (lambda: in_parts(NOISE), "gone", {}, ClientGone),
    "the body does not end in time": (lambda: in_parts(NOISE), "silent", {}, BodyTimeout),
    "the connection breaks": (lambda: in_parts(NOISE), "broken", {}, OSError),
    "too large": (lambda: in_parts(bytes(LIMIT + 1)), "end", {}, BodyTooLarge),
    "too large when unpacked": (
        lambda: in_parts(gzip.compress(bytes(LIMIT + 1))),
        "end",
        GZIP,
        BodyTooLarge,
    ),
    "gzip that is cut off": (
        lambda: in_parts(gzip.compress(NOISE)[:-2000]),
        "end",
        GZIP,
        InvalidRequest,
    ),
    "gzip that is damaged": (
        lambda: in_parts(gzip.compress(NOISE)[:-2000] + bytes(2000)),
        "end",
        GZIP,
        InvalidRequest,
    ),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_a_body_that_fails_gives_its_bytes_back(case: str) -> None:
    made, last, headers, error = FAILURES[case]
    inflight = InflightBytes(ROOM)
    inflight.take(7, own=0)  # of another request
    for _ in range(3):
        with pytest.raises(error):
            await read_body(
                Receive(made(), last),
                headers,
                limit_bytes=LIMIT,
                limit_s=0.2 if last == "silent" else 60.0,
                inflight=inflight,
            )
        assert inflight.used == 7


async def test_a_body_without_room_gives_back_what_it_had_taken() -> None:
    inflight = InflightBytes(5_000)
    inflight.take(2_000, own=0)
    with pytest.raises(Overloaded):
        await read_body(
            Receive(in_parts(NOISE), "end"),
            {},
            limit_bytes=LIMIT,
            limit_s=60.0,
            inflight=inflight,
        )
    assert inflight.used == 2_000


async def test_a_body_whose_reader_is_cancelled_gives_its_bytes_back() -> None:
    inflight = InflightBytes(ROOM)
    reading = asyncio.create_task(
        read_body(
            Receive(in_parts(NOISE), "silent"),
            {},
            limit_bytes=LIMIT,
            limit_s=600.0,
            inflight=inflight,
        )
    )
    while inflight.used < len(NOISE):
        await asyncio.sleep(0.001)
    reading.cancel()
    await asyncio.wait([reading])
    assert inflight.used == 0


async def test_a_body_that_was_read_keeps_its_bytes_until_the_caller_gives_them_back() -> None:
    inflight = InflightBytes(ROOM)
    receive = Receive(in_parts(gzip.compress(NOISE)), "end")
    raw = await read_body(receive, GZIP, limit_bytes=LIMIT, limit_s=60.0, inflight=inflight)
    assert (raw, inflight.used) == (NOISE, len(NOISE))


@pytest.mark.parametrize("packed", [False, True])
async def test_reading_stops_at_the_limit(packed: bool) -> None:  # noqa: FBT001 - pytest's
    """Neither more of the body is taken than the limit and one part, nor more kept."""
    whole = bytes(1_000_000)
    parts = in_parts(gzip.compress(whole, 0) if packed else whole)
    receive, inflight = Receive(parts, "end"), InflightBytes(ROOM)
    most = 0

    async def watched() -> dict[str, Any]:
        nonlocal most
        most = max(most, inflight.used)
        return await receive()

    with pytest.raises(RerankError, match=r"limits\.body_bytes"):
        await read_body(
            watched,
            GZIP if packed else {},
            limit_bytes=LIMIT,
            limit_s=60.0,
            inflight=inflight,
        )
    assert receive.taken <= LIMIT + 2_000
    assert most <= LIMIT


async def test_the_deadline_begins_when_the_body_is_there() -> None:
    whole = b'{"query":"q","documents":["a"]}'
    limits = {"deadline_s": 4.0, "body_s": 600.0}

    async def slow() -> AsyncGenerator[bytes]:
        yield whole[:9]
        await asyncio.sleep(6.0)
        yield whole[9:]

    async with running({"limits": limits}) as (client, _):
        headers = {"content-type": "application/json"}
        answer = await client.post("/v1/rerank", content=slow(), headers=headers)
        assert answer.status_code == 200, answer.text


async def test_bad_bodies_leave_room_for_good_ones() -> None:
    """Many more bytes than fit, in requests that all fail, one after the other."""
    limits = {"body_bytes": 5_000, "inflight_bytes": 20_000}
    async with running({"limits": limits}) as (client, state):

        async def endless() -> AsyncGenerator[bytes]:
            for _ in range(50):
                yield b" " * 1_000

        headers = {"content-type": "application/json"}
        for _ in range(10):
            answer = await client.post("/v1/rerank", content=endless(), headers=headers)
            assert answer.status_code == 413
        assert state.inflight.used == 0
        assert (await client.post("/v1/rerank", json=body())).status_code == 200
