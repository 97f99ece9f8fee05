"""More than the server can do: open loop, distinct texts, clients that give up after 30 s.

Saturation is measured first, closed loop. Then each load runs for `seconds`: requests are sent when
their time has come, whatever became of the others. A part of the refused come back after exactly
Retry-After; they take the place of the next arrival, so that the load stays what it is.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .client import Answer, Clients
from .figures import Memory, own_cpu_s, percentile, statuses
from .process import Server, serving
from .texts import Texts

DOCUMENTS, WORDS = 20, 100
GIVE_UP_S = 30.0
CLIENTS = 4  # of the closed loop; few enough that nobody is refused
_PROBE_SHARE = 0.5  # probes a second, of saturation
_PROBE_FROM_S = 2.0
_RECOVERED_S = 2.0  # a small probe is well when it takes its own time and this
_STAYS_S = 3.0
_RECOVERY_PATIENCE_S = 90.0


@dataclass
class Saturation:
    """What the server can do, and what it costs."""

    per_s: float
    alone_s: float  # p50 of one request alone
    alone_p99_s: float
    cpu_ms: float  # of the server, a request
    loop_cpu_ms: float  # of it on the event loop's thread
    client_cpu_ms: float  # of the load generator, a request


@dataclass
class Run:
    """One load: every answer, and which were probes that waited Retry-After."""

    answers: list[Answer] = field(default_factory=list[Answer])
    probes: list[Answer] = field(default_factory=list[Answer])
    late_s: float = 0.0  # how far the generator fell behind its own schedule, at most


async def closed_loop(clients: Clients, texts: Texts, *, seconds: float, at_once: int) -> list[Any]:
    """So many clients, each with one request after the other."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            answers.append(await clients.post(texts.body(DOCUMENTS, WORDS)))

    await asyncio.gather(*(client() for _ in range(at_once)))
    return answers


async def saturation(server: Server, texts: Texts, seconds: float) -> Saturation:
    """Requests a second of a closed loop, after a warm-up."""
    clients = Clients(server.port)
    await closed_loop(clients, texts, seconds=2, at_once=CLIENTS)
    alone = await closed_loop(clients, texts, seconds=max(2.0, seconds / 4), at_once=1)
    before, own, started = server.usage(), own_cpu_s(), time.monotonic()
    answers = await closed_loop(clients, texts, seconds=seconds, at_once=CLIENTS)
    took, used = time.monotonic() - started, server.usage()
    clients.close()
    served = sum(answer.status == 200 for answer in answers)
    if served < len(answers) or not served:
        raise SystemExit(f"the closed loop was not answered: {statuses(answers)}")
    times = [answer.taken_s for answer in alone]
    return Saturation(
        per_s=served / took,
        alone_s=percentile(times, 0.5),
        alone_p99_s=percentile(times, 0.99),
        cpu_ms=1000 * (used.cpu_s - before.cpu_s) / served,
        loop_cpu_ms=1000 * (used.loop_cpu_s - before.loop_cpu_s) / served,
        client_cpu_ms=1000 * (own_cpu_s() - own) / served,
    )


async def open_loop(
    clients: Clients, texts: Texts, *, rate: float, seconds: float, probe_per_s: float
) -> tuple[Run, list[asyncio.Task[None]]]:
    """Send for `seconds`; the answers go on coming into the Run."""
    run, draw = Run(), random.Random(1)
    tasks: list[asyncio.Task[None]] = []
    back: list[float] = []  # when refused ones come back, a heap
    next_probe = 0.0

    async def one(*, probe: bool) -> None:
        nonlocal next_probe
        answer = await clients.post(texts.body(DOCUMENTS, WORDS), give_up_s=GIVE_UP_S)
        (run.probes if probe else run.answers).append(answer)
        now, after = time.monotonic(), answer.retry_after_s or 0.0
        if answer.status == 503 and after >= _PROBE_FROM_S and not probe and now >= next_probe:
            next_probe = now + 1 / probe_per_s
            heapq.heappush(back, now + after)

    started = at = time.monotonic()
    while at < started + seconds:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        now = time.monotonic()
        run.late_s = max(run.late_s, now - at)
        tasks.append(asyncio.create_task(one(probe=False)))
        at += draw.expovariate(rate)
        while back and back[0] <= max(at, now):  # exactly then, in place of the next arrival
            await asyncio.sleep(max(0.0, heapq.heappop(back) - time.monotonic()))
            tasks.append(asyncio.create_task(one(probe=True)))
            at += draw.expovariate(rate)
    return run, tasks


async def recovery(server: Server, texts: Texts, own_s: float) -> float | None:
    """Seconds until a small probe is well, and stays so; None: not within 90 s.

    A fresh one is sent every 0.1 s, whatever became of the others.
    """
    clients = Clients(server.port)
    started = time.monotonic()
    sent: list[Answer] = []
    patience = own_s + _RECOVERED_S

    async def probe() -> None:
        sent.append(await clients.post(texts.body(1, WORDS), give_up_s=patience))

    tasks: list[asyncio.Task[None]] = []
    while time.monotonic() - started < _RECOVERY_PATIENCE_S:
        tasks.append(asyncio.create_task(probe()))
        await asyncio.sleep(0.1)
        bad = [answer.sent_at for answer in sent if answer.status != 200]
        since = max(bad, default=started)
        good = sorted(a.sent_at for a in sent if a.status == 200 and a.sent_at > since)
        if good and good[-1] - good[0] >= _STAYS_S:
            await asyncio.gather(*tasks)
            clients.close()
            if all(a.status == 200 for a in sent if a.sent_at > since):
                return good[0] - started
            tasks.clear()
    for task in tasks:
        task.cancel()
    clients.close()
    return None


async def one_load(
    server: Server, texts: Texts, able: Saturation, small_s: float, load: float, seconds: float
) -> dict[str, Any]:
    """Run one load and say everything about it."""
    clients = Clients(server.port)
    memory = Memory(server)
    async with memory.watching():
        before, own, started = server.usage(), own_cpu_s(), time.monotonic()
        run, tasks = await open_loop(
            clients,
            texts,
            rate=load * able.per_s,
            seconds=seconds,
            probe_per_s=_PROBE_SHARE * able.per_s,
        )
        took, used, own = time.monotonic() - started, server.usage(), own_cpu_s() - own
        recovered = await recovery(server, texts, small_s)
        await asyncio.gather(*tasks)
        peak = memory.told()["peak_mb"]
    clients.close()
    await asyncio.sleep(2)
    found = [*run.answers, *run.probes]
    good = [answer for answer in found if answer.status == 200]
    in_time = [a for a in good if a.sent_at + a.taken_s <= started + took]
    refused = [
        a for a in found if a.status in (429, 503) and a.sent_at + a.taken_s <= started + took
    ]
    loop_ms = 1000 * (used.loop_cpu_s - before.loop_cpu_s)
    refusal_ms = (loop_ms - len(in_time) * able.loop_cpu_ms) / len(refused) if refused else 0.0
    refusal_ms = max(refusal_ms, 0.0)
    cores = (used.cpu_s - before.cpu_s + own) / took  # what both had
    spent = len(refused) * refusal_ms / 1000 / took
    more_client = own / took - len(in_time) * able.client_cpu_ms / 1000 / took
    goodput = len(in_time) / took / able.per_s
    times = [answer.taken_s for answer in good]
    return {
        "load": load,
        "sent": len(found),
        "goodput": goodput,
        "goodput_after_refusals": goodput / (1 - spent / cores),
        "goodput_after_refusals_and_generator": goodput
        / (1 - (spent + max(0.0, more_client)) / cores),
        "goodput_by_cpu": len(in_time) * able.cpu_ms / 1000 / (used.cpu_s - before.cpu_s),
        "refusal_cpu_ms": refusal_ms,
        "server_cpu_s": used.cpu_s - before.cpu_s,
        "generator_cpu_s": own,
        "generator_late_s": run.late_s,
        "statuses": statuses(found),
        "accepted_p50_s": percentile(times, 0.5),
        "accepted_p99_s": percentile(times, 0.99),
        "retry_after_s": _range([a.retry_after_s for a in refused]),
        "probes": len(run.probes),
        "probes_admitted": sum(a.status not in (429, 503) for a in run.probes),
        "recovery_s": recovered,
        "peak_mb": peak,
        "after_mb": server.usage().rss_mb,
    }


def _range(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return [min(known), percentile(known, 0.5), max(known)] if known else None


async def measure(
    command: Sequence[str], model: str, loads: Sequence[float], seconds: float
) -> dict[str, Any]:
    """One model: its saturation, then each load on a server of its own."""
    told: dict[str, Any] = {"loads": []}
    for load in loads:
        with serving(command, model) as server:
            texts = Texts(int(load * 10))
            able = await saturation(server, texts, max(5.0, seconds / 2))
            small = Clients(server.port)
            own = [(await small.post(texts.body(1, WORDS))).taken_s for _ in range(10)]
            small.close()
            found = await one_load(server, texts, able, percentile(own, 0.5), load, seconds)
            told["loads"].append(vars(able) | found)
            print(f"  {model} {load} ×: {found}", flush=True)
    return told
