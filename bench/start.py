"""How long `rerankd serve` takes from process start to the first 200 of /ready, and what it uses.

    uv run --no-sync python bench/start.py [--before CHECKOUT] [--rounds 10] [--markdown FILE]

Starts run one after the other, this checkout and the other in turn, each by its own .venv's program
with its own folder of compiled modules, which one start before the counted ones fills. CPU is that
of the process and all its threads until ready. With the same for rerankd-mini with `graphs.folder`
set and filled. Linux only.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
POLL_S = 0.002
LONGEST_S = 120


class Start(NamedTuple):
    """One start."""

    wall_s: float
    cpu_s: float
    resident_mb: float


class Way(NamedTuple):
    """What is started."""

    name: str
    checkout: Path
    model: str
    environment: Mapping[str, str] = {}


def started(way: Way, modules: Path) -> Start:
    """Start a server, wait until it is ready, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    folder = modules / str(way.checkout).strip("/").replace("/", "-")
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [way.checkout / ".venv/bin/rerankd", "serve", "--model", way.model, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=modules,
        env={**kept, "PYTHONPYCACHEPREFIX": str(folder), **way.environment},
    )
    try:
        while not is_ready(port):
            if process.poll() is not None or time.perf_counter() - began > LONGEST_S:
                sys.exit(f"{way.name}: the server did not become ready")
            time.sleep(POLL_S)
        wall_s = time.perf_counter() - began
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    finally:
        process.terminate()
        process.wait()
    resident = next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))
    return Start(wall_s, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), resident / 1024)


def is_ready(port: int) -> bool:
    """Whether /ready answers 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def table(found: Mapping[str, list[Start]], pairs: Mapping[str, str]) -> str:
    """Medians with their ranges; the ratio is the median of the rounds' own."""
    lines = ["| start | wall s | CPU s | resident MB | wall, of before | CPU, of before |"]
    lines.append("|---|---|---|---|---|---|")
    for name, starts in found.items():
        walls, cpus, sizes = (list(column) for column in zip(*starts, strict=True))
        ratios = ["", ""]
        if name in pairs:
            before = found[pairs[name]]
            both = list(zip(starts, before, strict=True))
            ratios = [
                f"{statistics.median(a.wall_s / b.wall_s for a, b in both):.2f}",
                f"{statistics.median(a.cpu_s / b.cpu_s for a, b in both):.2f}",
            ]
        lines.append(
            f"| {name} | {shown(walls)} | {shown(cpus)} | {statistics.median(sizes):.0f} | "
            f"{ratios[0]} | {ratios[1]} |"
        )
    return "\n".join(lines)


def shown(values: list[float]) -> str:
    """Median (range)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="another checkout with a .venv")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--markdown", type=Path, help="write the section there")
    parser.add_argument("--models", nargs="+", default=["rerankd-mini"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = {"RERANKD_GRAPHS_FOLDER": f"{folder}/graphs"}
        ways: list[Way] = []
        pairs: dict[str, str] = {}
        for model in given.models:
            ways.append(Way(model, ROOT, model))
            if given.before is not None:
                ways.append(Way(f"{model}, before", given.before.resolve(), model))
                pairs[model] = f"{model}, before"
        ways.append(Way("rerankd-mini, graphs.folder", ROOT, "rerankd-mini", kept))
        found: dict[str, list[Start]] = {way.name: [] for way in ways}
        for way in ways:
            started(way, Path(folder))
        for turn in range(given.rounds):
            for way in ways if turn % 2 == 0 else reversed(ways):
                found[way.name].append(started(way, Path(folder)))
        section = (
            "## Start\n\n`rerankd serve`, process start to /ready, modules compiled before: "
            f"`bench/start.py`, {given.rounds} alternating rounds, median (range).\n\n"
            f"{table(found, pairs)}\n"
        )
    if given.markdown is None:
        print(section)
    else:
        given.markdown.write_text(section, "utf-8")


if __name__ == "__main__":
    main()
