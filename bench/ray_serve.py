"""What Ray Serve adds to a request, and what a caller sees when replicas change or die.

    tests/cluster/inside.sh .cluster python bench/ray_serve.py [--requests 2000]

CPU time is that of every process of the namespace but this one, so it must run there. What Ray uses
while nothing is asked is measured and taken off by the time that the requests took.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared import ROOT

from tests.kit.processes import serving
from tests.kit.ray_cluster import URL, Callers, Cluster, cluster, until

KEY = "rerankd-bench-key-of-ray-serve"
SETTINGS = f"""
models = ["{{model}}"]
[server]
log = "json"
[limits]
documents = {{documents}}
[[keys]]
name = "bench"
key = "{KEY}"
"""
FRONT = f"""
models = ["rerankd-lexical"]
[[keys]]
name = "front"
key = "{KEY}"
[upstream.cluster]
dialect = "superset"
url = "{URL}"
key_env = "CLUSTER_KEY"
[upstream.again]
dialect = "superset"
url = "{URL}"
key_env = "CLUSTER_KEY"
[route.cluster]
to = [
  {{ upstream = "cluster", name = "rerankd-lexical", space = "one" }},
  {{ upstream = "again", name = "rerankd-lexical", space = "one" }},
]
"""
_IDLE_S = 5.0


def bodies() -> dict[str, bytes]:
    """Small, and 100 documents in 59 KB, as JSON."""
    words = (ROOT / "README.md").read_text("utf-8").split()
    long = [" ".join(words[i % 50 : i % 50 + 80]) for i in range(100)]
    small = {"query": "capital of France", "documents": ["Berlin", "Paris, in France"]}
    return {
        "small": json.dumps(small).encode(),
        "100 documents": json.dumps({"query": "rerank server", "documents": long}).encode(),
    }


def cpu_s() -> float:
    """Seconds that all processes but this one have used, those that they waited for included."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended
                continue
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def asked(url: str, body: bytes, count: int, requests: int) -> tuple[float, float, dict[str, int]]:
    """CPU ms a request, requests a second, and how those without a 200 ended."""
    with Callers(url, KEY, body, count=count) as callers:
        until(lambda: callers.answered > 50, 0.01)
        before, at, done = cpu_s(), time.monotonic(), callers.answered
        until(lambda: callers.answered >= done + requests, 0.02)
        used, took, done = cpu_s() - before, time.monotonic() - at, callers.answered - done
    return used / done * 1000, done / took, callers.failed


def idle_share() -> float:
    """CPU seconds a second while nothing is asked."""
    before, at = cpu_s(), time.monotonic()
    time.sleep(_IDLE_S)
    return (cpu_s() - before) / (time.monotonic() - at)


def costs(name: str, url: str, requests: int, idle: float) -> None:
    """Print a row for each body."""
    for said, body in bodies().items():
        for count in (1, 8):
            used, rate, failed = asked(url, body, count, requests)
            own = used - idle / rate * 1000
            print(f"| {name} | {said} | {count} | {rate:.0f} | {used:.2f} | {own:.2f} | {failed} |")


def during(what: str, url: str, event: Callable[[], None], body: bytes) -> None:
    """Print how the requests ended that ran while something happened."""
    with Callers(url, KEY, body, count=4) as callers:
        until(lambda: callers.answered > 100)
        started = time.monotonic()
        event()
        took, done = time.monotonic() - started, callers.answered
        until(lambda: callers.answered > done + 100)
    print(
        f"| {what} | {sum(callers.ends.values())} | {sum(callers.failed.values())} "
        f"{callers.failed or ''} | {callers.longest_s:.2f} | {took:.0f} |",
        flush=True,
    )


def faults(ray: Cluster) -> None:
    """An update and a killed replica, asked directly and through a route."""
    small = bodies()["small"]

    def update() -> None:
        old = set(ray.replicas())
        ray.config.write_text(SETTINGS.format(model="rerankd-lexical", documents=200))
        ray.deploy("--replicas", "2")
        until(lambda: not old & set(ray.replicas()))

    def kill() -> None:
        victim = next(pid for pid, state in ray.replicas().items() if state == "RUNNING")
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in ray.replicas())
        until(lambda: list(ray.replicas().values()).count("RUNNING") == 2)

    print("\n| event | requests | without a 200 | longest s | event s |\n|---|---|---|---|---|")
    during("update, asked directly", URL, update, small)
    during("a replica killed, asked directly", URL, kill, small)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "front.toml"
        config.write_text(FRONT)
        command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
        named: dict[str, Any] = json.loads(small) | {"model": "cluster"}
        with serving(command, env={"CLUSTER_KEY": KEY}) as front:
            body = json.dumps(named).encode()
            during("a replica killed, through a route", front.url, kill, body)


def scaling(ray: Cluster) -> None:
    """Print how long it takes until work that waits has a second replica."""
    ray.deploy("--replicas", "1", "--most", "2")
    until(lambda: list(ray.replicas().values()) == ["RUNNING"])
    with Callers(URL, KEY, bodies()["100 documents"], count=8) as callers:
        started = time.monotonic()
        until(lambda: list(ray.replicas().values()).count("RUNNING") == 2)
        took = time.monotonic() - started
    print(f"\nA second replica after {took:.0f} s of load; {callers.failed or 'none'} failed")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--only", choices=("costs", "faults", "scaling"))
    given = parser.parse_args()
    text = SETTINGS.format(model="rerankd-lexical", documents=100)
    if given.only in (None, "costs"):
        print("| server | body | clients | requests/s | CPU ms | without idle | failed |")
        print("|---|---|---|---|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "plain.toml"
            config.write_text(text)
            with serving(["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]) as one:
                costs("rerankd serve", one.url, given.requests, 0.0)
    with cluster() as ray:
        ray.config.write_text(text)
        if given.only in (None, "costs"):
            ray.deploy("--replicas", "1")
            time.sleep(_IDLE_S)
            idle = idle_share()
            print(f"| Ray, nothing asked | | | | {idle * 1000:.0f} a second | | |", flush=True)
            costs("Ray Serve, one replica", URL, given.requests, idle)
        if given.only in (None, "faults"):
            ray.deploy("--replicas", "2")
            faults(ray)
        if given.only in (None, "scaling"):
            scaling(ray)


if __name__ == "__main__":
    main()
