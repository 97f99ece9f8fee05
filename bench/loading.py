"""What loading and unloading a model at run time costs, and what it gives back.

For each shape, in a process of its own: rerankd-mini is served, one client asks it without a pause,
and a checkpoint of made-up weights is loaded and unloaded beside it, several times. Prints the
estimate that is checked before, the resident memory after each step, how long the steps took, and
how long the client's requests took meanwhile. Linux only.

    uv run python bench/loading.py [minilm xlmr-base] [--times 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import shared  # noqa: F401 # pyright: ignore[reportUnusedImport] - finds tests

from rerankd.core.request import Content, RerankRequest
from rerankd.engines.memory import memory
from rerankd.models.footprint import footprint_bytes
from rerankd.models.load import resolve
from rerankd.service.base import RerankCall
from rerankd.service.local import LocalBackend
from rerankd.service.pipeline import Pipeline
from rerankd.service.plan import plan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.checkpoints import bert

SHAPES = {"minilm": bert.MINILM_L6, "xlmr-base": bert.XLMR_BASE}
REST_S = 3.0  # of the client, before and between
MB = 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(asyncio.run(_measured(Path(asked.inside), asked.times))))
        return
    print("| model | estimate | before | loaded | unloaded | loading took | unloading took |")
    print("|---|---|---|---|---|---|---|")
    waits: list[str] = []
    for name in asked.shapes:
        with tempfile.TemporaryDirectory() as folder:
            bert.write(Path(folder) / name, SHAPES[name])
            command = [sys.executable, __file__, "--times", str(asked.times), "--inside"]
            told = subprocess.run(  # noqa: S603 - this very file
                [*command, str(Path(folder) / name)], check=True, capture_output=True, text=True
            ).stdout
        found = json.loads(told.splitlines()[-1])
        for step in found["steps"]:
            print(f"| {name} | {found['estimate'] / MB:.0f} MB | " + " | ".join(step) + " |")
        waits.append(f"{name}: {found['waits']}")
    print("\nOne client of rerankd-mini, ms of a request:", *waits, sep="\n")


async def _measured(folder: Path, times: int) -> dict[str, Any]:
    limits = Limits()
    backend = LocalBackend(Pool(limits), Pipeline(limits))
    await backend.start(plan(("rerankd-mini", str(folder)), {}, {}))
    await backend.load()
    await backend.unload_model(folder.name)  # whatever a first time brings is there
    client = _Client(backend)
    asking = asyncio.create_task(client.ask())
    steps: list[list[str]] = []
    for _ in range(times):
        await asyncio.sleep(REST_S)
        before = _resident()
        loading = await client.meanwhile("loading", backend.load_model(folder.name))
        await backend.rerank(RerankCall(requests=(_request(0),), model=folder.name))
        loaded = _resident()
        unloading = await client.meanwhile("unloading", backend.unload_model(folder.name))
        sizes = [f"{size / MB:.0f} MB" for size in (before, loaded, _resident())]
        steps.append([*sizes, f"{loading:.2f} s", f"{unloading:.2f} s"])
    asking.cancel()
    await asyncio.wait({asking})
    await backend.close()
    return {
        "estimate": footprint_bytes(resolve(str(folder))),
        "steps": steps,
        "waits": ", ".join(f"{name} {_percentiles(took)}" for name, took in client.took.items()),
    }


class _Client:
    """One that asks without a pause."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._now = "else"
        self.took: dict[str, list[float]] = {}

    async def ask(self) -> None:
        """Until it is cancelled."""
        count = 0
        while True:
            count += 1
            started, name = time.perf_counter(), self._now
            call = RerankCall(requests=(_request(count),), model="rerankd-mini")
            await self._backend.rerank(call)
            self.took.setdefault(name, []).append(time.perf_counter() - started)

    async def meanwhile(self, name: str, work: Any) -> float:
        """How long work took, in seconds; requests that begin meanwhile go by its name."""
        self._now, started = name, time.perf_counter()
        try:
            await work
        finally:
            self._now = "else"
        return time.perf_counter() - started


def _request(count: int) -> RerankRequest:
    words = " ".join(f"word{count * 7 + i}" for i in range(40))
    documents = tuple(Content(value=f"{words} {i}") for i in range(10))
    return RerankRequest(query=Content(value="which word is it"), documents=documents)


def _percentiles(took: list[float]) -> str:
    ordered = sorted(took)
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.1f}, p99 {p99:.1f} ({len(ordered)})"


def _resident() -> int:
    return memory().resident_bytes or 0


if __name__ == "__main__":
    main()
