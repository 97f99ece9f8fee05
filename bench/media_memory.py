"""What images cost a server in memory: many requests at once, half by URL, half as base64.

Starts the real server in a process of its own, sends the requests all at once, and prints what the
kernel says of that process (VmRSS before, VmHWM after) beside the guard's own counters.

    uv run --group dev python bench/media_memory.py [--requests 50] [--images 4]
        [--width 2000] [--height 1500]
    uv run --group dev python bench/media_memory.py --model /models/Qwen3-VL-Reranker-2B

Without --model, a stand-in reads the images: it holds all pixels of a request, then makes one row
per document; so the figures are those of HTTP, guard and decoders alone. With --model, PATH is
loaded as `rerankd serve` does. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import multiprocessing
import os
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import numpy as np
from PIL import Image

from rerankd.core.media import VideoSampling
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores
from rerankd.engines.fake import FakeEngine
from rerankd.models.base import ModelCard
from rerankd.models.families import Family
from rerankd.models.load import Loaded, Spec
from rerankd.models.load import load as load_really
from rerankd.settings.load import Effective
from rerankd.settings.schema import Settings
from rerankd.web import server

STORE = "127.0.0.2"


class StandIn:
    """Reads images; a document's row is the mean of each of its frames."""

    def __init__(self) -> None:
        self.engine = FakeEngine(max_length=None)
        self.card = ModelCard(
            name="stand-in",
            family=Family(name="fake", modalities=frozenset({"text", "image", "video"})),
            window_tokens=None,
            score="none",
            video=VideoSampling(fps=1.0, min_frames=4, max_frames=64, factor=2),
        )

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document."""
        rows = tuple(
            Row(np.array([int(f.mean()) for f in d.media.frames], np.int32), 0)
            for d in request.documents
            if d.media is not None
        )
        return Prepared(rows=rows, owners=tuple(range(len(rows))))

    def logit(self, logits: Logits) -> Scores:
        """The one label."""
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """No meaning."""
        return 1 / (1 + float(np.exp(-logit)))


def serve(settings: Settings, ready: Any) -> None:
    """The server, in a process of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def load(spec: Spec) -> Loaded:
        return load_really(spec) if settings.models else Loaded(model=StandIn(), warnings=())

    server.serve(lambda: Effective(settings), lambda _, url: ready.send(url), load=load)


def picture(args: argparse.Namespace, seed: int) -> bytes:
    """A photograph's size in bytes and pixels, none like another."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (args.height // 8, args.width // 8, 3), np.uint8)
    out = BytesIO()
    Image.fromarray(small).resize((args.width, args.height)).save(out, "JPEG", quality=90)
    return out.getvalue()


def status(pid: int, name: str) -> int:
    """A line of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


async def store(pictures: list[bytes]) -> asyncio.Server:
    """Serves picture N at /N."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = pictures[int(head.split(b" ")[1][1:])]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, STORE, 0)


async def measure(args: argparse.Namespace) -> None:
    """One run, printed."""
    pictures = [picture(args, seed) for seed in range(args.requests * args.images)]
    files = await store(pictures)
    port = files.sockets[0].getsockname()[1]
    settings = msgspec.convert(
        {
            "server": {"port": 0},
            "models": [args.model] if args.model else [],
            "limits": {"inflight_bytes": 4 << 30, "body_bytes": 1 << 28, "deadline_s": 600},
            "media": {
                "allow": [f"{STORE}/32"],
                "ports": [port],
                "decoded_bytes": args.decoded_mib << 20,
                "wait_s": 600,
            },
        },
        Settings,
    )
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(settings, theirs))
    process.start()
    url = await asyncio.to_thread(ours.recv)
    assert process.pid is not None  # noqa: S101 - it was started

    async def ask(client: httpx2.AsyncClient, n: int) -> tuple[int, float]:
        mine = range(n * args.images, (n + 1) * args.images)
        documents = [
            {"image": f"http://{STORE}:{port}/{i}"}
            if i % 2
            else {"image": base64.b64encode(pictures[i]).decode()}
            for i in mine
        ]
        started = time.perf_counter()
        body = {"query": "what is it", "documents": documents, "return_documents": False}
        answer = await client.post(url + "/v1/rerank", json=body)
        return answer.status_code, time.perf_counter() - started

    limits = httpx2.Limits(max_connections=args.requests)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:
        await ask(client, 0)  # the decoders are loaded
        before = status(process.pid, "VmRSS")
        started = time.perf_counter()
        done = await asyncio.gather(*(ask(client, n) for n in range(args.requests)))
        took = time.perf_counter() - started
        page = (await client.get(url + "/metrics")).text
    peak = status(process.pid, "VmHWM")
    process.terminate()
    process.join()
    files.close()
    decoded = args.width * args.height * 3 * args.images
    print(f"requests                    {args.requests} at once, {args.images} images each")
    print(f"images                      {args.width} x {args.height}, {len(pictures[0])} bytes")
    print(f"pixels of one request       {decoded / 2**20:.0f} MiB")
    print(f"pixels of all requests      {decoded * args.requests / 2**20:.0f} MiB")
    print(f"media.decoded_bytes         {args.decoded_mib} MiB")
    print(f"statuses                    {dict(Counter(code for code, _ in done))}")
    print(f"wall, slowest request       {took:.1f} s, {max(s for _, s in done):.1f} s")
    print(f"images per second           {len(pictures) / took:.1f}")
    print(f"resident before             {before / 2**20:.0f} MiB")
    print(f"resident at its peak        {peak / 2**20:.0f} MiB")
    print("\n".join(line for line in page.splitlines() if line.startswith("rerankd_media_held")))


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--decoded-mib", type=int, default=1024)
    parser.add_argument("--model", default="")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
