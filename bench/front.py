"""What a small request costs that needs no encoder: HTTP, parsing, hand-over, MaxSim, rendering.

    uv run python bench/front.py [--before CHECKOUT] [--rounds 10] [--markdown FILE]

10 documents that rerankd-mini remembers, again and again, over connections that are kept: CPU of
the server process per request with 32 clients, and the time that a client waits, alone and beside
31 others. With --before, a server of another checkout (its own .venv) runs beside this one's, and
the two are asked in turn; what is compared are their ratios round by round. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared import ROOT

CLIENTS = 32
_START_S = 120
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def body() -> bytes:
    """10 documents of 63 words."""
    documents = [
        f"passage {i} about " + " ".join(f"word{(i * 7 + j) % 97}" for j in range(60))
        for i in range(10)
    ]
    content = {"model": "rerankd-mini", "query": "what is word3 about", "documents": documents}
    return json.dumps(content).encode()


@dataclass
class Served:
    """A server of one checkout, and what was measured of it, a number a round."""

    name: str
    process: subprocess.Popen[str]
    port: int
    cpu_ms: list[float] = field(default_factory=list[float])  # per request, 32 clients
    crowd_ms: list[float] = field(default_factory=list[float])  # p50, 32 clients
    alone_ms: list[float] = field(default_factory=list[float])  # p50, one client

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def measure(self, requests: int) -> None:
        """One round."""
        before = self.cpu_s()
        waited = asyncio.run(load(self.port, CLIENTS, requests))
        self.cpu_ms.append(1000 * (self.cpu_s() - before) / len(waited))
        self.crowd_ms.append(1000 * statistics.median(waited))
        self.alone_ms.append(1000 * statistics.median(asyncio.run(load(self.port, 1, 200))))


def serve(name: str, checkout: Path) -> Served:
    """Start a checkout's server on a free port and wait until it answers."""
    command = [str(checkout / ".venv/bin/rerankd"), "serve", "--port", "0"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--model", "rerankd-mini"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
    )
    end = time.monotonic() + _START_S
    while process.stdout is not None and time.monotonic() < end:
        line = process.stdout.readline()
        if found := re.search(r"http://\S+:(\d+)", line):
            return Served(name, process, int(found[1]))
        if not line:
            break
    raise SystemExit(f"the server of {checkout} did not start")


async def load(port: int, clients: int, requests: int) -> list[float]:
    """So many requests by so many clients, each with a connection of its own; seconds of each."""
    waited: list[float] = []
    content = body()
    message = (
        b"POST /v1/rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    )

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(max(1, requests // clients)):
            started = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if b" 200 " not in head[:20] or length is None:
                raise SystemExit(f"not answered: {head!r}")
            await reader.readexactly(int(length[1]))
            waited.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return waited


def span(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def table(now: Served, before: Served | None) -> list[str]:
    """The table's lines."""
    asked: dict[str, Callable[[Served], list[float]]] = {
        "requests per server CPU s, 32 clients": lambda of: [1000 / ms for ms in of.cpu_ms],
        "server CPU ms per request, 32 clients": lambda of: of.cpu_ms,
        "p50 ms, 32 clients": lambda of: of.crowd_ms,
        "p50 ms, one client alone": lambda of: of.alone_ms,
    }
    if before is None:
        lines = ["| | median (range) |", "|---|---|"]
    else:
        lines = [f"| | {now.name} | {before.name} | ratio, round by round |", "|---|---|---|---|"]
    for what, values in asked.items():
        ours = values(now)
        cells = [what, span(ours)]
        if before is not None:
            theirs = values(before)
            cells += [span(theirs), span([a / b for a, b in zip(ours, theirs, strict=True)])]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout, to be compared with")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=1600, help="of a round, 32 clients")
    parser.add_argument("--markdown", type=Path, help="write the section there as well")
    args = parser.parse_args()
    served = [serve("now", ROOT)]
    try:
        if args.before is not None:
            served.append(serve("before", args.before.resolve()))
        for each in served:
            asyncio.run(load(each.port, CLIENTS, 320))
        for number in range(args.rounds):
            for each in served if number % 2 == 0 else reversed(served):
                each.measure(args.requests)
    finally:
        for each in served:
            each.process.terminate()
    about = (
        f"10 documents that rerankd-mini remembers, kept connections, {args.rounds} rounds in turn "
        f"of {args.requests} requests (`bench/front.py`)."
    )
    lines = [
        "## Front",
        "",
        about,
        "",
        *table(served[0], served[1] if len(served) > 1 else None),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if args.markdown is not None:
        args.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
