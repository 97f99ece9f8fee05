"""kill -9 and restart, SIGTERM said twice, a hundred reloads under load."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .client import LATE_LOSS, Answer, Clients
from .figures import statuses
from .process import Server, left_of, serving
from .texts import Texts

_EXIT_PATIENCE_S = 90.0
_TURNS = 3
_JUST_BEFORE_S = 0.1  # a request sent so close to the signal may be read after it


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Load:
    """So many clients, each with one request after the other, until stopped."""

    def __init__(self, server: Server, *, at_once: int, key: str = "") -> None:
        self.answers: list[Answer] = []
        self._texts = Texts(11)
        self._stopped = False
        self._clients = Clients(server.port, key=key)
        self._tasks = [asyncio.create_task(self._send()) for _ in range(at_once)]

    async def _send(self) -> None:
        while not self._stopped:
            answer = await self._clients.post(self._texts.body(4), give_up_s=120.0)
            self.answers.append(answer)
            if answer.status <= 0 or answer.status == 503:
                await asyncio.sleep(0.05)

    async def end(self) -> list[Answer]:
        """No new requests; all that were sent are waited for."""
        self._stopped = True
        await asyncio.gather(*self._tasks)
        self._clients.close()
        return self.answers


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}  # noqa: S108 - looked at, not written


async def kill(command: Sequence[str]) -> dict[str, Any]:
    """kill -9 under load, three times, then the same port again."""
    told: list[dict[str, Any]] = []
    port = free_port()
    for _ in range(_TURNS):
        shared = _shared_memory()
        with serving(command, port=port) as server:
            files = _files(server.home)
            load = Load(server, at_once=4)
            await asyncio.sleep(3.0)
            os.kill(server.pid, signal.SIGKILL)
            server.launcher.wait()
            await asyncio.sleep(0.2)
            answers = await load.end()
            left = _files(server.home) - files
            processes = left_of(server.launcher.pid)
        started = time.monotonic()
        with serving(command, port=port) as again:
            clients = Clients(again.port)
            answer = await clients.post(Texts(1).body(4))
            clients.close()
            told.append(
                {
                    "before": statuses(answers),
                    "files_left": sorted(left),
                    "shared_memory_left": sorted(_shared_memory() - shared),
                    "processes_left": processes,
                    "serves_again_s": time.monotonic() - started,
                    "after": statuses([answer]),
                }
            )
    return {"turns": told}


async def _signalled(server: Server, send: Callable[[], None]) -> dict[str, Any]:
    """Every request sent before the signal must be answered 200; the exit status must be 0."""
    load = Load(server, at_once=6)
    await asyncio.sleep(3.0)
    started = time.monotonic()
    send()
    await asyncio.sleep(0.05)
    send()
    status = await asyncio.to_thread(server.wait, _EXIT_PATIENCE_S)
    took = time.monotonic() - started
    answers = await load.end()
    accepted = [a for a in answers if a.sent_at < started - _JUST_BEFORE_S]
    later = [a for a in answers if a.sent_at >= started - _JUST_BEFORE_S]
    return {
        "accepted": statuses(accepted),
        "accepted_not_200": sum(a.status != 200 for a in accepted),
        "later": statuses(later),
        "lost_on_kept_connections": sum(a.status == LATE_LOSS for a in later),
        "exit_s": took,
        "exit_status": status,
    }


async def signals(command: Sequence[str], source: Path) -> dict[str, Any]:
    """Each way in which a signal comes twice."""
    told: dict[str, Any] = {}
    with serving(command) as server:
        told["SIGTERM twice"] = await _signalled(
            server, lambda: os.kill(server.pid, signal.SIGTERM)
        )
    with serving(command) as server:
        group = server.launcher.pid
        told["Ctrl-C twice, to the group"] = await _signalled(
            server, lambda: os.killpg(group, signal.SIGINT)
        )
    under_uv = ["uv", "run", "--no-sync", "--project", str(source)]
    with serving(["rerankd"], before=under_uv) as server:
        group_of_uv = server.launcher.pid
        told["SIGTERM to the group under uv run"] = await _signalled(
            server, lambda: os.killpg(group_of_uv, signal.SIGTERM)
        )
    return told


_CONFIG = """
[aliases]
"turn-{turn}" = "rerankd-mini"
[[keys]]
name = "stays"
key = "sk-stays"
[[keys]]
name = "turn"
key = "sk-turn-{turn}"
"""
_EMPTIED = ""  # would leave a server open that had keys
_BROKEN = "[limits\n"


async def reloads(command: Sequence[str], count: int) -> dict[str, Any]:
    """SIGHUP under load; every tenth file is broken, every tenth empty."""
    with serving(command, config=_CONFIG.format(turn=-1)) as server:
        load = Load(server, at_once=4, key="sk-stays")
        open_after, late = 0, 0
        for turn in range(count):
            bad = {3: _BROKEN, 7: _EMPTIED}.get(turn % 10)
            server.config.write_text(_CONFIG.format(turn=turn) if bad is None else bad)
            os.kill(server.pid, signal.SIGHUP)
            if bad is None:
                late += not await _soon(server.port, f"sk-turn-{turn}")
            else:
                await asyncio.sleep(0.3)
                open_after += await _status(server.port, "") != 401
        answers = await load.end()
        used = server.usage()
    return {
        "reloads": count,
        "answers": statuses(answers),
        "open_without_a_key": open_after,
        "not_in_force_after_20_s": late,
        "rss_mb": used.rss_mb,
        "threads": used.threads,
        "fds": used.fds,
    }


async def _status(port: int, key: str) -> int:
    clients = Clients(port, key=key, keep=False)
    return (await clients.post(b'{"query":"q","documents":["a"]}', give_up_s=60.0)).status


async def _soon(port: int, key: str) -> bool:
    """Whether the key works within 20 s."""
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        if await _status(port, key) == 200:
            return True
        await asyncio.sleep(0.05)
    return False
