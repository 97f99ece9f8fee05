"""What `rerankd serve --workers N` gains and costs.

    uv run python bench/workers.py real       # this machine: one process, and 2 workers, in turn
    uv run python bench/workers.py simulated  # 1 to 64 workers whose engines wait, virtual time
    uv run python bench/workers.py front      # what one front carries: workers that cost nothing

`real`: rerankd-mini, new documents each time, 4 clients; and the same 800 documents again. Memory
is the proportional set size of all processes of a server. `simulated`: team, messages and sockets
are real, an engine takes time on a clock that jumps: what is seen is the choice of workers, not
this machine. `front`: CPU of the process that listens, for a request. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
from shared import ROOT

from tests.kit.virtual_time import VirtualLoop
from tests.workers.goodput import goodput

_PEERS = Path(__file__).parent / "peers"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_START_S = 180.0
_CLIENTS = 4


class Served:
    """A server that runs, with all its processes."""

    def __init__(self, name: str, command: list[str]) -> None:
        """Start it, and wait until it says where."""
        self.name = name
        started = time.perf_counter()
        self.process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=os.environ | {"RERANKD_LIMITS_WAIT_S": "100"},  # neighbours are no reason to refuse
        )
        out = self.process.stdout
        while out is not None and (line := out.readline()):
            if found := re.search(r"http://\S+:(\d+)", line):
                self.port = int(found[1])
                self.ready_s = time.perf_counter() - started
                return
            if time.perf_counter() - started > _START_S:
                break
        raise SystemExit(f"{name} did not start")

    @property
    def pids(self) -> list[int]:
        """The server first, then its workers."""
        task = Path(f"/proc/{self.process.pid}/task")
        children = [
            int(pid) for each in task.iterdir() for pid in (each / "children").read_text().split()
        ]
        return [self.process.pid, *children]

    def cpu_s(self) -> list[float]:
        """CPU seconds of each process so far."""
        return [
            sum(
                int((task / "schedstat").read_text().split()[0])
                for task in Path(f"/proc/{pid}/task").iterdir()
            )
            / 1e9
            for pid in self.pids
        ]

    def memory_mb(self) -> list[float]:
        """Proportional set size of each process."""
        found: list[float] = []
        for pid in self.pids:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found.append(int(re.findall(r"^Pss: +(\d+)", rollup, re.MULTILINE)[0]) / 1024)
        return found

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


async def load(port: int, clients: int, bodies: Iterator[bytes], seconds: float) -> list[float]:
    """Requests by so many clients for so long, each with a connection of its own; seconds each."""
    waited: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        while (started := time.perf_counter()) < end:
            content = next(bodies, None)
            if content is None:
                break
            writer.write(
                b"POST /v1/rerank HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
            )
            writer.write(content)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if b" 200 " not in head[:20] or length is None:
                raise SystemExit(f"not answered: {head!r}")
            await reader.readexactly(int(length[1]))
            waited.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return waited


def body(documents: int, words: int, mark: int) -> bytes:
    """Documents of so many words; no two marks have one in common."""
    found = [
        f"passage {mark} {i} "
        + " ".join(f"word{(i * 7 + j * mark + j) % 997}" for j in range(words))
        for i in range(documents)
    ]
    asked = {"query": f"what is word{mark % 97}", "documents": found, "return_documents": False}
    return json.dumps(asked).encode()


def fresh(documents: int, words: int) -> Iterator[bytes]:
    """Bodies whose documents nobody has seen."""
    marks = count(time.time_ns() % 1_000_000)
    return (body(documents, words, mark) for mark in marks)


def again(documents: int, words: int, lists: int) -> Iterator[bytes]:
    """The same lists, in turn."""
    known = [body(documents, words, mark) for mark in range(lists)]
    return (known[turn % lists] for turn in count())


def real(rounds: int, seconds: float) -> list[str]:
    """One process and two workers on this machine."""
    serve = ["-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-mini", "--workers"]
    served = [Served("1 process", [*serve, "0"]), Served("2 workers", [*serve, "2"])]
    loads: dict[str, tuple[int, Callable[[], Iterator[bytes]]]] = {
        "new documents": (20, lambda: fresh(20, 60)),
        "40 lists, again and again": (20, lambda: again(20, 60, 40)),
    }
    lines = [
        "| load | server | documents a second | p50 ms | CPU ms a document |",
        "|---|---|---|---|---|",
    ]
    try:
        for what, (documents, bodies) in loads.items():
            rates: dict[str, list[float]] = {each.name: [] for each in served}
            waits: dict[str, list[float]] = {each.name: [] for each in served}
            cpus: dict[str, list[float]] = {each.name: [] for each in served}
            for each in served:  # until all that will be remembered is
                for _ in range(2):
                    asyncio.run(load(each.port, _CLIENTS, islice(bodies(), 40), _START_S))
            for turn in range(rounds):
                for each in served if turn % 2 else served[::-1]:
                    before = sum(each.cpu_s())
                    started = time.perf_counter()
                    waited = asyncio.run(load(each.port, _CLIENTS, bodies(), seconds))
                    took = time.perf_counter() - started
                    rates[each.name].append(documents * len(waited) / took)
                    waits[each.name].append(1000 * statistics.median(waited))
                    spent = sum(each.cpu_s()) - before
                    cpus[each.name].append(1000 * spent / documents / len(waited))
            for each in served:
                cells = (span(values[each.name]) for values in (rates, waits, cpus))
                lines.append(f"| {what} | {each.name} | {' | '.join(cells)} |")
            first, second = (rates[each.name] for each in served)
            ratios = [b / a for a, b in zip(first, second, strict=True)]
            lines.append(f"| {what} | 2 workers / 1 process | {span(ratios)} | | |")
        lines += [
            "",
            "| server | MB (PSS) of each process | all | ready after s |",
            "|---|---|---|---|",
        ]
        for each in served:
            memory = each.memory_mb()
            listed = " + ".join(f"{size:.0f}" for size in memory)
            lines.append(f"| {each.name} | {listed} | {sum(memory):.0f} | {each.ready_s:.1f} |")
    finally:
        for each in served:
            each.stop()
    return lines


def span(values: list[float]) -> str:
    """Median and range."""
    shown = [statistics.median(values), min(values), max(values)]
    digits = 2 if shown[0] < 10 else 0
    return "{0:.{3}f} ({1:.{3}f}-{2:.{3}f})".format(*shown, digits)


def simulated(sizes: list[int], seconds: float) -> list[str]:
    """Goodput, 1.0 = what one engine can do, with 2 and 4 clients for each worker."""
    lines = [
        "| workers | 2 clients each | of linear | 4 clients each | of linear |",
        "|---|---|---|---|---|",
    ]
    alone: list[float] = []
    for workers in sizes:
        cells: list[str] = []
        for place, clients in enumerate((2, 4)):
            loop = VirtualLoop()
            rate = loop.run_until_complete(goodput(workers, seconds, clients))
            loop.close()
            alone += [rate] if place == len(alone) else []
            cells += [f"{rate:.2f}", f"{rate / alone[place] / workers:.3f}"]
        lines.append(f"| {workers} | {' | '.join(cells)} |")
    return lines


def carried(seconds: float) -> list[str]:
    """What one front carries: engines that take no time, two workers."""
    served = Served("front", [str(_PEERS / "fake_front.py"), "2", "0"])
    lines = [
        "| body | documents | front: CPU ms | a core carries, a second | worker: CPU ms | p50 ms |",
        "|---|---|---|---|---|---|",
    ]
    try:
        for documents, words in ((1, 10), (10, 66), (100, 66), (1000, 66)):
            bodies = fresh(documents, words)
            size = len(next(bodies))
            known = again(documents, words, 8)
            asyncio.run(load(served.port, _CLIENTS, known, 1.0))
            before = served.cpu_s()
            waited = asyncio.run(load(served.port, _CLIENTS, known, seconds))
            spent = 1000 * (np.array(served.cpu_s()) - np.array(before)) / len(waited)
            alone = asyncio.run(load(served.port, 1, known, seconds / 2))
            lines.append(
                f"| {size / 1000:.1f} kB | {documents} | {spent[0]:.2f} | {1000 / spent[0]:.0f} "
                f"| {spent[1:].sum():.2f} | {1000 * statistics.median(alone):.2f} |"
            )
    finally:
        served.stop()
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("real", "simulated", "front"))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    args = parser.parse_args()
    lines = {
        "real": lambda: real(args.rounds, args.seconds),
        "simulated": lambda: simulated(args.sizes, 4 * args.seconds),
        "front": lambda: carried(args.seconds),
    }[args.what]()
    sys.stdout.write("\n".join(lines) + f"\nload average {os.getloadavg()[0]:.1f}\n")


if __name__ == "__main__":
    main()
