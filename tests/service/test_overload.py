"""What overload leaves: the real scheduler before an engine of fixed speed, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import DeadlineExceeded, Overloaded
from rerankd.core.rows import Row
from rerankd.service.scheduler import Scheduler
from tests.kit.virtual_time import TimedEngine, schedule

RATE = 20_000.0  # tokens per second, as rerankd-mini on two cores
SIZE = 140  # tokens per row
ROWS = 20
_numbers = count(1)


def request(rows: int = ROWS, size: int = SIZE) -> list[Row]:
    return [Row(np.array([next(_numbers)] + [7] * (size - 1), np.int32), 0) for _ in range(rows)]


def engine() -> TimedEngine:
    return TimedEngine(batch_tokens=8192, batch_s=0.001, tokens_per_s=RATE)


@dataclass
class Seen:
    """How requests ended: outcome -> how many, and how long the answered ones took, in seconds."""

    ends: Counter[str] = field(default_factory=Counter[str])
    spent: list[float] = field(default_factory=list[float])
    retry_s: list[float] = field(default_factory=list[float])
    rows: int = 0  # answered

    def p99(self) -> float:
        return sorted(self.spent)[int(len(self.spent) * 0.99)]


async def send(
    scheduler: Scheduler, rows: Sequence[Row], seen: Seen, *, key: str = "", patience_s: float = 30
) -> str:
    """As the pipeline does: a place by an estimate, then the rows; the client leaves in the end."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    tokens, until = sum(row.tokens for row in rows), loop.time() + 300
    end = "answered"
    try:
        async with asyncio.timeout(patience_s):
            with scheduler.reserve(tokens, key=key, until=until) as ticket:
                await asyncio.sleep(0.002)
            await scheduler.submit(rows, key=key, ticket=ticket, until=until)
    except Overloaded as error:
        seen.retry_s.append(error.retry_after_s)
        end = "refused"
    except TimeoutError:
        end = "left"
    if end == "answered":
        seen.spent.append(loop.time() - began)
        seen.rows += len(rows)
    seen.ends[end] += 1
    return end


async def open_loop(
    scheduler: Scheduler,
    seen: Seen,
    *,
    per_s: float,
    seconds: float,
    make: Callable[[], list[Row]] = request,
) -> list[asyncio.Task[str]]:
    """So many requests per second, whatever becomes of them."""
    tasks: list[asyncio.Task[str]] = []
    for _ in range(int(per_s * seconds)):
        tasks.append(asyncio.create_task(send(scheduler, make(), seen)))
        await asyncio.sleep(1 / per_s)
    return tasks


def simulate(story: Callable[[Scheduler], Coroutine[Any, Any, Any]]) -> None:
    schedule(engine(), story, wait_s=10.0, request_tokens=8_000_000, queue_tokens=32_000_000)


@pytest.mark.parametrize("load", [1.2, 2.0, 5.0, 10.0])
def test_goodput_is_kept_and_waiting_is_bounded(load: float) -> None:
    saturation = RATE / (ROWS * SIZE)  # requests per second
    seen, seconds = Seen(), 60.0

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(
            *await open_loop(scheduler, seen, per_s=load * saturation, seconds=seconds)
        )

    simulate(story)
    assert seen.ends["left"] == 0  # nobody who was taken gave up
    assert seen.ends["answered"] >= 0.97 * saturation * seconds
    assert seen.p99() <= 10.0 + 2.0
    assert set(seen.ends) == {"answered", "refused"}


def test_a_queue_within_the_wait_refuses_nobody_however_long_it_stands() -> None:
    """Forty clients that each wait for their answer: 5.6 s of work, all the time."""
    seen = Seen()

    async def client(scheduler: Scheduler) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 60:
            await send(scheduler, request(), seen)

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*(client(scheduler) for _ in range(40)))

    simulate(story)
    assert set(seen.ends) == {"answered"}


def test_after_a_burst_a_newcomer_is_served_within_three_seconds() -> None:
    saturation = RATE / (ROWS * SIZE)

    async def story(scheduler: Scheduler) -> None:
        loop = asyncio.get_running_loop()
        tasks = await open_loop(scheduler, Seen(), per_s=5 * saturation, seconds=40)
        ended = loop.time()
        seen = Seen()
        while await send(scheduler, request(), seen) != "answered":
            await asyncio.sleep(0.1)
        assert loop.time() - ended <= 3.0
        await asyncio.gather(*tasks)

    simulate(story)


def test_a_burst_may_fill_the_queue_up_to_the_wait() -> None:
    saturation = RATE / (ROWS * SIZE)

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))  # a rate
        seen = Seen()
        burst = [asyncio.create_task(send(scheduler, request(), seen)) for _ in range(200)]
        await asyncio.gather(*burst)
        assert 9.0 * saturation <= seen.ends["answered"] <= 10.0 * saturation + 3
        assert seen.ends["refused"] == 200 - seen.ends["answered"]
        assert all(1 <= each <= 2 for each in seen.retry_s)

    simulate(story)


def test_who_comes_again_when_it_was_told_is_taken() -> None:
    """One large request stands in the way of a second; after Retry-After it does not."""

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        first = asyncio.create_task(send(scheduler, request(3000), Seen(), patience_s=300))
        await asyncio.sleep(0.1)
        seen = Seen()
        assert await send(scheduler, request(3000), seen, patience_s=300) == "refused"
        assert seen.retry_s[0] >= 2
        await asyncio.sleep(seen.retry_s[0])
        assert await send(scheduler, request(3000), seen, patience_s=300) == "answered"
        await first

    simulate(story)


def test_retry_after_is_the_time_until_there_is_room_and_a_minute_at_most() -> None:
    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        told: list[float] = []
        for ahead_s in (13.0, 30.0, 200.0):
            rows = request(int(ahead_s * RATE / SIZE))
            ahead = asyncio.create_task(scheduler.submit(rows))
            await asyncio.sleep(0.2)
            with pytest.raises(Overloaded) as refused:
                await scheduler.submit(request(int(ahead_s * RATE / SIZE)))
            told.append(refused.value.retry_after_s)
            ahead.cancel()
            await asyncio.wait([ahead])
            await asyncio.sleep(1)
        assert 4 <= told[0] <= 8
        assert 26 <= told[1] <= 30  # by then the queue may be two seconds long
        assert told[2] == 60

    simulate(story)


def test_a_large_request_ends_under_an_overload_of_small_ones() -> None:
    """It is not overtaken for ever; and small ones are served beside it."""
    saturation = RATE / (ROWS * SIZE)

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        large_seen, seen = Seen(), Seen()
        rows = request(600)  # 4.2 s alone
        large = asyncio.create_task(send(scheduler, rows, large_seen, patience_s=300))
        others = await open_loop(scheduler, seen, per_s=3 * saturation, seconds=30)
        assert large.done()
        assert large_seen.spent[0] <= 10.0 + 4.2 + 2.0
        await asyncio.gather(*others)
        assert seen.ends["left"] == 0

    simulate(story)


def test_small_requests_do_not_wait_for_a_large_one() -> None:
    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        large = asyncio.create_task(scheduler.submit(request(10_000)))  # 70 s
        seen = Seen()
        for _ in range(100):
            await asyncio.sleep(0.5)
            assert await send(scheduler, request(4), seen) == "answered"
        assert max(seen.spent) <= 3 * (4 * SIZE / RATE) + 2 * 0.3
        large.cancel()
        await asyncio.wait([large])

    simulate(story)


@pytest.mark.parametrize("rows", [4, ROWS, 100])
def test_two_clients_of_one_key_get_as_much_as_forty_of_another(rows: int) -> None:
    served: dict[str, int] = {}

    async def client(scheduler: Scheduler, key: str) -> None:
        loop = asyncio.get_running_loop()
        seen = Seen()
        while loop.time() < 60:
            if await send(scheduler, request(rows), seen, key=key) == "refused":
                await asyncio.sleep(seen.retry_s[-1])
        served[key] = served.get(key, 0) + seen.rows

    async def story(scheduler: Scheduler) -> None:
        clients = [client(scheduler, "many") for _ in range(40)]
        await asyncio.gather(*clients, *(client(scheduler, "few") for _ in range(2)))

    simulate(story)
    assert 0.85 <= served["few"] / served["many"] <= 1.15


def test_a_key_with_a_full_queue_does_not_close_the_server_to_another() -> None:
    saturation = RATE / (ROWS * SIZE)

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        greedy = await open_loop(scheduler, Seen(), per_s=10 * saturation, seconds=8)
        seen = Seen()
        assert await send(scheduler, request(), seen, key="other") == "answered"
        assert seen.spent[0] <= 1.0
        await asyncio.gather(*greedy)

    simulate(story)


def test_what_meets_no_work_is_taken_up_to_its_deadline() -> None:
    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        loop = asyncio.get_running_loop()
        rows = request(4000)  # 28 s alone
        await scheduler.submit(rows, until=loop.time() + 40)
        with pytest.raises(DeadlineExceeded, match=r"limits\.deadline_s"):
            await scheduler.submit(rows, until=loop.time() + 20)

    simulate(story)


def test_what_cannot_end_in_time_leaves_before_it_costs() -> None:
    timed = engine()

    async def story(scheduler: Scheduler) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        timed._tokens_per_s = RATE / 20  # pyright: ignore[reportPrivateUsage] - the machine got busy
        first = asyncio.create_task(scheduler.submit(request(400)))
        await asyncio.sleep(0.05)
        late = request(100)  # 0.7 s at the rate that is known
        with pytest.raises(DeadlineExceeded):
            await scheduler.submit(late, until=loop.time() + 2.5)
        assert not {id(row) for row in timed.rows} & {id(row) for row in late}
        await first

    schedule(timed, story, wait_s=10.0)


def test_nothing_is_refused_by_time_before_the_rate_is_known() -> None:
    async def story(scheduler: Scheduler) -> None:
        assert scheduler.admission.pace.tokens_per_s == 0
        seen = Seen()
        await asyncio.gather(*(send(scheduler, request(), seen) for _ in range(90)))
        assert seen.ends == {"answered": 90}
        assert scheduler.admission.pace.tokens_per_s == pytest.approx(RATE, rel=0.1)

    simulate(story)


def test_one_tiny_request_says_nothing_of_the_rate() -> None:
    async def story(scheduler: Scheduler) -> None:
        for _ in range(100):
            await scheduler.submit(request(1, 4))
            await asyncio.sleep(1)
        assert math.isclose(scheduler.admission.pace.tokens_per_s, 0.0)

    simulate(story)


def test_tiny_requests_without_end_leave_room_for_large_ones() -> None:
    """A call of a few tokens takes 20 ms: by it 100,000 tokens would take minutes, not 5 s."""
    timed = TimedEngine(batch_tokens=8192, batch_s=0.02, tokens_per_s=RATE)

    async def story(scheduler: Scheduler) -> None:
        loop, seen = asyncio.get_running_loop(), Seen()
        ends = loop.time() + 45

        async def tiny(pause_s: float) -> None:
            while loop.time() < ends:
                await send(scheduler, request(1, 4), seen)
                await asyncio.sleep(pause_s)

        clients = [asyncio.create_task(tiny(0.003 + 0.004 * i)) for i in range(12)]
        await asyncio.sleep(30)
        while loop.time() < ends and not scheduler.admission.has_work:
            await asyncio.sleep(0.001)
        began = loop.time()
        assert scheduler.admission.pace.seconds(100_000) < 10
        large = [request(500, 200) for _ in range(2)]
        await asyncio.gather(*(scheduler.submit(rows, until=began + 20) for rows in large))
        assert loop.time() - began < 15
        await asyncio.gather(*clients)
        assert set(seen.ends) == {"answered"}

    schedule(timed, story, wait_s=10.0)


def test_texts_that_give_no_tokens_do_not_close_the_server() -> None:
    """31 MB of blanks take seconds and are a handful of tokens: the rate must not follow."""

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        loop = asyncio.get_running_loop()
        admission = scheduler.admission
        blanks = 31_000_000
        with admission.reserve(admission.estimate(blanks), text_bytes=blanks) as ticket:
            assert ticket.tokens >= blanks // 32
            await asyncio.sleep(28)
        await scheduler.submit(request(1), ticket=ticket)
        assert admission.pace.tokens_per_s >= RATE / 2
        await scheduler.submit(request(1000), until=loop.time() + 60)

    simulate(story)


def test_a_slow_moment_does_not_close_the_server_to_a_large_request() -> None:
    timed = engine()

    async def story(scheduler: Scheduler) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        timed._tokens_per_s = RATE / 50  # pyright: ignore[reportPrivateUsage]
        await scheduler.submit(request(20))
        timed._tokens_per_s = RATE  # pyright: ignore[reportPrivateUsage]
        assert scheduler.admission.pace.tokens_per_s < RATE / 5
        await scheduler.submit(request(5000), until=loop.time() + 60)

    schedule(timed, story, wait_s=10.0)


def test_an_estimate_alone_does_not_say_that_a_request_is_too_long() -> None:
    """Blanks look like millions of tokens; only what is counted is too much for the deadline."""

    async def story(scheduler: Scheduler) -> None:
        await asyncio.gather(*await open_loop(scheduler, Seen(), per_s=5, seconds=2))
        admission, loop = scheduler.admission, asyncio.get_running_loop()
        until = loop.time() + 60
        with admission.reserve(4_000_000, text_bytes=31_000_000, until=until) as ticket:
            pass
        assert (await scheduler.submit(request(1), ticket=ticket, until=until)).logits.shape
        with admission.reserve(4_000_000, text_bytes=31_000_000, until=until) as ticket:
            pass
        with pytest.raises(DeadlineExceeded) as refused:
            await scheduler.submit(request(20_000), ticket=ticket, until=until)
        assert refused.value.is_final

    simulate(story)


def test_a_hiccup_while_a_tiny_request_runs_refuses_nobody() -> None:
    """The machine was elsewhere for 60 ms, or a second: 20 tokens are all that it ran."""

    async def story(scheduler: Scheduler) -> None:
        loop, pace = asyncio.get_running_loop(), scheduler.admission.pace
        for hiccup_s in (0.06, 1.0):
            pace.begin(loop.time())
            await asyncio.sleep(hiccup_s)
            pace.ran(20, loop.time(), more=False)
            await scheduler.submit(request(1, 100))  # 6 ms: what can be hoped for
            seen = Seen()
            await asyncio.gather(*(send(scheduler, request(), seen) for _ in range(6)))
            assert seen.ends == {"answered": 6}
            until = loop.time() + 300
            await scheduler.submit(request(10_000), until=until)  # 70 s alone

    simulate(story)


def test_when_to_come_again_is_said_by_as_little_as_is_known() -> None:
    """A slow model has done one row: nobody is refused by that rate, but it is what there is."""
    timed = TimedEngine(batch_tokens=1, batch_s=0.1, tokens_per_s=1e6)

    async def story(scheduler: Scheduler) -> None:
        first = asyncio.create_task(scheduler.submit(request(60, 3)))
        await asyncio.sleep(0.35)
        assert scheduler.admission.pace.tokens_per_s == 0
        with pytest.raises(Overloaded) as refused:
            await scheduler.submit(request(20, 3))
        assert 1 < refused.value.retry_after_s <= 6
        await first

    schedule(timed, story, queue_tokens=180)
