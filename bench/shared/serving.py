"""What the measurements of a running server share: a checkpoint, documents, a server, a client.

The checkpoint has the shape of MiniLM-L6 and made-up weights: speed depends on neither. Document
lengths are log-normal, median about 100 and p90 about 260 tokens, which with the query makes
pairs of median about 120 and p90 about 290.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import random
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerankd.core.request import RerankRequest
from rerankd.dialects import superset
from rerankd.dialects.wire import Options, WireRequest
from shared import ROOT
from tests.checkpoints import bert

KEYS = ("bench-a", "bench-b", "bench-c", "bench-d", "bench-e")
_START_S = 60
_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 50, 0.75, 240  # the small vocabulary makes 2 tokens a word


def parsed(body: bytes) -> RerankRequest:
    """A body as the server reads it."""
    return superset.parse(WireRequest(path="/v1/rerank", body=body), Options())


def checkpoint(folder: Path) -> Path:
    """Write the MiniLM-shaped checkpoint of the tests."""
    return bert.write(folder / "minilm-l6", bert.MINILM_L6)


class Texts:
    """Queries and documents of seeded words; no two are equal."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        lines = (ROOT / "tests/reference/pairs.jsonl").read_text(encoding="utf-8").splitlines()
        words = " ".join(json.loads(line)["document"] for line in lines).split()
        self._words = sorted({word for word in words if word.isascii() and word.isalpha()})

    def query(self) -> str:
        """Eight words."""
        return " ".join(self._random.choices(self._words, k=8))

    def document(self) -> str:
        """Words of a log-normal count."""
        count = self._random.lognormvariate(math.log(_MEDIAN_WORDS), _SPREAD)
        return " ".join(self._random.choices(self._words, k=max(3, min(int(count), _MOST_WORDS))))

    def body(self, documents: int) -> bytes:
        """A rerank request as JSON."""
        content = {
            "query": self.query(),
            "documents": [self.document() for _ in range(documents)],
            "return_documents": False,
        }
        return json.dumps(content).encode()


@dataclass(frozen=True)
class Server:
    """A running `rerankd serve`."""

    pid: int
    port: int

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far: of the event loop's thread, and of all other threads."""
        seconds = {"event loop": 0.0, "others": 0.0}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            seconds["event loop" if int(task.name) == self.pid else "others"] += spent
        return seconds

    def memory_mb(self) -> dict[str, float]:
        """VmRSS, RssAnon and the peak VmHWM, in MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon", "VmHWM")}


@contextlib.contextmanager
def serving(model: Path | str | None, *flags: str) -> Generator[Server]:
    """A server on a free port of this machine, stopped at the end; without a model, the default."""
    named = [] if model is None else ["--model", str(model)]
    command = [sys.executable, "-m", "rerankd", "serve", *named, "--port", "0"]
    env = os.environ | {"RERANKD_API_KEYS": ",".join(KEYS), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    try:
        yield Server(process.pid, _port(process))
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[str]) -> int:
    out = process.stdout
    end = time.monotonic() + _START_S
    while out is not None and time.monotonic() < end and process.poll() is None:
        ready, _, _ = select.select([out], [], [], 1)
        if ready and (found := re.search(r"http://\S+:(\d+)", out.readline())):
            return int(found[1])
    raise SystemExit("the server did not start")


class Client:
    """One connection that is kept; not for several threads."""

    def __init__(self, port: int, key: str = KEYS[0]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}

    def rerank(self, body: bytes, path: str = "/v1/rerank") -> tuple[float, Any]:
        """Seconds until the whole answer was there, and the answer."""
        started = time.perf_counter()
        self._connection.request("POST", path, body, self._headers)
        response = self._connection.getresponse()
        raw = response.read()
        spent = time.perf_counter() - started
        if response.status != 200:
            raise SystemExit(f"status {response.status}: {raw[:300]!r}")
        return spent, json.loads(raw)

    def hang_up(self) -> None:
        """Leave, also in the middle of an answer; another thread's rerank() then raises OSError."""
        sock: socket.socket | None = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection when it is idle."""
        self._connection.close()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
