"""A small request beside long documents: how long it waits, and whether the server looks alive.

Beside it runs one sender, in turn one that waits for its answer and one that leaves as soon as its
body is sent. Each case has a server of its own; it ends with SIGTERM while a long one runs.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any

from .client import Answer, Clients
from .figures import Memory, percentile, statuses
from .process import Server, serving
from .texts import LONG, Texts

SMALL = 4  # short documents
IDLE_SAMPLES = 200
_EXIT_PATIENCE_S = 120.0
_SMALL_PATIENCE_S = 180.0
_LEAVES_AFTER_S = 0.5


async def _small(
    clients: Clients, texts: Texts, seconds: float, most: int = 1_000_000
) -> list[Answer]:
    """Small requests, one after the other, for so long, but at most so many."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds
    while len(answers) < most and time.monotonic() < end:
        answers.append(await clients.post(texts.short(SMALL), give_up_s=_SMALL_PATIENCE_S))
    return answers


async def _look(clients: Clients, path: str, seen: list[Answer]) -> None:
    """Ask a page for ever, 10 times a second."""
    while True:
        answer = await clients.get(path, give_up_s=60.0)
        seen.append(answer)
        await asyncio.sleep(max(0.0, 0.1 - answer.taken_s))


async def _send(clients: Clients, body: bytes, seen: list[Answer], *, leaves: bool) -> None:
    """The long request again and again."""
    while True:
        patience = _LEAVES_AFTER_S if leaves else 600.0
        seen.append(await clients.post(body, give_up_s=patience))
        if leaves:
            await asyncio.sleep(0.5)


async def _beside(
    server: Server, texts: Texts, body: bytes, seconds: float, *, leaves: bool
) -> dict[str, Any]:
    """Figures of small requests and pages while the sender is there."""
    clients, sender, pages = (Clients(server.port) for _ in range(3))
    health, ready, sent = list[Answer](), list[Answer](), list[Answer]()
    tasks = [
        asyncio.create_task(_send(sender, body, sent, leaves=leaves)),
        asyncio.create_task(_look(pages, "/health", health)),
        asyncio.create_task(_look(pages, "/ready", ready)),
    ]
    await asyncio.sleep(1.0)
    small = await _small(clients, texts, seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for each in (clients, sender, pages):
        each.close()
    times = [answer.taken_s for answer in small]
    return {
        "small": statuses(small),
        "p50_ms": 1000 * percentile(times, 0.5),
        "p99_ms": 1000 * percentile(times, 0.99),
        "most_ms": 1000 * max(times),
        "sent": statuses(sent),
        "health": statuses(health),
        "health_most_ms": 1000 * max((a.taken_s for a in health), default=0.0),
        "ready": statuses(ready),
        "ready_most_ms": 1000 * max((a.taken_s for a in ready), default=0.0),
    }


async def _ends(server: Server, body: bytes) -> dict[str, Any]:
    """SIGTERM while the long request runs and its sender has left."""
    clients = Clients(server.port)
    await clients.post(body, give_up_s=2.0)
    clients.close()
    started = time.monotonic()
    server.launcher.send_signal(signal.SIGTERM)
    status = await asyncio.to_thread(server.wait, _EXIT_PATIENCE_S)
    return {"exit_s": time.monotonic() - started, "exit_status": status}


async def _case(command: Sequence[str], model: str, name: str, seconds: float) -> dict[str, Any]:
    with serving(command, model) as server:
        texts = Texts(3)
        body = LONG[name](texts)
        clients = Clients(server.port)
        await _small(clients, texts, 2)
        idle = await _small(clients, texts, seconds, IDLE_SAMPLES)
        clients.close()
        times = [answer.taken_s for answer in idle]
        told: dict[str, Any] = {
            "idle_p99_ms": 1000 * percentile(times, 0.99),
            "idle_mb": server.usage().rss_mb,
        }
        memory = Memory(server)
        async with memory.watching():
            told["stays"] = await _beside(server, texts, body, seconds, leaves=False)
            await _settled(server)
            told["leaves"] = await _beside(server, texts, body, seconds, leaves=True)
            told["peak_mb"] = memory.told()["peak_mb"]
        told["idle_again_s"] = await _settled(server)
        told["after_mb"] = server.usage().rss_mb
        told |= await _ends(server, body)
    return told


async def _settled(server: Server, patience_s: float = 60.0) -> float | None:
    """Seconds until the process stops using a core; None: it works on for a minute."""
    started = time.monotonic()
    while time.monotonic() - started < patience_s:
        before = server.usage().cpu_s
        await asyncio.sleep(1.0)
        if server.usage().cpu_s - before < 0.1:
            return time.monotonic() - started - 1.0
    return None


async def measure(
    command: Sequence[str], model: str, seconds: float, only: str | None
) -> dict[str, Any]:
    """Every case of `LONG` whose name contains `only`."""
    told: dict[str, Any] = {}
    for name in LONG:
        if only is None or only in name:
            told[name] = await _case(command, model, name, seconds)
            print(f"  {model}, {name}: {told[name]}", flush=True)
    return told
